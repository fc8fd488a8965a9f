#!/usr/bin/env python3
"""Runs what the benchmarks list and have no result of yet; see launch/benchmarks.sh and, for the lists, benchmark_list.py."""
import argparse
import concurrent.futures
import os
import pathlib
import signal
import sys
import threading

import benchmark_list
from benchmark_run import Failed, Runner
from benchmark_table import keep, results_of, write_table


def read_arguments():
    parser = argparse.ArgumentParser(prog="launch/benchmarks.sh", allow_abbrev=False)
    parser.add_argument("--binary", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--full", action="store_true", help="the long runs too")
    parser.add_argument("--list", action="store_true", help="only say what is missing")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, which share the cores")
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("../shared/data"), help="folder of the texts that some benchmarks read")
    parser.add_argument("--seeds", type=int, default=0, help="only seeds up to this one; 0 = all")
    parser.add_argument("--only", default="", help="only variants whose name contains this")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    known = benchmark_list.names()
    for name in arguments.names:
        if name not in known:
            sys.exit(f"benchmarks: there is no {name}; known: {', '.join(known)}")
    arguments.names = list(dict.fromkeys(arguments.names or known))
    arguments.cores = len(os.sched_getaffinity(0))
    if not 1 <= arguments.jobs <= arguments.cores:
        sys.exit(f"benchmarks: --jobs={arguments.jobs} is not from 1 to the {arguments.cores} cores of this machine")
    if arguments.seeds < 0:
        sys.exit(f"benchmarks: --seeds={arguments.seeds} is below 0")
    return arguments


def missing(benchmark, arguments):
    """[(run, minutes)], the first seeds of all variants first."""
    there = results_of(benchmark)
    taken = {r["variant"]: r["wall_s"] / 60 for r in there}
    done = {(r["variant"], r["seed"]) for r in there}
    runs = [run for run in sorted(benchmark.runs, key=lambda run: run.seed) if (run.variant, run.seed) not in done
            and arguments.only in run.variant and (arguments.full or not run.only_full) and (arguments.seeds == 0 or run.seed <= arguments.seeds)]
    return [(run, taken.get(run.variant, run.minutes)) for run in runs]


def main():
    arguments = read_arguments()
    benchmarks = [benchmark_list.read(name) for name in arguments.names]
    todo = [(benchmark, run, minutes) for benchmark in benchmarks for run, minutes in missing(benchmark, arguments)]
    print(f"{len(todo)} runs to do, about {sum(minutes for _, _, minutes in todo) / 60 / arguments.jobs:.1f} hours", flush=True)
    if arguments.list:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # | head
        for benchmark, run, minutes in todo:
            print(f"{benchmark.name}: {run.variant}, seed {run.seed}, about {minutes:.0f} minutes")
        return 0
    reading = sorted({benchmark.name for benchmark, _, _ in todo if "{data}" in f"{benchmark.options} {benchmark.trunk_options} {benchmark.prepare}"
                      or any(not text.startswith("data ") for text in benchmark.prepare)})
    if reading and not arguments.data.is_dir():
        sys.exit(f"benchmarks: {', '.join(reading)}: there is no folder {arguments.data}; name that of the texts by --data=FOLDER")
    runner = Runner(arguments.binary, arguments.data.resolve(), max(1, arguments.cores // arguments.jobs))
    try:
        for benchmark in dict.fromkeys(benchmark for benchmark, _, _ in todo):
            runner.prepare(benchmark)
    except (Failed, OSError) as reason:
        sys.exit(f"benchmarks: {benchmark.name}: its data cannot be prepared: {reason}")
    guard = threading.Lock()

    def one(number, benchmark, run, minutes):
        """Whether there is a result."""
        what = f"{benchmark.name}: {run.variant}, seed {run.seed}"
        if not runner.stopping.is_set():
            print(f"[{number}/{len(todo)}] {what}, about {minutes:.0f} minutes", flush=True)
        try:
            result = runner.result(benchmark, run)
        except Failed as reason:
            if not runner.stopping.is_set():
                print(f"{what}: failed: {reason}", flush=True)
            return False
        with guard:
            keep(result)
            write_table(benchmark)
        print(f"{what}: accuracy {result['evaluation']['accuracy']:.4f}, loss {result['evaluation']['loss']:.4f}, "
              f"{result['wall_s'] / 60:.1f} minutes", flush=True)
        return True

    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        futures = [pool.submit(one, number, *what) for number, what in enumerate(todo, 1)]
        try:
            failed = sum(not future.result() for future in futures)
        except KeyboardInterrupt:
            runner.stopping.set()
            print("benchmarks: stopped; the results so far are kept, start it again to go on", file=sys.stderr)
            return 130
    for benchmark in benchmarks:
        write_table(benchmark)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
