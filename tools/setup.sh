#!/usr/bin/env bash
# Installs what dslite needs on Debian 12: the compiler and libraries of Debian, and LibTorch into the user's cache folder.
# usage: tools/setup.sh [--fuzz]   re-running costs two seconds. --fuzz: also what tools/fuzz.sh needs. DSLITE_LIBTORCH=DIR uses another LibTorch and
# fetches none.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dslite
libtorch=$cache/libtorch-$(sha256sum tools/libtorch.lock | cut -c1-12)

packages="g++ cmake ninja-build pkg-config ccache git libhdf5-dev zlib1g-dev libtomlplusplus-dev libcli11-dev nlohmann-json3-dev libspdlog-dev libfmt-dev
libxxhash-dev libpcre2-dev libicu-dev libssl-dev libgtest-dev libgmock-dev libbenchmark-dev python3 python3-pip unzip"
[ "${1:-}" != --fuzz ] || packages="$packages clang-14 clang libclang-rt-14-dev"
missing=$(for package in $packages; do dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || echo "$package"; done)
if [ -n "$missing" ]; then
  as_root=""; [ "$(id -u)" = 0 ] || as_root=sudo
  echo "setup: installing from Debian:" $missing >&2
  $as_root apt-get update -qq
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

if [ -n "${DSLITE_LIBTORCH:-}" ]; then
  [ -e "$DSLITE_LIBTORCH/lib/libtorch_cpu.so" ] || { echo "setup: DSLITE_LIBTORCH=$DSLITE_LIBTORCH holds no lib/libtorch_cpu.so" >&2; exit 1; }
  exit 0
fi
if [ ! -e "$libtorch/complete" ]; then
  echo "setup: fetching LibTorch (570 MB, once) into $libtorch" >&2
  rm -rf "$libtorch" "$libtorch.tmp"; mkdir -p "$libtorch.tmp/wheels"
  # The wheels are read as archives, not installed, so the tags are named and any Python 3 will do.
  /usr/bin/python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: --python-version 3.11 --implementation cp \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_25_x86_64 --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 \
    --dest "$libtorch.tmp/wheels" --requirement tools/libtorch.lock
  for wheel in "$libtorch.tmp"/wheels/*.whl; do unzip -q -o "$wheel" -d "$libtorch.tmp" -x 'torch/lib/libtorch_cuda*' 'torch/lib/libtorch_python*' 'torch/lib/*nvshmem*' 2>/dev/null || [ $? = 11 ]; done   # 11: nothing to leave out
  rm -rf "$libtorch.tmp/wheels"
  touch "$libtorch.tmp/complete"
  mv "$libtorch.tmp" "$libtorch"
fi
ln -sfn "$libtorch" "$cache/libtorch"
