#!/bin/sh
# Builds the C measures that the benchmarks compare with: bench/native/build/fabric_loop, core_distance and
# malloc_count.so.
#
#   bench/native/build.sh [output folder]
#
# CC names the compiler. SYSROOT names a folder that holds another Debian (a root made by debootstrap): its
# headers and libfabric are used instead of the machine's, and the program is then run inside that root.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/build}
cc=${CC:-cc}
# Wait sets are deprecated in newer headers; net 1.17 cannot be waited for otherwise.
flags='-Wno-deprecated-declarations -std=c11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Werror'
include=''
link='-lfabric'
if [ -n "${SYSROOT:-}" ]; then
  # Only libfabric is taken from there: its own needs (a newer libc) are met at run time, inside that root.
  library=$(find "$SYSROOT/usr/lib" -name 'libfabric.so.1' | head -n 1)
  [ -n "$library" ] || { echo "build.sh: no libfabric.so.1 under $SYSROOT/usr/lib" >&2; exit 1; }
  mkdir -p "$out/include"
  ln -sfn "$SYSROOT/usr/include/rdma" "$out/include/rdma"
  include="-I$out/include"
  link="$library -Wl,--allow-shlib-undefined"
fi
mkdir -p "$out"
# shellcheck disable=SC2086 # the flags are words
$cc $flags $include -o "$out/fabric_loop" "$here"/fabric_loop.c "$here"/options.c "$here"/control.c \
  "$here"/endpoint.c "$here"/latency.c "$here"/stream.c "$here"/rma.c "$here"/report.c $link
# shellcheck disable=SC2086
$cc $flags -pthread -o "$out/core_distance" "$here/core_distance.c"
# shellcheck disable=SC2086
$cc $flags -fPIC -shared -o "$out/malloc_count.so" "$here/malloc_count.c" -lgcc_s
