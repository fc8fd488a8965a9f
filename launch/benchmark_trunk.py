"""What several runs of a benchmark begin with: one training, made on first use."""
import dataclasses
import hashlib
import json
import os
import pathlib

from benchmark_list import SCRATCH


@dataclasses.dataclass(frozen=True)
class Trunk:
    config: pathlib.Path
    seed: int
    options: tuple
    steps: int  # it stops after; 0 = at its end

    @property
    def folder(self):
        """Named by all that the trunk depends on but the program, which `made` tells."""
        depends = self.config.read_bytes() + "\n".join([*self.options, str(self.steps)]).encode()
        return SCRATCH / "trunks" / f"{self.config.stem}-{hashlib.sha256(depends).hexdigest()[:12]}-{self.seed}"

    @property
    def checkpoint(self):
        return self.folder / "checkpoints" / f"step_{self.steps:08d}" if self.steps else self.folder

    def made(self):
        """How it was made: seconds, commit, threads, weights; empty where it is not there."""
        file = self.folder / "trunk.json"
        return json.loads(file.read_text()) if file.exists() else {}

    def keep(self, how):
        """To be called last: from now on it is there."""
        aside = self.folder / "trunk.json.tmp"
        aside.write_text(json.dumps({**how, "weights": self._weights()}) + "\n")
        os.replace(aside, self.folder / "trunk.json")

    def _weights(self):
        """A short hash of the model as it is in the checkpoints: what tells two trunks apart."""
        models = sorted((self.folder / "checkpoints").glob("step_*/model.safetensors"))
        if not models:
            raise FileNotFoundError(f"{self.folder} has no checkpoint")
        return hashlib.sha256(b"".join(hashlib.sha256(model.read_bytes()).digest() for model in models)).hexdigest()[:12]


def of(benchmark, run, options):
    """The trunk of a run, None without; options(text) are the words of it."""
    if benchmark.trunk_steps:
        return Trunk(benchmark.config, run.seed, tuple(options(benchmark.options)), benchmark.trunk_steps)
    if benchmark.trunk_config:
        seed = run.seed if benchmark.trunk_seed is None else benchmark.trunk_seed
        return Trunk(benchmark.trunk_config, seed, tuple(options(f"{benchmark.trunk_options} {run.trunk_options}")), 0)
    return None
