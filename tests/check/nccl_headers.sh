#!/usr/bin/env bash
# Where the real headers of NCCL and CUDA are, what talks to NCCL, and the stand-in for it, must compile against them too: then
# the stand-in's declarations are the real ones. Skips (77) without them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
real=""
for folder in "${CUDA_HOME:-/usr/local/cuda}/include" /usr/local/include /usr/include; do
  [ -f "$folder/nccl.h" ] && [ -f "$folder/cuda_runtime_api.h" ] && real="$folder" && break
done
[ -n "$real" ] || { echo "no nccl.h beside cuda_runtime_api.h in CUDA_HOME or the usual folders"; exit 77; }
for source in src/comm/{nccl,cuda}_*.cpp tests/support/fake_nccl/*.cpp; do
  # shellcheck disable=SC2046
  ${CXX:-g++} -std=c++20 -fsyntax-only -Wall -Wextra -Werror -Wno-missing-field-initializers -I src -I . -isystem "$real" \
    $(mpicxx --showme:compile) "$source"
  echo "compiles against $real: $source"
done
