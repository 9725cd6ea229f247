#!/usr/bin/env bash
# A second libfabric on one machine: Debian 13 (libfabric 2.1, Node 20.19) in a folder, made once with debootstrap.
#
#   scripts/debian13.sh make       makes it if it is not there, prints where it is
#   scripts/debian13.sh run CMD…   runs a command in it, in this checkout, which has the same path inside
#
# The folder is LIBFABRIC_DEBIAN13, else /var/cache/libfabric-node/debian13. Needs root, for chroot and mounts.
set -euo pipefail

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
root=${LIBFABRIC_DEBIAN13:-/var/cache/libfabric-node/debian13}
packages=libfabric1,libfabric-bin,libfabric-dev,libibverbs1,nodejs,procps
release=trixie

fail() { printf 'debian13: %s\n' "$@" >&2; exit 1; }

usage() { sed -n 's/^#   \(scripts.*\)/\1/p' "$0" >&2; exit 2; }

# The mirror that this machine's own apt uses, if it is a Debian.
mirror() {
  local codename uri=""
  codename=$(. /etc/os-release && [ "$ID" = debian ] && echo "${VERSION_CODENAME:-}" || true)
  if [ -n "$codename" ]; then
    # shellcheck disable=SC2016 # apt's own variables
    uri=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 2>/dev/null |
      awk -v release="$codename" '$2 == release && $3 == "main" && !found { print $1; found = 1 }')
  fi
  echo "${uri:-http://deb.debian.org/debian/}"
}

is_made() { [ "$(cat "$root/etc/libfabric-node" 2>/dev/null)" = "$release $packages" ]; }

make_root() {
  is_made && return
  [ "$(id -u)" -eq 0 ] || fail "making a Debian 13 root needs root: sudo bash scripts/debian13.sh make"
  if ! command -v debootstrap >/dev/null; then
    command -v apt-get >/dev/null || fail "debootstrap is missing: install the package of that name"
    echo "debian13: installing debootstrap" >&2
    apt-get update >/dev/null 2>&1 || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends debootstrap >/dev/null </dev/null ||
      fail "debootstrap could not be installed"
  fi

  mkdir -p "$(dirname "$root")"
  exec 8>"$root.lock"
  flock 8
  # Another run may have made it while this one waited.
  is_made && { exec 8>&-; return; }

  local unfinished=$root.unfinished log=$root.log http
  echo "debian13: making $root, which takes about a minute" >&2
  # What an interrupted run left. Its mounts went with its mount namespace; should one still be there, leave it alone.
  rm -rf --one-file-system "$unfinished"
  # debootstrap downloads by itself: it gets the proxy that apt was told to use.
  http=$(apt-config shell p Acquire::http::Proxy 2>/dev/null | sed "s/^p='\(.*\)'$/\1/")
  # In a mount namespace of its own: whatever debootstrap mounts is gone with it, however it ends.
  if ! env ${http:+http_proxy="$http"} unshare --mount --propagation private \
    debootstrap --variant=minbase --include="$packages" "$release" "$unfinished" "$(mirror)" \
    >"$log" 2>&1 </dev/null 8>&-; then
    tail -n 20 "$log" >&2
    fail "debootstrap failed; its whole output is in $log"
  fi
  rm -f "$unfinished"/var/cache/apt/archives/*.deb
  echo "$release $packages" >"$unfinished/etc/libfabric-node"
  rm -rf --one-file-system "$root"
  mv "$unfinished" "$root"
  exec 8>&-
}

# Inside the mount namespace: prepares the root and becomes the command.
enter() {
  local here=$1
  shift
  for folder in proc dev sys; do
    mkdir -p "$root/$folder"
    mount --rbind "/$folder" "$root/$folder"
  done
  # Names of this host have to mean the same inside, as some providers look up their own.
  for file in hosts resolv.conf; do
    [ -e "/etc/$file" ] && touch "$root/etc/$file" && mount --bind "/etc/$file" "$root/etc/$file"
  done
  mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
  mkdir -p "$root$project"
  mount --bind "$project" "$root$project"
  # These name files of the host that are not inside, and Node would complain about that on every start.
  exec chroot "$root" /usr/bin/env -u NODE_EXTRA_CA_CERTS -u SSL_CERT_FILE -u SSL_CERT_DIR -C "$here" \
    PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin LC_ALL=C.UTF-8 "$@"
}

run() {
  [ $# -gt 0 ] || usage
  [ "$(id -u)" -eq 0 ] || fail "running in a Debian 13 root needs root: sudo bash scripts/debian13.sh run …"
  make_root
  local here=$project
  case "$(pwd -P)/" in "$project"/*) here=$(pwd -P) ;; esac
  exec unshare --mount --propagation private bash "$project/scripts/debian13.sh" enter "$here" "$@"
}

case "${1:-}" in
  make) make_root && echo "$root" ;;
  run) shift && run "$@" ;;
  enter) shift && enter "$@" ;;
  *) usage ;;
esac
