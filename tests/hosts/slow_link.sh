#!/usr/bin/env bash
# Time of a step over a slow link between two hosts (20 Mbit/s, 20 ms), 32,768 tokens: forced `all`, auto, and auto without
# overlap. The second step from a model of configs/books.ini that was trained before; rows go both ways (zigzag).
#   tests/hosts/slow_link.sh CHECKPOINT [PATH OF smartbird] [smartbird options...]
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
repository="$(cd "$here/../.." && pwd)"
checkpoint="$(realpath "${1:?CHECKPOINT, a run of configs/books.ini}")"
binary="$(realpath "${2:-$repository/build/release/smartbird}")"
shift $(( $# > 1 ? 2 : 1 ))
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$repository"
run() {  # NAME [options...]
  local name=$1
  shift
  HOSTS_TIMEOUT=1800 "$here/with_hosts.sh" 2 2 delay=20ms rate=20mbit -- "$binary" finetune --config configs/books.ini \
    --init.checkpoint="$checkpoint" --attention.share_warmup_steps=0 --attention.picks=16 --memory.recompute=layer \
    --data.sequence_tokens=32768 --train.batch_tokens=32768 --parallel.layout=zigzag --train.stop_after=2 \
    --eval.at_end=off --run.dir="$folder/$name" "$@" >"$folder/$name.log" 2>&1 || { tail -5 "$folder/$name.log" >&2; exit 1; }
  python3 - "$folder/$name" "$name" <<'END'
import json, pathlib, statistics, sys
steps = [json.loads(line) for line in (pathlib.Path(sys.argv[1]) / "metrics.jsonl").read_text().splitlines()][1:]
median = lambda key: statistics.median(step[key] for step in steps)
rows = sum(bytes for what, bytes in steps[-1]["sent_bytes"].items() if what.startswith(("rows", "band", "head")))
print(f"{sys.argv[2]:16} {statistics.median(s['step_ms']['total'] for s in steps) / 1000:8.2f} s a step, exchanges exposed "
      f"{median('exchange_exposed_ms') / 1000:7.2f} s, hidden {median('exchange_hidden_ms') / 1000:6.2f} s, plan "
      f"{steps[-1]['plan']}, rows {rows / 1e6:.2f} MB, all {sum(steps[-1]['sent_bytes'].values()) / 1e6:.2f} MB")
END
}
run all --exchange.plan=all "$@"
run auto --exchange.plan=auto "$@"
run auto_no_overlap --exchange.plan=auto --exchange.overlap=off "$@"
