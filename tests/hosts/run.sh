#!/usr/bin/env bash
# The same run on one host, on two and three, and over links that are slow and lose packets: every loss, gradient norm and
# pick must have the same bits. The same number of ranks everywhere, so that sums have the same order.
#   tests/hosts/run.sh [PATH OF smartbird]
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
repository="$(cd "$here/../.." && pwd)"
binary="$(realpath "${1:-$repository/build/release/smartbird}")"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$repository"
ranks=4
run() {  # NAME HOSTS [shape...]
  local name=$1 hosts=$2 started=$EPOCHREALTIME code=0
  shift 2
  "$here/with_hosts.sh" "$hosts" "$ranks" "$@" -- "$binary" pretrain --config configs/tiny.ini --run.dtype=float64 \
    --run.dir="$folder/$name" --train.stop_after=3 --eval.at_end=off --exchange.plan=auto --exchange.link=20ms,20Mbit/s \
    >"$folder/$name.log" 2>&1 || code=$?
  if [ "$code" = 77 ]; then cat "$folder/$name.log" >&2; fi
  if [ "$code" != 0 ]; then tail -5 "$folder/$name.log" >&2; exit "$code"; fi
  echo "$name: $(awk "BEGIN{printf \"%.1f\", $EPOCHREALTIME - $started}") s"
}
run one_host 1
run two_hosts 2
run three_hosts 3
run two_hosts_delayed 2 delay=5ms
run two_hosts_lossy 2 delay=1ms loss=1%
run three_hosts_slow 3 delay=2ms rate=50mbit
python3 - "$folder" <<'END'
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
def steps(name):
    lines = [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
    return [[line[key] for key in ("step", "loss", "sketch_loss", "picks_hash", "grad_norm", "sketch_grad_norm")] for line in lines if "loss" in line]
first = steps("one_host")
assert len(first) == 3, first
for run in sorted(path.name for path in folder.iterdir() if path.is_dir()):
    if steps(run) != first:
        sys.exit(f"hosts: {run} gives {steps(run)}, one_host {first}")
print(f"hosts: the same bits everywhere, picks {first[-1][3]}, loss {first[-1][1]:.6f}")
END
