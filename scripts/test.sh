#!/usr/bin/env bash
# The whole test suite on a fresh machine, a process per core: bash scripts/test.sh [pytest arguments]
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"
cd "$root"
export HF_HUB_OFFLINE=1
export OMP_NUM_THREADS=1  # the models are tiny: one thread for each of the processes
python -m pip check
python -m pytest -n auto --dist loadfile "$@"
