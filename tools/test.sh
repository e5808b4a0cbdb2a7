#!/usr/bin/env bash
# Installs what is missing, builds everything and runs all tests. usage: tools/test.sh [PRESET]     (release; also debug, asan, tsan, clang)
# The last line is 'N passed, N failed, N skipped': single tests, not binaries.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
tools/setup.sh
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset"
build=build/$preset
rm -rf "$build/reports"
status=0
ctest --test-dir "$build" --output-on-failure --output-log "$build/ctest.log" || status=$?
passed=0 failed=0 skipped=0
for binary in "$build"/tests/test_*; do
  [ -f "$binary" ] && [ -x "$binary" ] || continue
  report=$build/reports/$(basename "$binary").xml
  # A binary that crashed leaves no report: one failure.
  read -r tests bad < <(sed -n 's/^<testsuites tests="\([0-9]*\)" failures="\([0-9]*\)".*/\1 \2/p' "$report" 2>/dev/null | head -1; echo "1 1")
  missed=$(grep -c '<skipped' "$report" 2>/dev/null || true)
  passed=$((passed + tests - bad - ${missed:-0})) failed=$((failed + bad)) skipped=$((skipped + ${missed:-0}))
done
[ "$status" = 0 ] || [ "$failed" != 0 ] || failed=1
echo "$passed passed, $failed failed, $skipped skipped"
exit "$status"
