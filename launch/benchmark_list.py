"""What the benchmarks' .runs files list.

NAME.runs: lines of  VARIANT | SEEDS | MINUTES | OPTIONS [| TRUNK OPTIONS]  , SEEDS as in 1,2,3 (a + before it: only with --full), MINUTES
of a run on one core as first guess, OPTIONS for smartbird beside --config NAME.ini. A line that begins with # is a comment. Lines
KEY = VALUE  hold for all runs of the file:
  config = FILE         a configuration of this folder in place of NAME.ini
  options = OPTIONS     of every run, before its own; {data} is the folder that --data names
  prepare = COMMAND     smartbird COMMAND, as in  data listops --output=PATH ..., or  words --output=FOLDER  (benchmark_data.py), where
                        its output is not there yet; may come several times
  also_evaluate = OPTIONS  every run's last checkpoint is evaluated a second time, with these
  trunk_steps = N       every run goes on from step N of one with the seed and the unchanged configuration, which all share
  finetune_from = FILE  every run fine-tunes the last checkpoint of a pre-training with this configuration, the seed and its TRUNK OPTIONS
  trunk_options = OPTIONS  of the pre-training of every run, before its own
  trunk_seed = N        the pre-training's seed, for all runs, in place of theirs
  trunk_minutes = N     that a trunk takes on one core, as first guess"""
import dataclasses
import hashlib
import math
import os
import pathlib
import shlex
import sys

import benchmark_data

HERE = pathlib.Path(os.environ.get("SMARTBIRD_BENCHMARKS") or pathlib.Path(__file__).resolve().parent.parent / "configs" / "benchmarks")
SCRATCH = HERE / "scratch" if os.environ.get("SMARTBIRD_BENCHMARKS") else pathlib.Path("runs/benchmarks")
KEYS = ("config", "options", "also_evaluate", "trunk_steps", "finetune_from", "trunk_options", "trunk_seed", "trunk_minutes")
TAKEN = ("--config", "--run.dir", "--run.seed", "--run.threads", "--run.progress", "--run.resume", "--run.allow_change", "--init.checkpoint")


@dataclasses.dataclass(frozen=True)
class Run:
    """One training of a benchmark."""
    benchmark: str
    variant: str
    seed: int
    minutes: float
    options: str
    trunk_options: str
    only_full: bool


@dataclasses.dataclass(frozen=True)
class Benchmark:
    name: str
    config: pathlib.Path
    options: str
    prepare: tuple
    also_evaluate: str
    trunk_steps: int
    trunk_config: "pathlib.Path | None"
    trunk_options: str
    trunk_seed: "int | None"
    trunk_minutes: float
    runs: tuple

    def fingerprint(self):
        """Tells one set-up from another: results of an earlier one do not count."""
        text = self.config.read_bytes() + self.options.encode() + self.also_evaluate.encode() + "".join(self.prepare).encode()
        if self.trunk_steps:
            text += f"trunk_steps = {self.trunk_steps}".encode()
        if self.trunk_config:
            text += self.trunk_config.read_bytes() + self.trunk_options.encode()
        if self.trunk_seed is not None:
            text += f"trunk_seed = {self.trunk_seed}".encode()
        return hashlib.sha256(text).hexdigest()[:12]

    def reads_data(self, run):
        """Whether the run needs the folder that --data names."""
        texts = [self.options, self.also_evaluate, self.trunk_options, run.options, run.trunk_options, *self.prepare]
        return any("{data}" in text for text in texts) or any(not text.startswith("data ") for text in self.prepare)


def names():
    return sorted(path.stem for path in HERE.glob("*.runs"))


def read(name):
    """Ends the program where the file is wrong, before anything runs."""
    lines = [(f"{name}.runs:{number}", line.strip()) for number, line in
             enumerate((HERE / f"{name}.runs").read_text().splitlines(), 1) if line.strip() and not line.startswith("#")]
    shared, runs, prepare = {}, [], []
    for place, line in lines:
        key, equals, value = line.partition("=")
        if key.strip() == "prepare":
            prepare.append(_command(place, value.strip()))
        elif equals and key.strip() in KEYS:
            if key.strip() in shared:
                sys.exit(f"benchmarks: {place}: {key.strip()} is there twice")
            shared[key.strip()] = value.strip()
        elif equals and "|" not in line:
            sys.exit(f"benchmarks: {place}: unknown '{key.strip()}' in '{line}'; known: prepare, {', '.join(KEYS)}")
        else:
            runs += _runs_of(name, place, line, runs)
    steps, trunk_seed = shared.get("trunk_steps", "0"), shared.get("trunk_seed", "0")
    trunk_minutes = shared.get("trunk_minutes", "5")
    for key, value in (("trunk_steps", steps), ("trunk_seed", trunk_seed), ("trunk_minutes", trunk_minutes)):
        if not (value.isascii() and value.isdigit()):
            sys.exit(f"benchmarks: {name}.runs: {key} = {value} is not a number")
    for key in ("trunk_seed", "trunk_options"):
        if key in shared and "finetune_from" not in shared:
            sys.exit(f"benchmarks: {name}.runs: has {key}, but no finetune_from")
    if steps != "0" and "finetune_from" in shared:
        sys.exit(f"benchmarks: {name}.runs: has trunk_steps and finetune_from; a run can begin with one of them only")
    trunk_config = _file(name, shared["finetune_from"]) if "finetune_from" in shared else None
    for run in runs:
        if run.trunk_options and not trunk_config:
            sys.exit(f"benchmarks: {name}.runs: {run.variant} has trunk options, but the file no finetune_from")
    for key in ("options", "also_evaluate", "trunk_options"):
        _check_options(f"{name}.runs: {key}", shared.get(key, ""))
    return Benchmark(name, _file(name, shared.get("config", f"{name}.ini")), shared.get("options", ""),
                     tuple(prepare), shared.get("also_evaluate", ""), int(steps), trunk_config, shared.get("trunk_options", ""),
                     int(trunk_seed) if "trunk_seed" in shared else None, int(trunk_minutes), tuple(runs))


def _command(place, text):
    try:
        words = shlex.split(text)
    except ValueError as error:
        sys.exit(f"benchmarks: {place}: {error} in '{text}'")
    if words[:1] not in [["data"], *([name] for name in benchmark_data.MAKERS)] or sum(word.startswith("--output=") for word in words) != 1:
        sys.exit(f"benchmarks: {place}: '{text}' is not a command as in data listops --output=PATH")
    return text


def _file(name, file):
    if not (HERE / file).is_file():
        sys.exit(f"benchmarks: {name}.runs: there is no {HERE / file}; add it, or name another by a line config = NAME.ini")
    return HERE / file


def _runs_of(name, place, line, earlier):
    fields = [field.strip() for field in line.split("|")]
    try:
        variant, seeds, minutes, options = fields[:4]
        seeds_of = seeds.removeprefix("+").split(",")
        numbers, minutes = [int(seed) for seed in seeds_of if seed.isascii() and seed.isdigit()], float(minutes)
        if len(numbers) != len(seeds_of) or len(fields) > 5 or not variant or not (math.isfinite(minutes) and minutes > 0):
            raise ValueError(f"cannot read '{line}'")
    except ValueError as error:
        sys.exit(f"benchmarks: {place}: {error}; expected VARIANT | SEEDS as in 1,2,3 | MINUTES above 0 | OPTIONS [| TRUNK OPTIONS]")
    for field in fields[3:]:
        _check_options(place, field)
    runs = []
    for seed in numbers:
        if any((variant, seed) == (other.variant, other.seed) for other in [*earlier, *runs]):
            sys.exit(f"benchmarks: {place}: {variant}, seed {seed}, is there twice; give it another name or seed")
        runs.append(Run(name, variant, seed, minutes, options, fields[4] if len(fields) == 5 else "", seeds.startswith("+")))
    return runs


def _check_options(place, text):
    try:
        options = shlex.split(text)
    except ValueError as error:
        sys.exit(f"benchmarks: {place}: {error} in '{text}'")
    for option in options:
        name, equals, _ = option.partition("=")
        if not equals or not name.startswith("--") or "." not in name:
            sys.exit(f"benchmarks: {place}: '{option}' is not an option as in --section.key=value")
        if name in TAKEN:
            sys.exit(f"benchmarks: {place}: {option} is what launch/benchmarks.sh sets itself; leave it out")
