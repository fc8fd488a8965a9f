#!/usr/bin/env python3
"""Runs what the benchmarks list and have no result of yet; see launch/benchmarks.sh and, for the lists, benchmark_list.py."""
import argparse
import concurrent.futures
import os
import pathlib
import signal
import sys

import benchmark_list
from benchmark_locks import Busy, locked
from benchmark_run import Failed, Runner, plain
from benchmark_table import is_there, keep, results_of, write_table


def read_arguments():
    parser = argparse.ArgumentParser(prog="launch/benchmarks.sh", allow_abbrev=False)
    parser.add_argument("--binary", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--full", action="store_true", help="the long runs too")
    parser.add_argument("--list", action="store_true", help="only say what is missing")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, which share the cores")
    parser.add_argument("--called-from", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--data", type=pathlib.Path, help="folder of the texts that some benchmarks read")
    parser.add_argument("--seeds", type=int, default=0, help="only seeds up to this one; 0 = all")
    parser.add_argument("--only", default="", help="only variants whose name contains this")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    known = benchmark_list.names()
    if not known:
        sys.exit(f"benchmarks: {benchmark_list.HERE} holds no list NAME.runs")
    for name in arguments.names:
        if name not in known:
            sys.exit(f"benchmarks: there is no {name}; known: {', '.join(known)}")
    arguments.names = list(dict.fromkeys(arguments.names or known))
    arguments.cores = len(os.sched_getaffinity(0))
    if not 1 <= arguments.jobs <= arguments.cores:
        sys.exit(f"benchmarks: --jobs={arguments.jobs} is not from 1 to the {arguments.cores} cores of this machine")
    arguments.data = arguments.called_from / arguments.data if arguments.data else pathlib.Path("../shared/data")
    if arguments.seeds < 0:
        sys.exit(f"benchmarks: --seeds={arguments.seeds} is below 0")
    return arguments


def missing(benchmark, arguments):
    """[(run, minutes on one core)], the first seeds of all variants first."""
    there = results_of(benchmark)
    taken = {r["variant"]: r.get("cpu_s", r["wall_s"] * r["threads"]) / 60 for r in there}
    done = {(r["variant"], r["seed"]) for r in there}
    runs = [run for run in sorted(benchmark.runs, key=lambda run: run.seed) if (run.variant, run.seed) not in done
            and arguments.only in run.variant and (arguments.full or not run.only_full) and (arguments.seeds == 0 or run.seed <= arguments.seeds)]
    return [(run, taken.get(run.variant, run.minutes)) for run in runs]


def minutes_of_trunks(todo, runner):
    """On one core, of the trunks that are not there yet."""
    trunks = {trunk: benchmark.trunk_minutes for benchmark, run, _ in todo if (trunk := runner.trunk(benchmark, run)) and not trunk.made()}
    return sum(trunks.values())


def check(todo, runner, jobs):
    """Ends the program where an option of a run is wrong, before anything runs."""
    users = {command: f"{benchmark.name}: {run.variant}" for benchmark, run, _ in todo for command in runner.commands(benchmark, run)}
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for user, checked in [(user, pool.submit(runner.check_options, *command)) for command, user in users.items()]:
            try:
                checked.result()
            except Failed as reason:
                pool.shutdown(cancel_futures=True)
                sys.exit(f"benchmarks: {user}: {reason}")
            except KeyboardInterrupt:
                runner.stop()
                raise


def prepare(todo, runner):
    for benchmark in dict.fromkeys(benchmark for benchmark, _, _ in todo):
        try:
            runner.prepare(benchmark)
        except (Failed, OSError, ValueError, KeyError) as reason:
            sys.exit(f"benchmarks: {benchmark.name}: its data cannot be prepared: {reason}")


def run_one(place, benchmark, run, minutes, runner):
    """Whether there is a result, or another launch is at it."""
    what = f"{benchmark.name}: {run.variant}, seed {run.seed}"
    if not runner.stopping.is_set():
        print(f"[{place}] {what}, about {minutes / runner.threads:.0f} minutes", flush=True)
    try:
        with locked(f"{benchmark.name}/{plain(run.variant)}-{run.seed}") as hold:
            if is_there(benchmark, run):
                print(f"{what}: made meanwhile", flush=True)
                return True
            result = runner.result(benchmark, run, hold)
            keep(benchmark, result)
    except Busy:
        if runner.stopping.is_set():
            return False
        print(f"{what}: another launch is at it, left to that", flush=True)
        return True
    except (Failed, OSError, KeyError, ValueError) as reason:
        if not runner.stopping.is_set():
            print(f"{what}: failed: {reason if isinstance(reason, (Failed, OSError)) else repr(reason)}", flush=True)
        return False
    print(f"{what}: accuracy {result['evaluation']['accuracy']:.4f}, loss {result['evaluation']['loss']:.4f}, "
          f"{result['wall_s'] / 60:.1f} minutes", flush=True)
    return True


def stop(*_):
    """The first signal ends the program in order, more of them do not disturb that."""
    for which in (signal.SIGINT, signal.SIGTERM):
        signal.signal(which, signal.SIG_IGN)
    raise KeyboardInterrupt


def run_all(todo, runner, arguments):
    """How many have no result."""
    check(todo, runner, arguments.cores)
    prepare(todo, runner)
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        futures = [pool.submit(run_one, f"{number}/{len(todo)}", *what, runner) for number, what in enumerate(todo, 1)]
        try:
            return sum(not future.result() for future in futures)
        except KeyboardInterrupt:
            runner.stop()
            raise


def main():
    arguments = read_arguments()
    for which in (signal.SIGINT, signal.SIGTERM):
        signal.signal(which, stop)
    benchmarks = [benchmark_list.read(name) for name in arguments.names]
    if arguments.only and not any(arguments.only in run.variant for benchmark in benchmarks for run in benchmark.runs):
        sys.exit(f"benchmarks: no variant of {', '.join(arguments.names)} has '{arguments.only}' in its name")
    todo = [(benchmark, run, minutes) for benchmark in benchmarks for run, minutes in missing(benchmark, arguments)]
    reading = sorted({benchmark.name for benchmark, run, _ in todo if benchmark.reads_data(run)})
    if reading and not arguments.list and not arguments.data.is_dir():
        sys.exit(f"benchmarks: {', '.join(reading)}: there is no folder {arguments.data}; name that of the texts by --data=FOLDER")
    runner = Runner(arguments.binary, arguments.data.resolve(), max(1, arguments.cores // arguments.jobs))
    minutes = sum(minutes for _, _, minutes in todo) + minutes_of_trunks(todo, runner)
    print(f"{len(todo)} runs to do, about {minutes / 60 / arguments.jobs / runner.threads:.1f} hours", flush=True)
    if arguments.list:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # | head
        for benchmark, run, minutes in todo:
            print(f"{benchmark.name}: {run.variant}, seed {run.seed}, about {minutes / runner.threads:.0f} minutes")
        return 0
    failed = run_all(todo, runner, arguments)
    for benchmark in benchmarks:
        write_table(benchmark)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("benchmarks: stopped; the results so far are kept, start it again to go on", file=sys.stderr)
        sys.exit(130)
