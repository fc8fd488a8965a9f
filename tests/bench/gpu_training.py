#!/usr/bin/env python3
"""What training runs took, and whether those of a GPU are the CPU's: a JSON line. Exit code 1 where they are not, or a run is short.
gpu_training.py compare CPU_RUN GPU_RUN MATMUL   MATMUL: run.matmul of the GPU's run
gpu_training.py times RUN TOKENS MATMUL MIB_FILE   the first step warms up"""
import json
import pathlib
import statistics
import sys

LOSS_TOLERANCE = {"float32": 1e-3, "bfloat16": 2e-2}  # sums in another order, rounded factors, over the steps of a run


def steps_of(run):
    path = pathlib.Path(run) / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [line for line in lines if "loss" in line]


def compare(cpu_run, gpu_run, matmul):
    cpu, gpu = steps_of(cpu_run), steps_of(gpu_run)
    if not cpu or len(cpu) != len(gpu):
        print(f"the CPU took {len(cpu)} steps, the GPU {len(gpu)}")
        return 1
    same = sum(a["picks_hash"] == b["picks_hash"] for a, b in zip(cpu, gpu))
    apart = max(abs(a["loss"] - b["loss"]) for a, b in zip(cpu, gpu))
    print(json.dumps({"steps": len(gpu), "matmul": matmul, "steps_with_the_cpus_picks": same, "largest_loss_difference": apart}))
    rounds = matmul == "float32" or apart > 1e-5
    return 0 if cpu[0]["picks_hash"] == gpu[0]["picks_hash"] and apart < LOSS_TOLERANCE[matmul] and rounds else 1


def times(run, tokens, matmul, mib_file):
    steps = steps_of(run)
    if len(steps) < 2:
        print(f"{run} took {len(steps)} steps, two are needed")
        return 1
    mib = [int(word) for word in pathlib.Path(mib_file).read_text().split() if word.isdigit()]
    names = steps[0]["step_ms"]
    steps = steps[1:]
    print(json.dumps({"training_tokens": int(tokens), "matmul": matmul,
                      "step_ms": statistics.median(s["step_ms"]["total"] for s in steps),
                      "stages_ms": {name: round(statistics.median(s["step_ms"].get(name, 0) for s in steps), 1) for name in names},
                      "tokens_per_s": statistics.median(s["tokens_per_s"] for s in steps),
                      "loss": steps[-1]["loss"], "gpu_mib": max(mib, default=0)}))
    return 0


if __name__ == "__main__":
    sys.exit({"compare": compare, "times": times}[sys.argv[1]](*sys.argv[2:]))
