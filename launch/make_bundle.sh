#!/usr/bin/env bash
# Packs what a bare machine with CUDA and PyTorch lacks to build the GPU tests: Debian packages, downloaded here and unpacked there
# by launch/gpu_check.sh. About 14 MB.   launch/make_bundle.sh [FOLDER]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder="${1:-.gpu_bundle}"
packages=(libgtest-dev libgmock-dev googletest libhwy-dev libhwy1 libboost1.74-dev libboost-program-options1.74-dev
  libboost-program-options1.74.0 nlohmann-json3-dev libsimdjson-dev libsimdjson14 libxxhash-dev libxxhash0)
mkdir -p "$folder"
(cd "$folder" && apt-get download -qq "${packages[@]}")
echo "$folder: $(ls "$folder"/*.deb | wc -l) packages, $(du -sh "$folder" | cut -f1)"
