#!/usr/bin/env bash
# Part `training` of launch/gpu_check.sh.   gpu_training.sh build LOGS CMAKE_OPTIONS...   the program for this machine's GPU
#   gpu_training.sh run LOGS   the same steps on CPU and GPU, then steps of 65,536 and 1,048,576 tokens, in float32 and with factors
#                              in bfloat16; a JSON line each
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
what="$1" runs="$2/training"
mkdir -p "$runs"

if [ "$what" = build ]; then
  mpi=ON
  command -v mpicxx >/dev/null || mpi=OFF
  cmake -S . -B build/gpu_training "${@:3}" -D CMAKE_BUILD_TYPE=Release -D SMARTBIRD_CUDA=ON -D SMARTBIRD_TESTS=OFF -D SMARTBIRD_WERROR=OFF \
    -D SMARTBIRD_MPI="$mpi" -D "SMARTBIRD_TORCH_PYTHON=$(command -v python3)" >"$runs/configure.log" 2>&1 ||
    { tail -n 20 "$runs/configure.log" >&2; exit 4; }
  cmake --build build/gpu_training --parallel "$(nproc)" --target smartbird >"$runs/build.log" 2>&1 ||
    { tail -n 30 "$runs/build.log" >&2; exit 1; }
  exit 0
fi

program="${SMARTBIRD_BINARY:-build/gpu_training/smartbird}" device="${SMARTBIRD_DEVICE:-cuda}"
train() {  # NAME OPTIONS...
  "$program" pretrain --run.progress=none --run.dir="$runs/$1" "${@:2}" >"$runs/$1.log" 2>&1 || { tail -n 5 "$runs/$1.log"; return 1; }
}
small=(--config configs/tiny.ini --model.width=128 --sketch.width=16 --eval.at_end=off)
train cpu "${small[@]}"
failed=0
for matmul in float32 bfloat16; do
  train "gpu-$matmul" "${small[@]}" --run.device="$device" --run.matmul="$matmul" || failed=1
  python3 tests/bench/gpu_training.py compare "$runs/cpu" "$runs/gpu-$matmul" "$matmul" || failed=1
done
for tokens in ${SMARTBIRD_TOKENS:-65536 1048576}; do
  for matmul in float32 bfloat16; do
    name="$tokens-$matmul"
    nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits -lms 200 >"$runs/$name.mib" 2>&1 &
    watch=$!
    train "$name" --config configs/long_1m.ini --run.device="$device" --run.matmul="$matmul" --train.steps=5 \
      --data.limit_tokens="$tokens" --data.sequence_tokens="$tokens" --train.batch_tokens="$tokens" || failed=1
    kill "$watch" 2>/dev/null || true
    python3 tests/bench/gpu_training.py times "$runs/$name" "$tokens" "$matmul" "$runs/$name.mib" || failed=1
  done
done
exit "$failed"
