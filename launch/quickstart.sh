#!/usr/bin/env bash
# From a fresh machine to a trained model: set-up, build, pretrain on novels with two ranks, fine-tune author
# identification, evaluate on unseen books, generate a passage. A second run skips what is done.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
say() { printf '\n[%4ss] %s\n' "$SECONDS" "$*"; }
runs=runs/quickstart

# value FILE KEY: KEY of the last evaluation of data.test in a metrics file, "" when there is none.
value() {
  [ -f "$1" ] || return 0
  python3 - "$1" "$2" <<'PY'
import json, sys
last = None
for line in open(sys.argv[1]):
    record = json.loads(line)
    if record.get("split") == "test":
        last = record["eval"].get(sys.argv[2])
print("" if last is None else last)
PY
}

say "set-up and build"
bash launch/setup.sh --no-tests
if [ -z "$(value $runs/books/metrics.jsonl bits_per_byte)" ]; then
  say "pretraining on four novels with two ranks"
  bash launch/run.sh -n 2 pretrain --config configs/books.ini --run.dir=$runs/books --run.resume=auto --run.log_every=5
fi
if [ -z "$(value $runs/authors/metrics.jsonl accuracy)" ]; then
  say "fine-tuning author identification from that checkpoint"
  bash launch/run.sh -n 2 finetune --config configs/authors.ini --init.checkpoint=$runs/books --run.dir=$runs/authors --run.resume=auto --run.log_every=5
fi
say "a passage from the model"
build/release/smartbird generate --checkpoint=$runs/books --prompt="It was a " --tokens=300
cat <<TEXT

What to try next:
  build/release/smartbird generate --checkpoint=$runs/books --prompt="My dear " --temperature=0.6
  bash launch/run.sh -n 4 evaluate --checkpoint=$runs/books --eval.draw=dense
  bash launch/run.sh -n 2 pretrain --config configs/books.ini --data.train=YOUR/TEXTS --run.dir=runs/mine
  build/release/smartbird options
TEXT
printf 'bits per byte on the unseen book: %.3f\n' "$(value $runs/books/metrics.jsonl bits_per_byte)"
printf 'accuracy on unseen books: %.3f (majority class: %.3f)\n' "$(value $runs/authors/metrics.jsonl accuracy)" "$(value $runs/authors/metrics.jsonl majority_accuracy)"
