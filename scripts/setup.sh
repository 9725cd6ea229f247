#!/usr/bin/env bash
# Makes this checkout ready to run: system packages, npm packages, the addon, the TypeScript. Prints each step, skips
# what is done. Without root and without the system packages it says what to run, and stops.
set -euo pipefail
tests=${1:-}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$@" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

[ "$(uname -s)" = Linux ] || fail "libfabric for Node.js runs on Linux only"
has node || fail "Node.js is missing: install version 20.19 or newer"
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
  fail "Node.js $(node --version) is too old: 20.19 or newer is needed"

mkdir -p out
# One set-up at a time: a demo and a test started together would install and compile into the same folders.
if has flock; then
  exec 9>out/setup.lock
  flock 9
fi
log=out/setup.log

# Runs a command without its noise, which is shown only if it fails.
quietly() {
  if ! "$@" >"$log" 2>&1 9>&-; then
    cat "$log" >&2
    fail "this failed: $*"
  fi
}

headers() { [ -e "/opt/amazon/efa/include/rdma/fabric.h" ] || [ -e /usr/include/rdma/fabric.h ] || [ -e /usr/local/include/rdma/fabric.h ]; }

system_packages() {
  local apt=() dnf=() wanted=() command update=""
  headers || { apt+=(libfabric-dev); dnf+=(libfabric-devel); }
  has g++ || { apt+=(g++); dnf+=(gcc-c++); }
  has make || { apt+=(make); dnf+=(make); }
  has python3 || { apt+=(python3); dnf+=(python3); }
  local required=$((${#apt[@]}))
  # What the tests talk to (fi_info, fi_pingpong) or are built with: worth installing, no reason to stop.
  has fi_pingpong || [ -x /opt/amazon/efa/bin/fi_pingpong ] || { apt+=(libfabric-bin); dnf+=(libfabric); }
  # The software EFA device is built with these.
  [ -e /opt/amazon/efa/include/infiniband/efadv.h ] || [ -e /usr/include/infiniband/efadv.h ] ||
    { apt+=(libibverbs-dev); dnf+=(rdma-core-devel); }
  if [ "$tests" = --tests ]; then
    has cmake || { apt+=(cmake); dnf+=(cmake); }
  fi
  if [ ${#apt[@]} -eq 0 ]; then
    say "system packages: all there"
    return
  fi

  if has apt-get; then
    wanted=("${apt[@]}")
    update="apt-get update"
    command="apt-get install -y --no-install-recommends"
  elif has dnf; then
    wanted=("${dnf[@]}")
    command="dnf install -y"
  else
    [ "$required" -gt 0 ] || { say "system packages: without ${apt[*]}, tests that need them are skipped"; return; }
    fail "missing: ${apt[*]} (Debian's names), and neither apt-get nor dnf is here to install them"
  fi

  local root=()
  if [ "$(id -u)" -ne 0 ]; then
    if has sudo && sudo -n true 2>/dev/null; then
      root=(sudo -n)
    elif [ "$required" -eq 0 ]; then
      say "system packages: tests that need ${wanted[*]} are skipped (to have them: sudo $command ${wanted[*]})"
      return
    else
      fail "system packages are missing, and installing them needs root. Run this, then try again:" \
        "  ${update:+sudo $update && }sudo $command ${wanted[*]}"
    fi
  fi
  say "system packages: installing ${wanted[*]}"
  # A list of packages that could not be refreshed may still be good enough; the install will tell.
  [ -z "$update" ] || "${root[@]}" apt-get update >"$log" 2>&1 9>&- || true
  # shellcheck disable=SC2086 # the command is several words
  quietly "${root[@]}" env DEBIAN_FRONTEND=noninteractive $command "${wanted[@]}"
}

# Whether node_modules holds what package-lock.json says, by npm's own record of what it installed.
npm_packages_current() {
  node -e '
    const read = (file) => JSON.parse(require("fs").readFileSync(file, "utf8")).packages;
    const [locked, there] = [read("package-lock.json"), read("node_modules/.package-lock.json")];
    const same = (name) => there[name] && locked[name] && there[name].version === locked[name].version;
    const needed = Object.keys(locked).filter((name) => name && !locked[name].optional && !locked[name].devOptional);
    process.exit(needed.every(same) && Object.keys(there).every(same) ? 0 : 1);' 2>/dev/null
}

npm_packages() {
  if npm_packages_current; then
    say "npm packages: up to date"
    return
  fi
  say "npm packages: installing"
  # No install scripts: no dependency needs one, and the addon is built by the next step, which shows its warnings.
  quietly npm ci --ignore-scripts --no-audit --no-fund --loglevel error
}

typescript() {
  if [ -e dist/index.js ] && [ -e out/tsc/done ] &&
    [ -z "$(find src examples bench test tsconfig*.json rolldown.config.js package.json -newer out/tsc/done -not -path "*/node_modules/*" -print -quit 2>/dev/null)" ]; then
    say "typescript: up to date"
    return
  fi
  say "typescript: compiling"
  mkdir -p out/tsc
  touch out/tsc/started
  npm run --silent build:ts
  mv out/tsc/started out/tsc/done
}

system_packages
npm_packages
node scripts/install.mjs --required | sed 's/^/setup: /'
typescript
