#!/usr/bin/env python3
"""Times whole training steps of smartbird against Longformer, BigBird and a dense ModernBERT on this machine's CPU.

Same layers, width, heads, weights of the MLP, vocabulary, tokens, threads, float32, batch 1, loss over all tokens. Runs go
in turns (smartbird, rival, smartbird, rival, ...), each in its own process; the first step of a process does not count.
"""
import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import peers_report
import peers_venv
from peers_venv import PeerError, REPOSITORY

SHAPE = {"layers": 4, "width": 256, "heads": 4, "gated_width": 688, "window": 128, "block": 64}
RIVALS = ["longformer", "bigbird", "modernbert"]


def wait(command, environment, folder):
    """Runs a command: (standard output, peak resident bytes). PeerError when it fails."""
    with open(folder / "out", "w+") as out, open(folder / "err", "w+") as err:
        process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=err, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0), err.seek(0)
        if process.returncode != 0:
            cause = "killed, as the system does when memory runs out" if process.returncode == -9 else peers_venv.last_line(err.read())
            raise PeerError(f"{pathlib.Path(str(command[0])).name} {command[1]} failed: {cause}")
        return out.read(), usage.ru_maxrss * 1024


def write_text(path, tokens, sequences):
    """Bytes of the books of tests/data that, with the separator after a document, fill whole sequences of `tokens`."""
    books = sorted((REPOSITORY / "tests/data/books/train").glob("*/*.txt"))
    text = b"".join(book.read_bytes() for book in books)
    while len(text) < tokens * sequences:
        text += text
    path.write_bytes(text[: tokens * sequences - 1])


def smartbird_run(a, tokens, query_block, folder):
    run = folder / "run"
    subprocess.run(["rm", "-rf", run], check=True)
    options = {
        "run.dir": run, "run.threads": a.threads, "run.progress": "none", "data.train": folder / "text.txt", "data.task": "mlm",
        "data.mask_share": 1, "data.sequence_tokens": tokens, "train.batch_tokens": tokens, "train.steps": a.steps + 1,
        "train.warmup_steps": 0, "model.layers": SHAPE["layers"], "model.width": SHAPE["width"], "model.heads": SHAPE["heads"],
        "model.mlp_width": SHAPE["gated_width"], "attention.window": SHAPE["window"] // 2, "attention.query_block": query_block,
        "attention.fill": a.fill,
        "eval.every": 0, "eval.at_end": "off", "checkpoint.every": 0}
    command = [a.smartbird, "pretrain", *(f"--{key}={value}" for key, value in options.items())]
    _, peak = wait(command, os.environ | {"OMP_NUM_THREADS": str(a.threads)}, folder)
    steps = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    if [step["tokens"] for step in steps] != [tokens * (i + 1) for i in range(a.steps + 1)]:
        raise PeerError(f"smartbird trained {[step['tokens'] for step in steps]} tokens after its steps, not {tokens} a step")
    return {"step_ms": [step["step_ms"]["total"] for step in steps[1:]], "peak_bytes": peak}


def rival_run(a, name, tokens, folder):
    command = [peers_venv.python_of(a.venv), REPOSITORY / "tests/bench/peer_models.py", name, "--tokens", tokens,
               "--steps", a.steps + 1, "--threads", a.threads, "--shape", json.dumps(SHAPE), "--text", folder / "text.txt"]
    out, peak = wait(command, peers_venv.variables(a.venv, a.threads), folder)
    said = json.loads(peers_venv.last_line(out))
    return {"step_ms": said["step_ms"][1:], "peak_bytes": peak, "model": said["model"], "versions": said["versions"]}


def measure(a, tokens, folder):
    """All runs at one length, in turns: {system: [run, ...]}, and why a system failed."""
    write_text(folder / "text.txt", tokens, a.steps + 1)
    runs, failed = {}, {}

    def take(system, body):
        if system in failed:
            return
        try:
            runs.setdefault(system, []).append(body())
        except PeerError as error:
            failed[system] = str(error)
            print(f"peers: {tokens} tokens: {error}", file=sys.stderr, flush=True)
            return
        median = statistics.median(runs[system][-1]["step_ms"])
        print(f"{tokens} tokens, round {turn + 1}: {system} {median:.0f} ms a step", file=sys.stderr, flush=True)

    for turn in range(a.rounds):
        for rival in RIVALS:
            for block in a.query_block:
                take(f"smartbird b={block}", lambda: smartbird_run(a, tokens, block, folder))
            take(rival, lambda: rival_run(a, rival, tokens, folder))
    return {"tokens": tokens, "runs": runs, "failed": failed}


def numbers(text):
    return [int(part) for part in text.split(",")]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smartbird", type=pathlib.Path, default=REPOSITORY / "build/release/smartbird", metavar="BINARY")
    parser.add_argument("--tokens", type=numbers, default=[4096, 16384], help="sequence lengths, separated by commas (4096,16384)")
    parser.add_argument("--query-block", type=numbers, default=[1, 16], help="smartbird's attention.query_block (1,16)")
    parser.add_argument("--fill", choices=("auto", "on", "off"), default="auto", help="smartbird's attention.fill (auto)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of every system (the cores there are)")
    parser.add_argument("--steps", type=int, default=2, help="steps of a process that count (2)")
    parser.add_argument("--rounds", type=int, default=2, help="processes of every rival (2)")
    parser.add_argument("--out", action="append", default=[], metavar="FILE", help="FILE.md or FILE.json; may be given twice")
    parser.add_argument("--venv", type=pathlib.Path, default=REPOSITORY / "build/peers-venv", help="made when it is not there")
    a = parser.parse_args()
    if not os.access(a.smartbird, os.X_OK):
        raise PeerError(f"{a.smartbird} does not exist; run bash launch/setup.sh, or give --smartbird=BINARY")
    for tokens in a.tokens:
        if tokens < 1024 or tokens % SHAPE["window"] != 0:
            raise PeerError(f"--tokens {tokens}: Longformer needs a multiple of {SHAPE['window']}, BigBird at least 1024")
    if min(a.threads, a.steps, a.rounds, *a.query_block) < 1:
        raise PeerError("--threads, --steps, --rounds and --query-block must be at least 1")
    for name in a.out:
        if pathlib.Path(name).suffix not in (".md", ".json"):
            raise PeerError(f"--out {name}: expected a name that ends in .md or .json")
        if not pathlib.Path(name).absolute().parent.is_dir():
            raise PeerError(f"--out {name}: its folder does not exist")
    return a


def main():
    a = arguments()
    peers_venv.prepare(a.venv)
    version = subprocess.run([a.smartbird, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"peers: other work keeps {load:.1f} cores busy; times will be long and uneven", file=sys.stderr)
    report = {"load": load, "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "smartbird": version,
              "hardware": peers_report.hardware(), "threads": a.threads, "shape": SHAPE, "fill": a.fill, "steps": a.steps, "rounds": a.rounds, "lengths": []}
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        for tokens in a.tokens:
            report["lengths"].append(measure(a, tokens, pathlib.Path(folder)))
    peers_report.summarise(report)
    print(peers_report.markdown(report))
    for name in a.out:
        text = json.dumps(report, indent=1) if name.endswith(".json") else peers_report.markdown(report)
        pathlib.Path(name).write_text(text + "\n")
    return 1 if any(length["failed"] for length in report["lengths"]) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PeerError as error:
        print(f"peers: {error}", file=sys.stderr)
        sys.exit(2)
