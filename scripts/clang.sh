#!/usr/bin/env bash
# clang-format and clang-tidy over the project's C++:  clang.sh format | format-check | tidy
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() { printf 'clang: %s\n' "$@" >&2; exit 1; }

# One version for everybody, since two versions lay out the same code differently.
version=19
tool() {
  if command -v "$1-$version" >/dev/null; then
    echo "$1-$version"
  elif "$1" --version 2>/dev/null | grep -q "version $version\."; then
    echo "$1"
  else
    fail "$1 $version is missing: sudo apt-get install $1-$version"
  fi
}

files() { find native test/native bench/native examples -type f \( -name '*.cc' -o -name '*.c' -o -name '*.h' \) 2>/dev/null | sort; }

format() {
  local clang_format
  clang_format=$(tool clang-format)
  files | xargs --no-run-if-empty "$clang_format" "$@"
}

format_check() {
  local log=out/clang-format.log
  mkdir -p out
  format --dry-run -Werror 2>"$log" && return
  # One line per file is enough to know what to do.
  sed -n 's/^\([^:]*\):[0-9]*:[0-9]*: error:.*/clang: not formatted: \1/p' "$log" | sort -u >&2
  grep -v -e 'clang-formatted' -e '^ ' "$log" | grep 'error' >&2 || true
  fail "run 'npm run format'"
}

tidy() {
  local clang_tidy
  clang_tidy=$(tool clang-tidy)
  mkdir -p out/tidy
  node_modules/.bin/cmake-js configure -d native -O out/cmake-js >out/tidy/configure.log 2>&1 ||
    { cat out/tidy/configure.log >&2; fail "cmake-js configure failed"; }
  node scripts/tidy.mjs "$clang_tidy"
}

case "${1:-}" in
  format) format -i ;;
  format-check) format_check ;;
  tidy) tidy ;;
  *) fail "usage: clang.sh format | format-check | tidy" ;;
esac
