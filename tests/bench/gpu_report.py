#!/usr/bin/env python3
"""Makes report.md and report.json of what launch/gpu_check.sh left in a folder.   gpu_report.py FOLDER"""
import json
import pathlib
import re
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
    folder = pathlib.Path(sys.argv[1])
    kernels, rivals = lines_of(folder / "kernels.jsonl"), lines_of(folder / "rivals.jsonl")
    ceilings = next((line for line in kernels if "copy_tb_per_s" in line), {})
    kernels = [line for line in kernels if "kernel" in line]
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip() or "unknown"
    gpu = last_line(folder / "gpu.txt")
    out = [f"# {gpu}", "", f"Commit {commit}.", ""]
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
    text = "\n".join(out) + "\n"
    (folder / "report.md").write_text(text)
    (folder / "report.json").write_text(json.dumps({"gpu": gpu, "commit": commit, "ceilings": ceilings, "tests": tests,
                                                    "passed": bool(re.search(r"PASSED", tests)), "kernels": kernels,
                                                    "rivals": rivals}, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
