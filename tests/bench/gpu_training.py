#!/usr/bin/env python3
"""What training runs on a GPU took, and whether they are the CPU's: one JSON line each. Exit code 1 where they are not.
gpu_training.py FOLDER   with runs FOLDER/cpu, FOLDER/gpu and FOLDER/<tokens>, and FOLDER/<tokens>.mib of nvidia-smi"""
import json
import pathlib
import statistics
import sys

LOSS_TOLERANCE = 1e-3  # float sums in another order, over the steps of a run


def steps_of(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "loss" in line]


def main():
    folder = pathlib.Path(sys.argv[1])
    cpu, gpu = steps_of(folder / "cpu"), steps_of(folder / "gpu")
    same = sum(a["picks_hash"] == b["picks_hash"] for a, b in zip(cpu, gpu))
    apart = max(abs(a["loss"] - b["loss"]) for a, b in zip(cpu, gpu))
    print(json.dumps({"steps": len(gpu), "steps_with_the_cpus_picks": same, "largest_loss_difference": apart}))
    for run in sorted((p for p in folder.iterdir() if p.name.isdigit()), key=lambda p: int(p.name)):
        steps = steps_of(run)[1:]  # the first one warms up
        mib = [int(line) for line in (folder / f"{run.name}.mib").read_text().split() if line.isdigit()]
        print(json.dumps({"training_tokens": int(run.name),
                          "step_ms": statistics.median(s["step_ms"]["total"] for s in steps),
                          "stages_ms": {name: round(statistics.median(s["step_ms"].get(name, 0) for s in steps), 1)
                                        for name in steps[0]["step_ms"]},
                          "tokens_per_s": statistics.median(s["tokens_per_s"] for s in steps),
                          "loss": steps[-1]["loss"], "gpu_mib": max(mib, default=0)}))
    return 0 if len(cpu) == len(gpu) and cpu[0]["picks_hash"] == gpu[0]["picks_hash"] and apart < LOSS_TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
