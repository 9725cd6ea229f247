# Two network namespaces with a cable between them, and a device of its own in each: what examples/efa says in the near one
# when it calls the far one. $1 is an empty folder. Runs in a network namespace of its own, as root.
set -e
cd "$(dirname "$0")/../../.."
mkfifo "$1/namespace" "$1/hold" "$1/contact"

# The far namespace lives as long as this process, which has the other end of `hold`.
unshare --net sh -c 'echo $$ >"$0/namespace"; exec cat "$0/hold"' "$1" &
read -r far <"$1/namespace"
exec 3>"$1/hold"
in_far() { nsenter --target "$far" --net "$@"; }

ip link add cable type veth peer name cable-far
ip link set cable-far netns "$far"
ip addr add 10.77.0.1/24 dev cable
ip link set cable up
in_far ip addr add 10.77.0.2/24 dev cable-far
in_far ip link set cable-far up

SOFTEFA_ADDRESS=10.77.0.2 in_far node dist/cli/main.js softefa -- node out/examples/efa/main.js serve >"$1/contact" &
exec 4<"$1/contact"
read -r contact <&4
SOFTEFA_ADDRESS=10.77.0.1 node dist/cli/main.js softefa -- node out/examples/efa/main.js call "$contact"
