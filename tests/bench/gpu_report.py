#!/usr/bin/env python3
"""Makes report.md and report.json of the logs of launch/gpu_check.sh.   gpu_report.py LOGS OUT WHAT_FAILED"""
import json
import pathlib
import subprocess
import sys

FORWARD = ["sketch_scan", "draw, counting", "draw, writing", "attention_forward"]
BACKWARD = ["attention_backward_q", "pick_transpose", "attention_backward_kv"]


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")] if path.exists() else []


def last_line(path):
    text = path.read_text().strip().splitlines() if path.exists() else []
    return text[-1] if text else "not run"


def main():
    folder, target, failed = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
    kernels, rivals = lines_of(folder / "kernels.jsonl"), lines_of(folder / "rivals.jsonl")
    training = lines_of(folder / "training.jsonl")
    ceilings = next((line for line in kernels if "copy_tb_per_s" in line), {})
    kernels = [line for line in kernels if "kernel" in line]
    try:
        commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip() or "unknown"
    except OSError:  # no git there
        commit = "unknown"
    gpu = last_line(folder / "gpu.txt")
    out = [f"# {gpu}", "", f"Commit {commit}. Failed: {failed}.", ""]
    tests = last_line(folder / "tests.log")
    out += ["| check | result |", "|---|---|", f"| tests | {tests} |"]
    for tool in ("memcheck", "racecheck", "initcheck", "synccheck"):
        out.append(f"| compute-sanitizer {tool} | {last_line(folder / (tool + '.log')).strip('= ')} |")
    out += [f"| {name} | {value} |" for name, value in ceilings.items()]
    out += ["", "| tokens | kernel | ms | floor ms | ratio (bar 2) |", "|---|---|---|---|---|"]
    for line in kernels:
        out.append(f"| {line['tokens'] or ''} | {line['kernel']} | {line['ms']:.3f} | {line['floor_ms']:.3f} | "
                   f"{line['ms'] / line['floor_ms']:.2f} |")
    out += ["", "| tokens | rival | forward: rival ms / ours ms | ratio | forward and backward | ratio |", "|---|---|---|---|---|---|"]
    ms = {(line["tokens"], line["kernel"]): line["ms"] for line in kernels}
    for line in rivals:
        if "error" in line:
            out.append(f"| {line['tokens']} | {line['rival']} | {line['error']} | | | |")
            continue
        try:
            forward = sum(ms[line["tokens"], name] for name in FORWARD)
            both = forward + sum(ms[line["tokens"], name] for name in BACKWARD)
        except KeyError:
            continue
        out.append(f"| {line['tokens']} | {line['rival']} | {line['forward_ms']:.2f} / {forward:.2f} | {line['forward_ms'] / forward:.2f} | "
                   f"{line['both_ms']:.2f} / {both:.2f} | {line['both_ms'] / both:.2f} |")
    for line in training:
        if "steps" in line:
            out += ["", f"Training on the GPU with matmul {line['matmul']} drew the CPU's picks in {line['steps_with_the_cpus_picks']} of "
                    f"{line['steps']} steps; losses differ by {line['largest_loss_difference']:.1e} at most."]
    if training:
        out += ["", "| tokens a step | matmul | step ms | tokens/s | GPU memory MiB | stages ms |", "|---|---|---|---|---|---|"]
    for line in training:
        if "training_tokens" in line:
            stages = ", ".join(f"{name} {ms:g}" for name, ms in line["stages_ms"].items() if name != "total")
            out.append(f"| {line['training_tokens']} | {line['matmul']} | {line['step_ms']:.0f} | {line['tokens_per_s']:.0f} | {line['gpu_mib']} | "
                       f"{stages} |")
    text = "\n".join(out) + "\n"
    (target / "report.md").write_text(text)
    (target / "report.json").write_text(json.dumps({"gpu": gpu, "commit": commit, "ceilings": ceilings, "tests": tests,
                                                    "failed": failed, "kernels": kernels,
                                                    "rivals": rivals, "training": training}, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
