#!/usr/bin/env bash
# Local ranks: launch/run.sh -n P SUBCOMMAND ... runs smartbird under mpirun with what Open MPI needs on one machine.
set -euo pipefail
repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
binary="${SMARTBIRD_BINARY:-$repository/build/release/smartbird}"
if [ "${1:-}" != -n ] || ! [[ "${2:-}" =~ ^[1-9][0-9]*$ ]] || [ $# -lt 3 ]; then
  echo "usage: launch/run.sh -n RANKS SUBCOMMAND [arguments]" >&2
  exit 2
fi
ranks=$2
shift 2
if [ ! -x "$binary" ]; then
  echo "run: $binary does not exist; run: bash launch/setup.sh" >&2
  exit 4
fi
threads=$(( $(nproc) / ranks ))
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$(( threads > 0 ? threads : 1 ))}"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
export OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_btl_vader_single_copy_mechanism=none

# Ctrl-C, SIGTERM, SIGUSR1 and a closed terminal reach a training run as SIGUSR1: it finishes its step, saves and ends with
# 75. mpirun would give its ranks one second, so it stands apart from the terminal (setsid). A second Ctrl-C does not wait.
signal=TERM
case "$1" in pretrain | finetune) signal=USR1 ;; esac
job=
asked=
stop() {
  local first=$asked
  asked=1
  [ -n "$job" ] || return 0
  kill "-$signal" "$job" 2>/dev/null || true
  [ -z "$first" ] && [ "$signal" = USR1 ] || return 0
  (while sleep 2 && kill -USR1 "$job" 2>/dev/null; do :; done) &  # mpirun forwards none before its ranks run
}
trap stop TERM HUP USR1
trap 'stop; signal=TERM' INT
setsid mpirun -q -n "$ranks" "$binary" "$@" </dev/null &
job=$!
if [ -n "$asked" ]; then asked= && stop; fi
code=0
while wait "$job" && code=0 || code=$?; kill -0 "$job" 2>/dev/null; do :; done
if [ "$code" -gt 128 ] && [ -z "$asked" ]; then  # peer lost
  echo "run: a rank was killed by signal $((code - 128)) ($(kill -l $((code - 128)))), so mpirun ended the others; a" \
    "training run goes on from its last checkpoint with --run.resume=auto" >&2
  code=7
elif [ "$code" -gt 128 ] && [ "$signal" = USR1 ]; then  # the ranks were not yet listening
  echo "run: stopped by a signal before the first step; run again with --run.resume=auto" >&2
  code=75
fi
exit "$code"
