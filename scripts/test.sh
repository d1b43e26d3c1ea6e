#!/usr/bin/env bash
# The whole test suite on a fresh machine: bash scripts/test.sh [pytest arguments]
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"
cd "$root"
export HF_HUB_OFFLINE=1
python -m pip check
python -m pytest "$@"
