#!/usr/bin/env bash
# Fuzzes the readers of untrusted bytes under AddressSanitizer and UBSan (libFuzzer, clang 14) and prints a line for each.
# usage: tools/fuzz.sh [-n RUNS] [-s SECONDS] [READER...]     default: 100,000 inputs for every reader of tests/fuzz/corpus
# The inputs that reached new code stay in build/fuzz/corpus, so that a later call goes on from there; an input that broke a reader is named in the
# line and lies in build/fuzz/failures. Limits: 60 s an input (a busy
# machine stands still for long), 512 MiB, 256 MiB an allocation. Ends with 1 when anything broke.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=100000 seconds=0
while getopts n:s: option; do
  case $option in
    n) runs=$OPTARG ;;
    s) seconds=$OPTARG runs=-1 ;;
    *) sed -n 3p "$0" >&2; exit 2 ;;
  esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- $(ls tests/fuzz/corpus)

tools/setup.sh --fuzz
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz >&2
out=build/fuzz status=0
mkdir -p $out/failures $out/logs
export OMP_WAIT_POLICY=passive
export ASAN_OPTIONS=quarantine_size_mb=16:malloc_context_size=12:allocator_may_return_null=0 UBSAN_OPTIONS=print_stacktrace=1
export LSAN_OPTIONS=print_suppressions=0:suppressions=$PWD/tests/support/lsan_suppressions.txt
number() { grep -o "$1[^0-9]*[0-9]*" "$log" | tail -1 | grep -o '[0-9]*$' || echo 0; }
for reader in "$@"; do
  log=$out/logs/$reader.log result=sound
  mkdir -p "$out/corpus/$reader"
  DSLITE_FUZZ_READER=$reader $out/tests/fuzz/fuzz_readers -runs="$runs" -max_total_time="$seconds" -timeout=60 -rss_limit_mb=512 -malloc_limit_mb=256 \
    -reload=0 -print_final_stats=1 -artifact_prefix="$out/failures/$reader-" "$out/corpus/$reader" "tests/fuzz/corpus/$reader" >"$log" 2>&1 || result=
  [ -n "$result" ] || { status=1 result="BROKEN: $(grep -o "$out/failures/[^ ]*" "$log" | tail -1) ($(grep -m1 -E 'ERROR|SUMMARY|runtime error|does not hold' "$log"))"; }
  printf '%-15s %8d inputs %6d/s %6d edges %4d MiB peak   %s\n' "$reader" "$(number number_of_executed_units:)" "$(number average_exec_per_sec:)" \
    "$(number 'cov: ')" "$(number peak_rss_mb:)" "$result"
done
exit $status
