#!/usr/bin/env bash
# On a machine with a GPU: builds the kernels and their tests for it, runs them, measures ceilings, kernels against their floors, and
# PyTorch's attention beside them, trains on the GPU and on the CPU and takes steps of 65,536 and 1,048,576 tokens, then runs the
# tests again under compute-sanitizer. Needs nvcc, g++ and CMake; PyTorch for the comparison, and NCCL with it for training; takes other packages from a bundle (launch/make_bundle.sh) where the system has none. Every part has a time
# limit, and the report is written whatever happens.
#   launch/gpu_check.sh [--out=FOLDER] [--bundle=FOLDER] [--quick] [--parts=LIST]   writes FOLDER/report.md, report.json, logs.tar.gz
#   LIST, separated by commas: tests, kernels, rivals, training, profile (by Nsight Compute; not run unless asked for), memcheck, racecheck,
#   initcheck, synccheck
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=build/gpu_report bundle=.gpu_bundle tokens=(8192 65536 524288)
parts=tests,kernels,rivals,training,memcheck,racecheck,initcheck,synccheck
for argument in "$@"; do
  case "$argument" in
    --out=*) out="${argument#*=}" ;;
    --bundle=*) bundle="${argument#*=}" ;;
    --quick) tokens=(8192 65536) ;;
    --parts=*) parts="${argument#*=}" ;;
    *) echo "usage: launch/gpu_check.sh [--out=FOLDER] [--bundle=FOLDER] [--quick] [--parts=LIST]" >&2; exit 2 ;;
  esac
done
export PATH="$PATH:/usr/local/cuda/bin"
say() { printf '== [%4ss] %s\n' "$SECONDS" "$*"; }
for name in ${parts//,/ }; do
  case "$name" in
    tests | kernels | rivals | training | profile | memcheck | racecheck | initcheck | synccheck) ;;
    *) echo "gpu_check: --parts has no $name; see the first lines of launch/gpu_check.sh" >&2; exit 2 ;;
  esac
done
command -v nvidia-smi >/dev/null && nvidia-smi -L | grep -q GPU || { echo "gpu_check: no GPU (nvidia-smi lists none)" >&2; exit 4; }
logs=build/gpu_logs
rm -rf "$logs"
mkdir -p "$out" "$logs"
failed=""
finish() {
  python3 tests/bench/gpu_report.py "$logs" "$out" "${failed:-nothing failed}" || true
  tar -czf "$out/logs.tar.gz" -C "$logs" . || true
  say "report: $out/report.md"
}
trap finish EXIT
architecture="$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)"
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | head -n 1 | tee "$logs/gpu.txt"

options=()
if ls "$bundle"/*.deb >/dev/null 2>&1; then
  say "unpacking the bundle"
  mkdir -p build/gpu_bundle
  for package in "$bundle"/*.deb; do dpkg -x "$package" build/gpu_bundle; done
  options+=(-D "CMAKE_PREFIX_PATH=$PWD/build/gpu_bundle/usr")
  export CPLUS_INCLUDE_PATH="$PWD/build/gpu_bundle/usr/include"
fi
command -v ninja >/dev/null && options+=(-G Ninja)
if [ "$parts" != training ]; then
  say "building for sm_$architecture"
  failed="the build failed"
  cmake -S . -B build/gpu "${options[@]}" -D CMAKE_BUILD_TYPE=Release -D SMARTBIRD_TORCH=OFF -D SMARTBIRD_MPI=OFF -D SMARTBIRD_WERROR=OFF \
    -D "CMAKE_CUDA_ARCHITECTURES=$architecture" >"$logs/configure.log" 2>&1 || { tail -n 20 "$logs/configure.log" >&2; exit 4; }
  cmake --build build/gpu --parallel "$(nproc)" --target test_gpu bench_gpu >"$logs/build.log" 2>&1 || { tail -n 30 "$logs/build.log" >&2; exit 1; }
  failed=""
fi

# part NAME SECONDS LOG COMMAND...: what fails, or takes longer, is remembered and the rest goes on. A part not asked for is left out.
part() {
  local name="$1" limit="$2" log="$3"
  shift 3
  [[ ",$parts," == *",$name,"* ]] || return 0
  say "$name"
  timeout "$limit" "$@" >"$logs/$log" 2>&1 || failed+="${failed:+, }$name ($?)"
  tail -n 2 "$logs/$log"
}
profile() {  # every kernel's fourth launch
  ncu --kernel-id :::4 --set full --clock-control none -f -o "$logs/profile" build/gpu/bench_gpu 65536 &&
    ncu -i "$logs/profile.ncu-rep" --page details && ncu -i "$logs/profile.ncu-rep" --page source --csv >"$logs/profile_source.csv"
}
part tests 60 tests.log build/gpu/test_gpu
part kernels 120 kernels.jsonl build/gpu/bench_gpu "${tokens[@]}"
part profile 90 profile.log bash -c "logs=$logs; $(declare -f profile); profile"
rivals() {
  if python3 -c "import torch; assert torch.cuda.is_available()" 2>/dev/null; then
    python3 tests/bench/gpu_rivals.py "$@"
  else
    echo "PyTorch with CUDA is not there: no comparison"
  fi
}
part rivals 150 rivals.jsonl bash -c "$(declare -f rivals); rivals ${tokens[*]}"
if [[ ",$parts," == *",training,"* ]]; then
  say "building smartbird"
  tests/bench/gpu_training.sh build "$logs" "${options[@]}" -D "CMAKE_CUDA_ARCHITECTURES=$architecture" &&
    part training 300 training.jsonl tests/bench/gpu_training.sh run "$logs" || failed+="${failed:+, }the build for training"
fi
for tool in memcheck racecheck initcheck synccheck; do
  part "$tool" 60 "$tool.log" compute-sanitizer --tool "$tool" --error-exitcode 9 build/gpu/test_gpu
done
[ -z "$failed" ]
