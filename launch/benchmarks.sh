#!/usr/bin/env bash
# Runs the benchmarks of configs/benchmarks and writes their results: a JSON line a run, a table a benchmark. A run that is there already is
# not repeated, so that it can be stopped and started again. It says first how long it will take.
#   launch/benchmarks.sh [--full] [--list] [--jobs=N] [--seeds=N] [--only=TEXT] [--data=FOLDER] [NAME...]
# NAME: a list configs/benchmarks/NAME.runs, all without one; --full adds the long runs, --list only says what is missing, --jobs=N makes
# N runs at a time, which share the cores, --seeds=N stops after seed N, --only=TEXT takes variants whose name contains it, --data names
# the folder of the texts that some lists read (../shared/data)
# SMARTBIRD_BENCHMARKS=FOLDER: lists, configurations and results there instead of in configs/benchmarks.
set -euo pipefail
here="$PWD"
[ -z "${SMARTBIRD_BENCHMARKS:-}" ] || SMARTBIRD_BENCHMARKS="$(realpath -m "$SMARTBIRD_BENCHMARKS")"
[ -z "${SMARTBIRD_BINARY:-}" ] || SMARTBIRD_BINARY="$(realpath -m "$SMARTBIRD_BINARY")"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
binary="${SMARTBIRD_BINARY:-build/release/smartbird}"
[ -x "$binary" ] || { echo "benchmarks: $binary is not there; run bash launch/setup.sh" >&2; exit 4; }
exec python3 launch/benchmarks.py --binary "$binary" --called-from "$here" "$@"
