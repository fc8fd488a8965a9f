"""results/NAME.jsonl, a JSON line a run, and results/NAME.md, the table made anew from the lines."""
import json
import os
import statistics
import threading

from benchmark_list import HERE
from benchmark_locks import locked
from benchmark_run import LAST_STEPS

RESULTS = HERE / "results"
HEAD = ("variant", "seeds", "accuracy", "loss", "bits per byte", "also", "cover", "uniform", "draw of best", "top-k of best", "phi", "minutes", "CPU minutes", "tokens/s", "options")


def all_results(name):
    path = RESULTS / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def results_of(benchmark):
    """Those that were made with the options and the configuration of now, in the order of the .runs file."""
    fingerprint = benchmark.fingerprint()
    there = {(r["variant"], r["seed"], r["options"], r.get("trunk_options", "")): r for r in all_results(benchmark.name)
             if r["config"] == fingerprint}
    asked = [(run.variant, run.seed, run.options, run.trunk_options) for run in benchmark.runs]
    return [there[key] for key in asked if key in there]


def is_there(benchmark, run):
    return any((r["variant"], r["seed"]) == (run.variant, run.seed) for r in results_of(benchmark))


def keep(benchmark, result):
    """In place of an earlier result of this variant and seed; other launches may be keeping theirs."""
    RESULTS.mkdir(exist_ok=True)
    with _alone(benchmark):
        others = [r for r in all_results(benchmark.name) if (r["variant"], r["seed"]) != (result["variant"], result["seed"])]
        _write(RESULTS / f"{benchmark.name}.jsonl", "".join(json.dumps(line) + "\n" for line in [*others, result]))
        _write_table(benchmark)


def write_table(benchmark):
    with _alone(benchmark):
        _write_table(benchmark)


def _alone(benchmark):
    return locked(f"{benchmark.name}/results", threading.Event())  # held for an instant


def _write_table(benchmark):
    results, file = results_of(benchmark), RESULTS / f"{benchmark.name}.md"
    if not results:
        file.unlink(missing_ok=True)  # a table of another set-up
        return
    out = [f"# {benchmark.name}", "",
           f"`launch/benchmarks.sh {benchmark.name}`: mean and each seed's value; cover: share of the sampled domain's exact attention "
           f"mass in the picks, in training, mean of the last {LAST_STEPS} steps, beside the same for uniform picks; draw, top-k of best: what the sketch's draw, and as many of its "
           "best keys, hold against the best possible picks, by the sketch report; phi: share of rows that 4 ranks would fetch of each other, with blocks of one row and "
           "share groups of 64; minutes: of training, after the trunk if there is one; CPU minutes: of those what its threads computed, where it was "
           "measured, which other work on the machine adds little to.", ""]
    if benchmark.trunk_steps:
        out += [f"Every run goes on from step {benchmark.trunk_steps} of a run with the unchanged configuration and its seed.", ""]
    if benchmark.trunk_config:
        seed = "its seed" if benchmark.trunk_seed is None else f"seed {benchmark.trunk_seed}"
        out += [f"Every run fine-tunes a model that `{benchmark.trunk_config.name}` pre-trained with {seed}.", ""]
    if benchmark.also_evaluate:
        out += [f"also: loss of the same checkpoints evaluated with `{benchmark.also_evaluate}`.", ""]
    out += [_row(HEAD), _row("---" for _ in HEAD)]
    for variant in dict.fromkeys(result["variant"] for result in results):
        out.append(_row(_cells([result for result in results if result["variant"] == variant])))
    out += _trunks(benchmark, results)
    ran = dict.fromkeys(f"{r['hardware']}, {r['threads']} thread{'s' if r['threads'] > 1 else ''} a run, products of {r.get('matmul', 'float32')} "
                        f"(commit {r['commit']}, {r['date']})" for r in results)
    out += ["", "Ran on " + "; ".join(ran) + ".", ""]
    _write(file, "\n".join(out))


def _trunks(benchmark, results):
    """Which runs began with which trunk, where one was made more than once and came out otherwise: on another machine sums round
    otherwise, and a training takes another course, so that runs of one trunk are comparable and those of two hardly are."""
    runs_of = {}
    for r in results:
        if r.get("trunk"):
            seed = r["seed"] if benchmark.trunk_seed is None else benchmark.trunk_seed
            weights = r["trunk"].get("weights", json.dumps(r["trunk"]))  # a trunk of before its weights were kept: all that is known of it
            runs_of.setdefault((seed, r.get("trunk_options", "")), {}).setdefault(weights, []).append(r)
    out = []
    for trunks in runs_of.values():
        for runs in trunks.values() if len(trunks) > 1 else ():
            commits, named = " and ".join(dict.fromkeys(r["trunk"]["commit"] for r in runs)), {}
            for r in runs:
                named.setdefault(r["variant"], []).append(str(r["seed"]))
            out.append(f"- of commit {commits}, {runs[0]['trunk']['wall_s'] / 60:.0f} minutes: "
                       + "; ".join(f"{variant} (seed {', '.join(seeds)})" for variant, seeds in named.items()))
    return ["", "A trunk was made anew; on another machine or by another program it takes another course: compare runs of the same one:", "", *out] if out else []


def _row(cells):
    return "| " + " | ".join(cells) + " |"


def _cells(results):
    def evaluation(key, form="{:.4f}"):
        return _spread([r["evaluation"][key] for r in results if key in r["evaluation"]], form)

    def last(key):
        return [r["last_steps"][key] for r in results]

    probed = statistics.mean(last("coverage_uniform")) > 0
    reports = [r["sketch_report"] for r in results if r.get("sketch_report") and "none" not in r["sketch_report"]]
    of_best = {choice: [report["caught"][choice] / report["caught"]["oracle"] for report in reports if report["caught"]["oracle"] > 0]
               for choice in ("sketch", "topk")}
    computed = [r["cpu_s"] for r in results if "cpu_s" in r]
    phi = [value for report in reports if (value := report["phi_of_4_ranks"]["b 1, g 64"]) is not None]
    options = " ".join(filter(None, (results[0]["options"], results[0].get("trunk_options"))))
    return (results[0]["variant"], str(len(results)), evaluation("accuracy"), evaluation("loss"), evaluation("bits_per_byte"),
            _spread([r["also"]["loss"] for r in results if "loss" in r.get("also", {})], "{:.4f}"),
            f"{statistics.mean(last('coverage_domain')):.3f}" if probed else "", f"{statistics.mean(last('coverage_uniform')):.3f}" if probed else "",
            *(f"{statistics.mean(shares):.2f}" if shares else "" for shares in of_best.values()),
            f"{statistics.mean(phi):.3f}" if phi else "",
            f"{statistics.mean(r['wall_s'] for r in results) / 60:.1f}", f"{statistics.mean(computed) / 60:.1f}" if computed else "", f"{statistics.mean(last('tokens_per_s')):.0f}",
            f"`{options}`" if options else "")


def _spread(values, form):
    if not values:
        return ""
    mean = form.format(statistics.mean(values))
    return mean if len(values) == 1 else f"{mean} ({', '.join(form.format(value) for value in values)})"


def _write(path, text):
    aside = path.with_name(path.name + ".tmp")
    aside.write_text(text)
    os.replace(aside, path)
