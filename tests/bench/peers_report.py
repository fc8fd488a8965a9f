"""From the runs of peers.py to medians, spreads and ratios, as a table."""
import os
import platform
import statistics

WHAT = {
    "longformer": "Hugging Face Longformer, attention window 128, MLP 4 x width (GELU)",
    "bigbird": "Hugging Face BigBird, block-sparse, block 64, 3 random blocks, MLP 4 x width (GELU)",
    "modernbert": "Hugging Face ModernBERT, dense in every layer (sdpa, no mask), MLP gated",
    "llama": "Hugging Face Llama, dense, causal (sdpa), in place of ModernBERT, MLP gated",
}


def hardware():
    name = platform.processor() or platform.machine()
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{name}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB"


def summary(tokens, runs):
    steps = [ms for run in runs for ms in run["step_ms"]]
    median = statistics.median(steps)
    return {"step_ms": {"median": median, "min": min(steps), "max": max(steps)}, "steps": len(steps),
            "tokens_per_s": tokens / median * 1e3, "peak_bytes": max(run["peak_bytes"] for run in runs)}


def ratios(ours, theirs, every):
    """smartbird's speed over the rival's, from neighbours in time: our run `turn * every + place` came just before theirs."""
    return [statistics.median(other["step_ms"]) / statistics.median(mine["step_ms"]) for mine, other in zip(ours[every[0]::every[1]], theirs)]


def summarise(report):
    for length in report["lengths"]:
        runs = length["runs"]
        length["summary"] = {system: summary(length["tokens"], taken) for system, taken in runs.items() if system not in length["failed"]}
        rivals = [system for system in WHAT if system in runs and system not in length["failed"]]
        length["ratios"] = {}
        all_rivals = [system for system in WHAT if system != "llama"]
        for system in length["summary"]:
            if not system.startswith("smartbird"):
                continue
            for rival in rivals:
                found = ratios(runs[system], runs[rival], (all_rivals.index(rival), len(all_rivals)))
                length["ratios"].setdefault(system, {})[rival] = {"median": statistics.median(found), "min": min(found), "max": max(found)}


def markdown(report):
    lines = [f"{report['smartbird']}; {report['date']}; {report['hardware']}; {report['threads']} threads; "
             f"load before the runs {report['load']:.1f}",
             f"{report['shape']['layers']} layers x {report['shape']['width']} wide, {report['shape']['heads']} heads, "
             f"float32, batch 1, no gradient checkpointing; forward, loss over all tokens, backward, AdamW; "
             f"{report['rounds']} rounds of {report['steps']} steps in turns; ratio: smartbird's tokens/s over the rival's in neighbouring runs.",
             ""]
    for length in report["lengths"]:
        ours = [system for system in length["summary"] if system.startswith("smartbird")]
        lines += [f"**{length['tokens']} tokens**", "",
                  "| system | ms a step: median (min - max) | tokens/s | peak memory, MiB | " + " | ".join(f"ratio of {system}" for system in ours) + " |",
                  "|---" * (4 + len(ours)) + "|"]
        for system, s in length["summary"].items():
            cells = []
            for mine in ours:
                ratio = length["ratios"].get(mine, {}).get(system)
                cells.append(f"{ratio['median']:.2f} ({ratio['min']:.2f} - {ratio['max']:.2f})" if ratio else "")
            took = s["step_ms"]
            lines.append(f"| {system} | {took['median']:.0f} ({took['min']:.0f} - {took['max']:.0f}) | {s['tokens_per_s']:.0f} | "
                         f"{s['peak_bytes'] / 2**20:.0f} | " + " | ".join(cells) + " |")
        lines += [f"| {system} | failed: {why} | | | " + " | ".join("" for _ in ours) + " |" for system, why in length["failed"].items()]
        lines.append("")
    lines += ["smartbird: bidirectional, attention.window 64 (129 keys a row, as Longformer's window 128), attention.picks 32, MLP gated"]
    built = {run.get("model", system) for length in report["lengths"] for system, runs in length["runs"].items() for run in runs}
    lines += [f"{system}: {what}" for system, what in WHAT.items() if system in built]
    return "\n".join(lines)
