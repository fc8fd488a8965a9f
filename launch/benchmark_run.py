"""One training of a benchmark: from its trunk, if it has one, to the result."""
import configparser
import functools
import json
import os
import pathlib
import platform
import re
import shlex
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
import typing

import benchmark_data
import benchmark_trunk
from benchmark_list import SCRATCH
from benchmark_locks import locked

REFUSED = 2  # exit code of smartbird where a configuration is wrong; of evaluate --sketch.report where no layer is sampled
LAST_STEPS = 50  # that means over steps are taken of
MEANS = ("loss", "sketch_loss", "coverage", "coverage_domain", "coverage_uniform", "phi", "tokens_per_s")


class Failed(Exception):
    """A run without a result, and why; the exit code of the program that refused it."""

    def __init__(self, reason, code=None):
        super().__init__(reason)
        self.code = code


class Ended(typing.NamedTuple):
    """A program that did what it should."""
    said: str
    complaint: str
    cpu_s: float  # of all its threads


class Runner:
    def __init__(self, binary, data, threads):
        self.binary, self.data, self.threads = binary, data, threads
        self.stopping = threading.Event()  # set: no new program starts
        self._guard = threading.Lock()
        self._running = set()

    @functools.cached_property
    def _commit(self):
        """Of the sources that the program was built from."""
        said = re.search(r"commit (\S+)", self._call(["--version"]))
        return said[1] if said else "unknown"

    def stop(self):
        """From another thread: ends the programs that run; no new one starts."""
        with self._guard:
            self.stopping.set()
            for program in self._running:
                program.terminate()

    def commands(self, benchmark, run):
        """{(options of a program that the run takes, whether they are all it gets)}; a fine-tuning run inherits others."""
        trunk, config = self.trunk(benchmark, run), ("--config", str(benchmark.config))
        out = {((*config, *self._options(f"{benchmark.options} {run.options}")), not benchmark.trunk_config)}
        if benchmark.also_evaluate:
            out.add(((*config, *self._options(benchmark.also_evaluate)), False))
        if trunk:
            out.add((("--config", str(trunk.config), *trunk.options), True))
        return out

    def check_options(self, options, are_all):
        """Fails where the program does not know one of them or cannot read its value, or, where they are all, where they do not agree."""
        try:
            self._call(["plan", *options])
        except Failed as reason:
            wrong = [line for line in str(reason).splitlines() if "smartbird: plan: attention.draw = oracle" not in line]
            if reason.code != REFUSED or not are_all:
                wrong = [line for line in wrong if re.search(r"command line: |\.ini:\d+: ", line)]
            if wrong:
                raise Failed("\n".join(wrong)) from None

    def trunk(self, benchmark, run):
        return benchmark_trunk.of(benchmark, run, self._options)

    def result(self, benchmark, run, hold):
        """hold: the lock of the run, for its programs."""
        folder = SCRATCH / benchmark.name / f"{plain(run.variant)}-{run.seed}"
        fingerprint, commit = benchmark.fingerprint(), self._commit  # of now: both may change while it runs
        shutil.rmtree(folder, ignore_errors=True)
        options = self._options(f"{benchmark.options} {run.options}")
        command, more, trunk = "pretrain", [], self.trunk(benchmark, run)
        began_with = self._make(trunk) if trunk else {}
        if benchmark.trunk_steps:
            changed = ",".join(option.removeprefix("--").split("=")[0] for option in shlex.split(run.options))
            more = [f"--run.resume={trunk.checkpoint}", f"--run.allow_change={changed}"]
        elif trunk:
            command, more = "finetune", [f"--init.checkpoint={trunk.checkpoint}"]
        try:
            took = self._train(command, benchmark.config, run.seed, folder, [*options, *more], hold)
        except Failed as reason:
            if benchmark.trunk_steps and "run.resume: " in str(reason):
                raise Failed(f"{reason}; if it is of a program with other defaults, remove {trunk.folder}: it is made anew") from None
            raise
        lines = metrics(folder)
        steps, evaluations = [line for line in lines if "loss" in line], [line for line in lines if "eval" in line]
        if not steps or not evaluations:
            raise Failed("it took no step, or was not evaluated")
        report, also = self._sketch_report(folder), self._evaluate_again(folder, benchmark.also_evaluate)
        shutil.rmtree(folder, ignore_errors=True)
        return {"benchmark": benchmark.name, "variant": run.variant, "seed": run.seed, "options": run.options,
                "trunk_options": run.trunk_options, "config": fingerprint, "steps": steps[-1]["step"],
                "evaluation": evaluations[-1]["eval"], "curve": curve(lines), "last_steps": means(steps[-LAST_STEPS:]),
                "sketch_report": report, "also": also, **took, "trunk": began_with, "threads": self.threads,
                "hardware": hardware(), "commit": commit, "date": time.strftime("%Y-%m-%d")}

    def prepare(self, benchmark):
        """Writes the data that the benchmark's lines `prepare` name, once; how they are made lies beside them."""
        for text in benchmark.prepare:
            words = self._options(text)
            output = pathlib.Path(next(word for word in words if word.startswith("--output=")).removeprefix("--output="))
            index, made_by = output.with_name(output.name + ".idx"), output.with_name(output.name + ".prepared")
            with locked("prepare", self.stopping) as hold:
                if (index.exists() or output.exists()) and not (made_by.exists() and made_by.read_text() == f"{text}\n"):
                    raise Failed(f"{output} is there, but was not made by '{text}'; remove {output}*")
                if index.exists():  # written last
                    continue
                output.parent.mkdir(parents=True, exist_ok=True)
                made_by.write_text(f"{text}\n")
                if words[0] == "data":
                    self._call(words, hold)
                else:
                    getattr(benchmark_data, words[0])(self.data, output)

    def _options(self, text):
        return [option.replace("{data}", str(self.data)) for option in shlex.split(text)]

    def _train(self, command, config, seed, folder, options, hold):
        """How it went: seconds by the clock and of its threads' computing, of which other work beside it adds to the former alone, and what
        its products were rounded to."""
        began = time.time()
        ended = self._run([command, "--config", str(config), f"--run.seed={seed}", f"--run.dir={folder}", "--run.progress=none",
                           f"--run.threads={self.threads}", *options], hold)
        for line in ended.complaint.splitlines():
            if line.startswith("warning: "):
                print(f"{pathlib.Path(folder).name}: {line}", flush=True)
        return {"wall_s": round(time.time() - began, 1), "cpu_s": round(ended.cpu_s, 1), "matmul": matmul_of(folder)}

    def _call(self, arguments, *held):
        return self._run(arguments, *held).said

    def _run(self, arguments, *held):
        """A program of ours to its end; it inherits the locks that are `held`."""
        with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complaint:
            with self._guard:
                if self.stopping.is_set():
                    raise Failed("stopped")
                program = subprocess.Popen([self.binary, *arguments], stdout=said, stderr=complaint, pass_fds=held)
                self._running.add(program)
            try:
                cpu_s = computed(program)
                program.wait()
            except BaseException:
                program.terminate()
                program.wait()
                raise
            finally:
                with self._guard:
                    self._running.discard(program)
            said.seek(0), complaint.seek(0)
            if program.returncode != 0:
                raise Failed(f"smartbird {arguments[0]} ended with {program.returncode}: {complaint.read().strip()}", program.returncode)
            return Ended(said.read(), complaint.read(), cpu_s)

    def _evaluate_again(self, folder, options):
        if not options:
            return {}
        try:
            said = self._call(["evaluate", f"--checkpoint={folder}", f"--run.threads={self.threads}", *self._options(options)])
        except Failed as reason:
            if self.stopping.is_set():
                raise
            print(f"{folder.name}: no second evaluation: {reason}", flush=True)  # the training was too dear to lose
            return {"none": str(reason)}
        values = (line.split(": ") for line in said.splitlines() if re.fullmatch(r"\w+: \S+", line))
        return {name: float(value) for name, value in values}

    def _make(self, trunk):
        """Where it is not there; what it says of itself."""
        def waiting():
            print(f"waiting for {trunk.folder}, which another run is making", flush=True)

        with locked(f"trunks/{trunk.folder.name}", self.stopping, waiting) as hold:
            if not trunk.made():
                shutil.rmtree(trunk.folder, ignore_errors=True)
                stop = [f"--train.stop_after={trunk.steps}"] if trunk.steps else []
                took = self._train("pretrain", trunk.config, trunk.seed, trunk.folder, [*trunk.options, *stop], hold)
                trunk.keep({**took, "commit": self._commit, "threads": self.threads})
            return trunk.made()

    def _sketch_report(self, folder):
        """What the run's sketch is worth, shortened; its reason where there is none to report on."""
        file = folder / "sketch_report.json"
        try:
            self._call(["evaluate", f"--checkpoint={folder}", f"--sketch.report={file}", "--eval.draw=same", f"--run.threads={self.threads}"])
        except Failed as reason:
            if reason.code != REFUSED:
                raise
            return {"none": str(reason)}
        report = json.loads(file.read_text())
        kept = {key: report["all"][key] for key in ("band", "caught", "recall", "effective_keys", "output_error")}
        kept["phi_of_4_ranks"] = {f"b {t['query_block']}, g {t['share']}": t["phi"]["4"] for t in report["traffic"]}
        return kept


def computed(program):
    """Seconds of all its threads, once it has ended and before anyone waits for it; 0 where one who stopped it has done so already."""
    try:
        os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
        after_name = pathlib.Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()
    except (ChildProcessError, FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def plain(name):
    """A folder's name; names that differ get folders that differ."""
    return re.sub(r"[^A-Za-z0-9.-]", lambda other: f"_{ord(other[0]):x}", name)


def matmul_of(folder):
    """run.matmul as the processor did it: the program keeps float32 in a run's configuration where bfloat16 was asked in vain."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(folder / "config.ini")
    return config["run"]["matmul"]


def metrics(folder):
    file = folder / "metrics.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


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
