"""One training of a benchmark: from its trunk, if it has one, to the result."""
import hashlib
import json
import os
import pathlib
import platform
import re
import shlex
import shutil
import statistics
import subprocess
import threading
import time

import benchmark_data
from benchmark_list import HERE

SCRATCH = HERE / "scratch" if os.environ.get("SMARTBIRD_BENCHMARKS") else pathlib.Path("runs/benchmarks")
LAST_STEPS = 50  # that means over steps are taken of
MEANS = ("loss", "sketch_loss", "coverage", "coverage_domain", "coverage_uniform", "phi", "tokens_per_s")


class Failed(Exception):
    """A run without a result, and why."""


class Runner:
    def __init__(self, binary, data, threads):
        self.binary, self.data, self.threads = binary, data, threads
        self.stopping = threading.Event()  # set: no new program starts
        self._guard = threading.Lock()
        self._trunk_locks = {}

    def result(self, benchmark, run):
        folder, fingerprint = SCRATCH / benchmark.name / f"{plain(run.variant)}-{run.seed}", benchmark.fingerprint()
        shutil.rmtree(folder, ignore_errors=True)
        options = self._options(f"{benchmark.options} {run.options}")
        command, more, trunk_s = "pretrain", [], 0
        if benchmark.trunk_steps:
            trunk, trunk_s = self._trunk(benchmark.config, run.seed, self._options(benchmark.options), benchmark.trunk_steps)
            changed = ",".join(option.removeprefix("--").split("=")[0] for option in shlex.split(run.options))
            more = [f"--run.resume={trunk / 'checkpoints' / f'step_{benchmark.trunk_steps:08d}'}", f"--run.allow_change={changed}"]
        if benchmark.trunk_config:
            trunk, trunk_s = self._trunk(benchmark.trunk_config, run.seed if benchmark.trunk_seed is None else benchmark.trunk_seed,
                                         self._options(f"{benchmark.trunk_options} {run.trunk_options}"), 0)
            command, more = "finetune", [f"--init.checkpoint={trunk}"]
        began = time.time()
        self._train(command, benchmark.config, run.seed, folder, [*options, *more])
        wall_s = time.time() - began
        lines = metrics(folder)
        steps, evaluations = [line for line in lines if "loss" in line], [line for line in lines if "eval" in line]
        if not steps or not evaluations:
            raise Failed("it took no step, or was not evaluated")
        report, also = self._sketch_report(folder), self._evaluate_again(folder, benchmark.also_evaluate)
        shutil.rmtree(folder, ignore_errors=True)
        return {"benchmark": benchmark.name, "variant": run.variant, "seed": run.seed, "options": run.options,
                "trunk_options": run.trunk_options, "config": fingerprint, "steps": steps[-1]["step"],
                "evaluation": evaluations[-1]["eval"], "curve": curve(lines), "last_steps": means(steps[-LAST_STEPS:]),
                "sketch_report": report, "also": also, "wall_s": round(wall_s, 1), "trunk_s": round(trunk_s, 1), "threads": self.threads,
                "hardware": hardware(), "commit": self._commit(), "date": time.strftime("%Y-%m-%d")}

    def prepare(self, benchmark):
        """Writes the data that the benchmark's lines `prepare` name."""
        for text in benchmark.prepare:
            words = self._options(text)
            output = pathlib.Path(next(word for word in words if word.startswith("--output=")).removeprefix("--output="))
            if not output.with_name(output.name + ".idx").exists():
                output.parent.mkdir(parents=True, exist_ok=True)
                if words[0] == "data":
                    self._call(words)
                else:
                    getattr(benchmark_data, words[0])(self.data, output)

    def _options(self, text):
        return [option.replace("{data}", str(self.data)) for option in shlex.split(text)]

    def _train(self, command, config, seed, folder, options):
        self._call([command, "--config", str(config), f"--run.seed={seed}", f"--run.dir={folder}", "--run.progress=none",
                    f"--run.threads={self.threads}", *options])

    def _call(self, arguments):
        if self.stopping.is_set():
            raise Failed("stopped")
        done = subprocess.run([self.binary, *arguments], capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"{self.binary} {arguments[0]} ended with {done.returncode}: {(done.stderr.strip().splitlines() or [''])[-1]}")
        return done.stdout

    def _commit(self):
        """Of the sources that the program was built from."""
        said = re.search(r"commit (\S+)", self._call(["--version"]))
        return said[1] if said else "unknown"

    def _evaluate_again(self, folder, options):
        if not options:
            return {}
        try:
            said = self._call(["evaluate", f"--checkpoint={folder}", f"--run.threads={self.threads}", *self._options(options)])
        except Failed as reason:
            return {"none": str(reason)}
        values = (line.split(": ") for line in said.splitlines() if re.fullmatch(r"\w+: \S+", line))
        return {name: float(value) for name, value in values}

    def _trunk(self, config, seed, options, steps):
        """The folder of what several runs begin with and the seconds it took; made on first use, steps = 0: to its end."""
        name = hashlib.sha256(config.read_bytes() + "\n".join([*options, str(steps)]).encode()).hexdigest()[:12]
        folder = SCRATCH / "trunks" / f"{config.stem}-{name}-{seed}"
        with self._guard:
            lock = self._trunk_locks.setdefault(folder, threading.Lock())
        with lock:
            took = folder / "took_s.txt"  # written last
            if not took.exists():
                shutil.rmtree(folder, ignore_errors=True)
                began = time.time()
                self._train("pretrain", config, seed, folder, [*options, *([f"--train.stop_after={steps}"] if steps else [])])
                took.write_text(f"{time.time() - began:.1f}\n")
            return folder, float(took.read_text())

    def _sketch_report(self, folder):
        """What the run's sketch is worth, shortened; its reason where there is none to report on."""
        file = folder / "sketch_report.json"
        try:
            self._call(["evaluate", f"--checkpoint={folder}", f"--sketch.report={file}", "--eval.draw=same", f"--run.threads={self.threads}"])
        except Failed as reason:
            return {"none": str(reason)}
        report = json.loads(file.read_text())
        kept = {key: report["all"][key] for key in ("band", "caught", "recall", "effective_keys", "output_error")}
        kept["phi_of_4_ranks"] = {f"b {t['query_block']}, g {t['share']}": t["phi"]["4"] for t in report["traffic"]}
        return kept


def plain(name):
    """A folder's name; names that differ get folders that differ."""
    return re.sub(r"[^A-Za-z0-9.-]", lambda other: f"_{ord(other[0]):x}", name)


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def curve(lines):
    """[step, loss, accuracy, seconds in steps so far] of each evaluation on data.valid."""
    points, seconds = [], 0.0
    for line in lines:
        if "step_ms" in line:
            seconds += line["step_ms"]["total"] / 1e3
        if line.get("split") == "valid":
            points.append([line["step"], line["eval"]["loss"], line["eval"]["accuracy"], round(seconds, 3)])
    return points


def means(steps):
    return {key: statistics.mean(step[key] or 0 for step in steps) for key in MEANS}


def hardware():
    model = next((line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.processor())
    return f"{os.cpu_count()} cores, {model}"
