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
exec mpirun -q -n "$ranks" "$binary" "$@" </dev/null
