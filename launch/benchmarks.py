#!/usr/bin/env python3
"""Runs what a benchmark's .runs file lists and has no result of yet; see launch/benchmarks.sh.

NAME.runs: lines of  VARIANT | SEEDS | MINUTES | OPTIONS  , SEEDS as in 1,2,3 (a + before it: only with --full), MINUTES of a run on two
cores as first guess, OPTIONS for smartbird pretrain beside --config NAME.ini. A line that begins with # is a comment;
a line  config = FILE  names a configuration of this folder in place of NAME.ini.
results/NAME.jsonl: a JSON line a run. results/NAME.md: the table, made anew from the lines."""
import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent.parent / "configs" / "benchmarks"
SCRATCH = pathlib.Path("runs/benchmarks")
LAST_STEPS = 50  # that means over steps are taken of


def config_of(name):
    """What a line config = FILE of NAME.runs names, else NAME.ini."""
    lines = (HERE / f"{name}.runs").read_text().splitlines()
    return HERE / next((line.removeprefix("config = ").strip() for line in lines if line.startswith("config = ")), f"{name}.ini")


def runs_of(name, full):
    """(variant, seed, minutes, options) of a benchmark's runs; ends the program where a line is wrong, before anything runs."""
    if not config_of(name).is_file():
        sys.exit(f"benchmarks: {name}.runs: there is no {config_of(name)}; add it, or name another by a line config = NAME.ini")
    runs = []
    for number, line in enumerate((HERE / f"{name}.runs").read_text().splitlines(), 1):
        if not line.strip() or line.startswith(("#", "config = ")):
            continue
        fields = [field.strip() for field in line.split("|")]
        try:
            variant, seeds, minutes, options = fields
            numbers, minutes = [int(seed) for seed in seeds.lstrip("+").split(",")], float(minutes)
            shlex.split(options)
        except ValueError as error:
            sys.exit(f"benchmarks: {name}.runs:{number}: {error}; expected VARIANT | SEEDS as in 1,2,3 | MINUTES | OPTIONS")
        for seed in numbers:
            if any((variant, seed) == (other[0], other[1]) for other in runs):
                sys.exit(f"benchmarks: {name}.runs:{number}: {variant}, seed {seed}, is there twice; give it another name or seed")
            runs.append((variant, seed, minutes, options, seeds.startswith("+")))
    return [one[:4] for one in runs if full or not one[4]]


def all_results_of(name):
    path = HERE / "results" / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def results_of(name):
    """Those that were made with the options and the configuration of now."""
    now = {(variant, seed): options for variant, seed, _, options in runs_of(name, full=True)}
    return [r for r in all_results_of(name) if r["config"] == of_config(name) and now.get((r["variant"], r["seed"])) == r["options"]]


def of_config(name):
    """Tells one text of the configuration from another: results of an earlier one do not count."""
    return hashlib.sha256(config_of(name).read_bytes()).hexdigest()[:12]


def keep(name, result):
    """In place of an earlier result of this variant and seed."""
    lines = [r for r in all_results_of(name) if (r["variant"], r["seed"]) != (result["variant"], result["seed"])] + [result]
    path = HERE / "results" / f"{name}.jsonl"
    aside = path.with_suffix(".tmp")
    aside.write_text("".join(json.dumps(line) + "\n" for line in lines))
    os.replace(aside, path)


def hardware():
    model = next((line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.processor())
    return f"{os.cpu_count()} cores, {model}"


def commit():
    out = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True)
    return out.stdout.strip() or "unknown"


def run(binary, name, variant, seed, options, threads):
    """Trains in a scratch folder and returns the result, or None when the run failed."""
    folder = SCRATCH / name / f"{variant.replace(' ', '_')}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    command = [binary, "pretrain", "--config", str(config_of(name)), f"--run.seed={seed}", f"--run.dir={folder}",
               "--run.progress=none", f"--run.threads={threads}", *shlex.split(options)]
    began = time.time()
    done = subprocess.run(command, capture_output=True, text=True)
    wall_s = time.time() - began
    if done.returncode != 0:
        print(f"{name}: {variant}, seed {seed}: failed ({done.returncode}): "
              f"{done.stderr.strip().splitlines()[-1] if done.stderr.strip() else ''}", flush=True)
        return None
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line][-LAST_STEPS:]
    evaluations = [line for line in lines if "eval" in line]
    if not steps or not evaluations:
        print(f"{name}: {variant}, seed {seed}: failed: it took no step, or was not evaluated", flush=True)
        return None
    mean = {key: statistics.mean(step[key] or 0 for step in steps)
            for key in ("loss", "sketch_loss", "coverage", "coverage_domain", "coverage_uniform", "phi", "tokens_per_s")}
    report = sketch_report(binary, folder)
    shutil.rmtree(folder, ignore_errors=True)
    return {"benchmark": name, "variant": variant, "seed": seed, "options": options, "config": of_config(name), "steps": steps[-1]["step"],
            "evaluation": evaluations[-1]["eval"], "curve": [[line["step"], line["eval"]["loss"], line["eval"]["accuracy"]]
                                                            for line in evaluations],
            "last_steps": mean, "sketch_report": report, "wall_s": round(wall_s, 1), "threads": threads, "hardware": hardware(), "commit": commit(),
            "date": time.strftime("%Y-%m-%d")}


def sketch_report(binary, folder):
    """What the run's sketch is worth, shortened; None where it has none to report on."""
    file = folder / "sketch_report.json"
    done = subprocess.run([binary, "evaluate", f"--checkpoint={folder}", f"--sketch.report={file}"], capture_output=True, text=True)
    if done.returncode != 0:
        return None
    report = json.loads(file.read_text())
    kept = {key: report["all"][key] for key in ("band", "caught", "recall", "effective_keys", "output_error")}
    kept["phi_of_4_ranks"] = {f"b {t['query_block']}, g {t['share']}": t["phi"]["4"] for t in report["traffic"]}
    return kept


def spread(values, form):
    if not values:
        return ""
    mean = form.format(statistics.mean(values))
    return mean if len(values) == 1 else f"{mean} ({', '.join(form.format(v) for v in sorted(values))})"


def share(values, uniform):
    """Nothing where no probe looked."""
    return f"{statistics.mean(values):.3f}" if statistics.mean(uniform) > 0 else ""


def reports(results):
    return [r["sketch_report"] for r in results if r.get("sketch_report")]


def of_best(results):
    values = [r["caught"]["sketch"] / r["caught"]["oracle"] for r in reports(results) if r["caught"]["oracle"] > 0]
    return f"{statistics.mean(values):.2f}" if values else ""


def phi(results):
    """With blocks of one row."""
    values = [r["phi_of_4_ranks"]["b 1, g 64"] for r in reports(results)]
    return f"{statistics.mean(values):.3f}" if values else ""


def write_table(name):
    results = results_of(name)
    if not results:
        return
    out = [f"# {name}", "", f"`launch/benchmarks.sh {name}`: mean and each seed's value; cover: share of the sampled domain's exact attention mass "
           f"in the picks, in training, mean of the last {LAST_STEPS} steps, beside the same for uniform picks; of the best: the sketch's draw "
           "against the best possible picks, by the sketch report; phi: share of rows that 4 ranks would fetch of each other, with "
           "blocks of one row and share groups of 64.", "",
           "| variant | seeds | accuracy | loss | bits per byte | cover | uniform | of the best | phi | minutes | tokens/s | options |",
           "|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for variant in dict.fromkeys(result["variant"] for result in results):
        mine = [result for result in results if result["variant"] == variant]
        of = lambda key: [r["evaluation"][key] for r in mine if key in r["evaluation"]]
        last = lambda key: [r["last_steps"][key] for r in mine]
        out.append(f"| {variant} | {len(mine)} | {spread(of('accuracy'), '{:.4f}')} | {spread(of('loss'), '{:.4f}')} | "
                   f"{spread(of('bits_per_byte'), '{:.4f}')} | {share(last('coverage_domain'), last('coverage_uniform'))} | "
                   f"{share(last('coverage_uniform'), last('coverage_uniform'))} | {of_best(mine)} | {phi(mine)} | {statistics.mean(r['wall_s'] for r in mine) / 60:.1f} | "
                   f"{statistics.mean(last('tokens_per_s')):.0f} | `{mine[0]['options']}` |")
    out += ["", "Ran on " + "; ".join(sorted({f"{r['hardware']} (commit {r['commit']}, {r['date']})" for r in results})) + ".", ""]
    (HERE / "results" / f"{name}.md").write_text("\n".join(out))


def main():
    parser = argparse.ArgumentParser(prog="launch/benchmarks.sh")
    parser.add_argument("--binary", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, which share the cores")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    known = sorted(path.stem for path in HERE.glob("*.runs"))
    for name in options.names:
        if name not in known:
            sys.exit(f"benchmarks: there is no {name}; known: {', '.join(known)}")
    cores = len(os.sched_getaffinity(0))
    if not 1 <= options.jobs <= cores:
        sys.exit(f"benchmarks: --jobs={options.jobs} is not from 1 to the {cores} cores of this machine")
    (HERE / "results").mkdir(exist_ok=True)
    todo = []
    for name in options.names or known:
        there = results_of(name)
        taken = {r["variant"]: r["wall_s"] / 60 for r in there}
        todo += [(name, variant, seed, taken.get(variant, minutes), more) for variant, seed, minutes, more in runs_of(name, options.full)
                 if not any((r["variant"], r["seed"]) == (variant, seed) for r in there)]
    print(f"{len(todo)} runs to do, about {sum(run_[3] for run_ in todo) / 60 / options.jobs:.1f} hours", flush=True)
    results_lock = threading.Lock()

    def one(number, name, variant, seed, minutes, more):
        """Whether there is a result."""
        print(f"[{number}/{len(todo)}] {name}: {variant}, seed {seed}, about {minutes:.0f} minutes", flush=True)
        if options.list:
            return True
        result = run(options.binary, name, variant, seed, more, cores // options.jobs)
        if result is None:
            return False
        with results_lock:
            keep(name, result)
            write_table(name)
        print(f"{name}: {variant}, seed {seed}: accuracy {result['evaluation']['accuracy']:.4f}, loss "
              f"{result['evaluation']['loss']:.4f}, {result['wall_s'] / 60:.1f} minutes", flush=True)
        return True

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        failed = [number for number, there in enumerate(pool.map(lambda run_: one(*run_), [(n, *r) for n, r in enumerate(todo, 1)]))
                  if not there]
    if not options.list:
        for name in options.names or known:
            write_table(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
