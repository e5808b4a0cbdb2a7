#!/usr/bin/env bash
# Checks formatting (clang-format) and runs clang-tidy on the C++ files that differ from main, or on the files named. Needs Debian's clang-format and clang-tidy.
# usage: tools/lint.sh [FILE...]
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in clang-format clang-tidy; do
  command -v "$tool" >/dev/null || { echo "lint: $tool is missing: apt-get install clang-format clang-tidy" >&2; exit 1; }
done
if [ $# -gt 0 ]; then
  files=("$@")
else
  base=$(git merge-base HEAD main 2>/dev/null || git rev-list --max-parents=0 HEAD)
  mapfile -t files < <({ git diff --name-only --diff-filter=d "$base"; git ls-files --others --exclude-standard; } | grep -E '\.(cpp|h)$' | sort -u)
fi
[ ${#files[@]} -gt 0 ] || { echo "lint: no C++ file differs from main"; exit 0; }
clang-format --dry-run --Werror "${files[@]}"
mapfile -t sources < <(printf '%s\n' "${files[@]}" | grep '\.cpp$' || true)
[ ${#sources[@]} -gt 0 ] || exit 0
cmake --preset clang >/dev/null   # its compile commands suit clang-tidy
clang-tidy --quiet -p build/clang "${sources[@]}"
