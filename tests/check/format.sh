#!/usr/bin/env bash
# Formats every C++ and CUDA C++ file as .clang-format says (--write), or fails with the differences. The version is pinned.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tool=.venv/bin/clang-format
if ! "$tool" --version 2>/dev/null | grep -q 14.0.6; then
  .venv/bin/python -m pip install -q --disable-pip-version-check clang-format==14.0.6
fi
files() { git ls-files -z --cached --others --exclude-standard -- '*.h' '*.cpp' '*.cu' '*.cuh'; }
if [ "${1:-}" = --write ]; then
  files | xargs -0 "$tool" -i
else
  files | xargs -0 "$tool" --dry-run --Werror
  echo "format: $(files | tr -cd '\0' | wc -c) files"
fi
