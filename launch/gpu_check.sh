#!/usr/bin/env bash
# On a machine with a GPU: builds the kernels and their tests for it, runs them, runs them again under compute-sanitizer, measures
# ceilings, kernels against their floors, and PyTorch's attention beside them. Needs nvcc, g++ and CMake; PyTorch for the
# comparison; takes other packages from a bundle (launch/make_bundle.sh) where the system has none.
#   launch/gpu_check.sh [--out=FOLDER] [--bundle=FOLDER] [--quick]      writes FOLDER/report.md and report.json
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=build/gpu_report bundle=.gpu_bundle tokens=(8192 65536 524288)
for argument in "$@"; do
  case "$argument" in
    --out=*) out="${argument#*=}" ;;
    --bundle=*) bundle="${argument#*=}" ;;
    --quick) tokens=(8192 65536) ;;
    *) echo "usage: launch/gpu_check.sh [--out=FOLDER] [--bundle=FOLDER] [--quick]" >&2; exit 2 ;;
  esac
done
say() { printf '== [%4ss] %s\n' "$SECONDS" "$*"; }
command -v nvidia-smi >/dev/null && nvidia-smi -L | grep -q GPU || { echo "gpu_check: no GPU (nvidia-smi lists none)" >&2; exit 4; }
mkdir -p "$out"
architecture="$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)"
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | head -n 1 | tee "$out/gpu.txt"

options=()
if ls "$bundle"/*.deb >/dev/null 2>&1; then
  say "unpacking the bundle"
  mkdir -p build/gpu_bundle
  for package in "$bundle"/*.deb; do dpkg -x "$package" build/gpu_bundle; done
  options+=(-D "CMAKE_PREFIX_PATH=$PWD/build/gpu_bundle/usr")
  export CPLUS_INCLUDE_PATH="$PWD/build/gpu_bundle/usr/include"
fi
command -v ninja >/dev/null && options+=(-G Ninja)
say "building for sm_$architecture"
cmake -S . -B build/gpu "${options[@]}" -D CMAKE_BUILD_TYPE=Release -D SMARTBIRD_TORCH=OFF -D SMARTBIRD_MPI=OFF \
  -D "CMAKE_CUDA_ARCHITECTURES=$architecture" >"$out/configure.log" 2>&1 || { tail -n 20 "$out/configure.log" >&2; exit 4; }
cmake --build build/gpu --parallel "$(nproc)" --target test_gpu bench_gpu >"$out/build.log" 2>&1 || { tail -n 30 "$out/build.log" >&2; exit 1; }

failed=0
say "tests"
build/gpu/test_gpu >"$out/tests.log" 2>&1 || failed=1
tail -n 3 "$out/tests.log"
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck initcheck synccheck; do
    say "compute-sanitizer $tool"
    compute-sanitizer --tool "$tool" --error-exitcode 9 build/gpu/test_gpu --gtest_filter=-*Over* >"$out/$tool.log" 2>&1 || failed=1
    tail -n 1 "$out/$tool.log"
  done
else
  echo "compute-sanitizer is not on PATH: skipped" | tee "$out/memcheck.log"
fi
say "kernels"
build/gpu/bench_gpu "${tokens[@]}" | tee "$out/kernels.jsonl" || failed=1
say "PyTorch"
if python3 -c "import torch; assert torch.cuda.is_available()" 2>/dev/null; then
  python3 tests/bench/gpu_rivals.py "${tokens[@]}" | tee "$out/rivals.jsonl" || echo "gpu_rivals.py ended early" >&2
else
  echo "PyTorch with CUDA is not there: no comparison" | tee "$out/rivals.log"
fi
python3 tests/bench/gpu_report.py "$out"
say "done: $out/report.md"
exit "$failed"
