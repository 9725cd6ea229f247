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

# Checks a file again only if it, a header or the rules have changed since it was found good.
tidy() {
  local clang_tidy=$1 common=$2 file=$3 stamp
  stamp=out/tidy/$(cat "$file" | sha256sum | cut -c1-16)-$common
  [ -e "$stamp" ] && return
  # Its own stdout has what matters; stderr counts the warnings in the system's headers.
  if "$clang_tidy" -p out/cmake-js --quiet "$file" 2>out/tidy/stderr.$$; then
    touch "$stamp"
  else
    grep 'error:' out/tidy/stderr.$$ >&2 || true
    rm -f out/tidy/stderr.$$
    return 1
  fi
  rm -f out/tidy/stderr.$$
}

tidy_all() {
  local clang_tidy common
  clang_tidy=$(tool clang-tidy)
  mkdir -p out/tidy
  node_modules/.bin/cmake-js configure -d native -O out/cmake-js >out/tidy/configure.log 2>&1 ||
    { cat out/tidy/configure.log >&2; fail "cmake-js configure failed"; }
  common=$({ cat .clang-tidy native/*.h native/softefa/*.h test/native/*.h native/CMakeLists.txt; "$clang_tidy" --version; } | sha256sum | cut -c1-16)
  find out/tidy -name '*-*' -mtime +30 -delete
  # The files about verbs have no compile command where the headers are not installed.
  find native native/softefa test/native -maxdepth 1 -name '*.cc' | sort |
    { [ -e /usr/include/infiniband/efadv.h ] && cat || grep -v softefa/verbs_; } |
    xargs --no-run-if-empty -P "$(nproc)" -n 1 bash scripts/clang.sh tidy-one "$clang_tidy" "$common"
}

case "${1:-}" in
  format) format -i ;;
  format-check) format_check ;;
  tidy) tidy_all ;;
  tidy-one) shift && tidy "$@" ;;
  *) fail "usage: clang.sh format | format-check | tidy" ;;
esac
