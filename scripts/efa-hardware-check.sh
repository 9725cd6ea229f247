#!/usr/bin/env bash
# Runs the conformance suites of provider efa and a benchmark on this machine's EFA device, and writes one report.
#
#   scripts/efa-hardware-check.sh [--software] [REPORT]
#
# In a checkout that is built (npm run setup). REPORT: default out/efa-hardware-<date>.txt of the checkout. --software: on
# the software device instead, to try the script itself. Exits with 0 only where everything passed.
set -uo pipefail
started_in=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

device=()
hardware=hardware
if [ "${1:-}" = --software ]; then
  device=(node dist/cli/main.js softefa --)
  hardware=
  shift
fi
case "${1:-}" in -*) sed -n 's/^#   \(scripts.*\)/usage: \1/p' "$0" >&2; exit 2 ;; esac
failed=()

say() { printf '\n==== %s\n' "$1" | tee -a "$report"; }

# What a command says, bounded; whether it succeeds does not matter.
note() { { printf '\n$ %s\n' "$*"; timeout 60 "$@" 2>&1 || echo "(exit status $?)"; } >>"$report"; }

# A part that has to succeed.
part() {
  local name=$1 status=0
  shift
  say "$name"
  timeout 1800 "$@" 2>&1 | tee -a "$report" || status=$?
  [ $status -eq 0 ] || failed+=("$name ($status)")
}

[ -e dist/cli/main.js ] || { echo "not built: npm run setup" >&2; exit 2; }
if [ -n "$hardware" ] && ! grep -qs 0x1d0f /sys/class/infiniband/*/device/vendor; then
  echo "no EFA device: /sys/class/infiniband has none of vendor 0x1d0f (docs/efa.md says what an instance needs)" >&2
  exit 2
fi

mkdir -p out
report=${1:-$PWD/out/efa-hardware-$(date +%Y%m%d-%H%M%S).txt}
case "$report" in /*) ;; *) report=$started_in/$report ;; esac
: >"$report" || exit 2

say "the machine"
note date --utc
note git log -1 --oneline
note uname -a
note cat /etc/os-release
note node --version
note sh -c 'cat /sys/devices/virtual/dmi/id/product_name'
note sh -c 'ls -l /sys/class/infiniband /dev/infiniband'
note sh -c 'for f in /sys/class/infiniband/*/device/device /sys/class/infiniband/*/fw_ver; do echo "$f $(cat "$f")"; done'
note sh -c 'cat /sys/module/efa/version'
note sh -c 'ulimit -l; grep -i huge /proc/meminfo'
note sh -c 'env | grep -E "^(FI|LIBFABRIC|RDMAV)_"'
note "${device[@]}" fi_info --version
note "${device[@]}" fi_info -p efa
note "${device[@]}" node -e 'import("libfabric").then(async (l) => console.log(l.isAvailable(), String(await l.explain({ provider: "efa" }))))'

part "conformance" env LIBFABRIC_TEST_EFA="$hardware" node scripts/test.mjs efa
part "benchmark: two processes of this machine" "${device[@]}" node scripts/program.mjs examples/ping-pong --provider efa

say "result"
if [ ${#failed[@]} -eq 0 ]; then echo "everything passed" | tee -a "$report"; else
  printf 'failed: %s\n' "${failed[@]}" | tee -a "$report"; fi
echo "report: $report"
[ ${#failed[@]} -eq 0 ]
