#!/usr/bin/env bash
# Runs a command with mpirun over several "hosts" of this machine: network namespaces with names and addresses of their own.
#   tests/hosts/with_hosts.sh HOSTS RANKS [delay=20ms] [rate=20mbit] [loss=1%] -- PROGRAM [ARGUMENTS]
# Ranks are dealt evenly, TCP between hosts, shared memory within. delay is one way; rate is of a host's way out. They come
# from tc netem on a veth pair, or, where the kernel has no netem, from link.py. Needs root and iproute2 (else 77).
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
hosts=${1:?HOSTS} ranks=${2:?RANKS}
shift 2
shape=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do shape+=("$1"); shift; done
[ "${1:-}" = -- ] && [ $# -gt 1 ] || { echo "usage: $0 HOSTS RANKS [delay=..] [rate=..] [loss=..] -- PROGRAM" >&2; exit 2; }
shift
if [ "$(id -u)" != 0 ] || ! command -v ip >/dev/null; then echo "hosts: skipped, needs root and iproute2" >&2; exit 77; fi

tag="sb$$"
work="$(mktemp -d)"
relay=
clean_up() {
  [ -z "$relay" ] || kill "$relay" 2>/dev/null || true
  for i in $(seq "$hosts"); do ip netns del "$tag-$i" 2>/dev/null || true; done
  ip link del "$tag" 2>/dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM
for i in $(seq "$hosts"); do
  ip netns add "$tag-$i" 2>"$work/error" || { echo "hosts: skipped, $(cat "$work/error")" >&2; exit 77; }
  ip -n "$tag-$i" link set lo up
done

address() { ip -n "$tag-$1" addr add "10.99.0.$1/24" dev eth0 && ip -n "$tag-$1" link set eth0 up; }
by_veth() {
  ip link add "$tag" type bridge && ip link set "$tag" up
  for i in $(seq "$hosts"); do
    ip link add "$tag-v$i" type veth peer name eth0 netns "$tag-$i"
    ip link set "$tag-v$i" master "$tag" up
    address "$i"
  done
}
netem() {  # on the way out of every host
  local words=()
  for word in "${shape[@]}"; do words+=("${word%%=*}" "${word#*=}"); done
  for i in $(seq "$hosts"); do tc -n "$tag-$i" qdisc add dev eth0 root netem limit 10000 "${words[@]}" 2>/dev/null || return 1; done
}
by_relay() {
  local names=()
  for i in $(seq "$hosts"); do ip -n "$tag-$i" link del eth0 2>/dev/null || true; names+=("$tag-$i"); done
  python3 "$here/link.py" "${shape[@]}" "${names[@]}" >"$work/relay" 2>&1 &
  relay=$!
  for _ in $(seq 100); do grep -q ready "$work/relay" && break; kill -0 "$relay" 2>/dev/null || break; sleep 0.05; done
  grep -q ready "$work/relay" || { echo "hosts: skipped, $(tail -1 "$work/relay")" >&2; exit 77; }
  for i in $(seq "$hosts"); do address "$i"; done
}
{ by_veth && ip netns exec "$tag-1" unshare --uts true; } 2>"$work/error" ||
  { echo "hosts: skipped, $(head -1 "$work/error")" >&2; exit 77; }
if [ ${#shape[@]} -gt 0 ] && ! netem; then by_relay; fi

# The remote shell of mpirun: HOST COMMAND...
cat >"$work/shell" <<'END'
#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
host=$1
shift
exec ip netns exec "$host" unshare --uts sh -c 'hostname "$0"; exec sh -c "$1"' "$host" "$*"
END
chmod +x "$work/shell"
list=
for i in $(seq "$hosts"); do
  here_ranks=$(( ranks / hosts + (i <= ranks % hosts ? 1 : 0) ))
  [ "$here_ranks" = 0 ] || list+="${list:+,}$tag-$i:$here_ranks"
done
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_btl_vader_single_copy_mechanism=none
export OMPI_MCA_plm=rsh OMPI_MCA_plm_rsh_agent="$work/shell" OMPI_MCA_oob_tcp_if_include=10.99.0.0/24
export OMPI_MCA_btl=tcp,self,vader OMPI_MCA_btl_tcp_if_include=10.99.0.0/24
code=0
ip netns exec "$tag-1" unshare --uts sh -c 'hostname "$0"; exec "$@"' "$tag-1" \
  timeout -k 5 "${HOSTS_TIMEOUT:-600}" mpirun -q --host "$list" -np "$ranks" -x OMP_NUM_THREADS "$@" </dev/null || code=$?
exit "$code"
