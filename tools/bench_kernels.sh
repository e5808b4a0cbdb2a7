#!/usr/bin/env bash
# Builds and runs the benchmarks of all kernels and writes one table with targets and misses, and a plot.
# usage: tools/bench_kernels.sh [FOLDER]      default runs/bench_kernels; DSLITE_INSTRUCTION_SET chooses the build of the kernels. About four minutes on an idle machine.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-runs/bench_kernels}
build=build/release
names=$(basename -s _bench.cpp kernels/*/*_bench.cpp)
[ -e "$build/build.ninja" ] || cmake --preset release >/dev/null
cmake --build --preset release --target $(printf 'bench_%s ' $names) >/dev/null
mkdir -p "$out"
for name in $names; do
  echo "== $name" >&2
  "$build/kernels/bench_$name" --benchmark_repetitions=5 --benchmark_min_time=0.1 --benchmark_out="$out/$name.json" --benchmark_out_format=json >"$out/$name.txt" 2>&1
done
tools/bench_table.py "$out"
