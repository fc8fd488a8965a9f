#!/usr/bin/env bash
# Set-up if needed, build, the default tests (--slow: all); the last line says how many passed and failed.
set -euo pipefail
case "${1:-}" in "" | --slow) ;; *) echo "usage: launch/test.sh [--slow]" >&2; exit 2 ;; esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash launch/setup.sh
exclude=(-LE "slow|gpu")
[ "${1:-}" = --slow ] && exclude=(-LE gpu)
log="$(mktemp)"
status=0
ctest --test-dir build/release --output-on-failure -j "$(nproc)" "${exclude[@]}" 2>&1 | tee "$log" | grep -vE '^ *Start |Passed ' || status=${PIPESTATUS[0]}
status=$(grep -q '100% tests passed' "$log" && echo 0 || echo 1)
failed=$(grep -cE '\*\*\*(Failed|Timeout|Exception|Not Run)' "$log" || true)
passed=$(grep -cE ' Passed ' "$log" || true)
rm -f "$log"
echo "tests: $passed passed, $failed failed"
[ "$status" = 0 ] && [ "$passed" -gt 0 ]
