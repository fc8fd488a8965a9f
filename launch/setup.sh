#!/usr/bin/env bash
# Set-up and release build: Debian packages, LibTorch in .venv, build/release/smartbird and the tests beside it. Safe to
# repeat; --no-tests builds the binary alone, --no-build stops before the build.
set -euo pipefail
case "${1:-}" in "" | --no-tests | --no-build) ;; *) echo "usage: launch/setup.sh [--no-tests | --no-build]" >&2; exit 2 ;; esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."
say() { printf '[%4ss] %s\n' "$SECONDS" "$*"; }

packages=(g++ cmake ninja-build ccache openmpi-bin libopenmpi-dev libboost-program-options-dev nlohmann-json3-dev
  libsimdjson-dev libgtest-dev libxxhash-dev libhwy-dev python3 python3-venv ca-certificates)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ]; then as_root=()
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as_root=(sudo -n)
  else
    echo "setup: these packages lack and need root or sudo: ${missing[*]}" >&2
    echo "setup: ask your administrator for: apt-get install ${missing[*]}" >&2
    exit 4
  fi
  say "installing ${#missing[@]} Debian packages: ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

torch_version=2.11.0
if ! ls .venv/lib/python3*/site-packages/torch-${torch_version}*.dist-info >/dev/null 2>&1; then
  say "fetching LibTorch ${torch_version} (about 530 MB) into .venv"
  rm -rf .venv
  python3 -m venv .venv
  .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps torch==${torch_version} \
    nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85
fi
[ "${1:-}" = --no-build ] && exit 0

if [ ! -f build/release/build.ninja ]; then
  say "configuring"
  cmake --preset release
fi
targets=(all)
[ "${1:-}" = --no-tests ] && targets=(smartbird)
say "building (minutes the first time)"
cmake --build build/release --parallel "$(nproc)" --target "${targets[@]}"
say "ready: build/release/smartbird"
