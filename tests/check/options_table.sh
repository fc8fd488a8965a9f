#!/usr/bin/env bash
# README's option table is the binary's; --write puts it there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
table="$(build/release/smartbird options --markdown)"
if [ "${1:-}" = --write ]; then
  python3 - "$table" <<'PY'
import re, sys
text = open("README.md").read()
new = re.sub(r"(<!-- options -->\n).*?(<!-- /options -->)", lambda m: m[1] + sys.argv[1] + "\n" + m[2], text, flags=re.S)
open("README.md", "w").write(new)
PY
fi
diff <(sed -n '/<!-- options -->/,/<!-- \/options -->/p' README.md | sed '1d;$d') <(printf '%s\n' "$table") && echo "option table: current"
