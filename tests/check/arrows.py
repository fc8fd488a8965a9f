#!/usr/bin/env python3
"""Checks the structure: include arrows, file lengths, the top level, paths of a machine. Prints every breach; exit 1."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ALLOWED = {
    "core": set(), "kernels": {"core", "hwy"}, "config": {"core"}, "comm": {"core"}, "text": {"core"},
    "data": {"core", "config", "text"}, "ops": {"core", "kernels", "comm"}, "model": {"core", "config", "data", "ops", "kernels"},
    "train": {"core", "config", "data", "ops", "model", "interop", "text", "kernels"}, "interop": {"core", "config", "text", "model"},
    "tools": {"core", "kernels", "config", "comm", "data", "text", "ops", "model", "train", "interop"},
    "launch": {"core", "config", "tools"},
}
EXTRA = {"ops": {"data/layout.h"}, "model": {"comm/world.h"}, "train": {"comm/world.h", "comm/measure_link.h"}, "launch": {"comm/session.h", "comm/nccl_groups.h"}}
TORCH = {"ops", "model", "train", "tools"}
TOP = {"src", "kernels", "launch", "configs", "tests", "CMakeLists.txt", "CMakePresets.json", "README.md"}


def breaches():
    files = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(None, files):
        top = name.split("/")[0]
        if top not in TOP and not top.startswith("."):
            yield f"{name}: not a place of the top level"
        if not re.search(r"\.(h|cpp|cu|py|sh)$", name):
            continue
        text = (ROOT / name).read_text()
        if text.count("\n") > 400:
            yield f"{name}: {text.count(chr(10))} lines, at most 400"
        if re.search(r"/(?:work|root)/", text):
            yield f"{name}: a path of one machine"
        folder = name.split("/")[1] if top == "src" else top
        if folder not in ALLOWED:
            continue
        for include in re.findall(r'#include "([^"]+)"', text):
            to = include.split("/")[0]
            if to != folder and to not in ALLOWED[folder] and include not in EXTRA.get(folder, ()):
                yield f"{name}: includes {include}, an arrow {folder} -> {to} that does not exist"
        if folder not in TORCH and not (folder == "model") and re.search(r"#include <(torch|ATen|c10)/", text):
            yield f"{name}: Torch below ops"


found = list(breaches())
print("\n".join(found) if found else "structure: all arrows, lengths and places are right")
sys.exit(1 if found else 0)
