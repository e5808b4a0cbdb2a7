#!/usr/bin/env bash
# Installs what is missing, builds everything and runs all tests. usage: tools/test.sh [PRESET]     (release; also debug, asan, tsan, clang)
# The last line is 'N passed, N failed': single tests, not binaries.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
tools/setup.sh
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset"
build=build/$preset
status=0
ctest --test-dir "$build" --output-on-failure --output-log "$build/ctest.log" || status=$?
passed=0 failed=0
for binary in "$build"/tests/test_*; do
  [ -x "$binary" ] || continue
  report=$build/reports/$(basename "$binary").xml
  read -r tests bad < <(sed -n 's/^<testsuites tests="\([0-9]*\)" failures="\([0-9]*\)".*/\1 \2/p' "$report" 2>/dev/null | head -1; echo "0 1")
  passed=$((passed + tests - bad)) failed=$((failed + bad))
done
[ "$status" = 0 ] || [ "$failed" != 0 ] || failed=1
echo "$passed passed, $failed failed"
exit "$status"
