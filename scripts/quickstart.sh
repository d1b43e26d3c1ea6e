#!/usr/bin/env bash
# The whole story on invented sample data, nothing downloaded but the environment: notes become tokenised MDS, a tiny
# ModernBERT is pre-trained on them in two phases and exported; it and the untrained one are fine-tuned on one sequence and
# one token task over three seeds; one table and one picture compare them. [--out FOLDER] [--seed N] [--jobs N]
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"
cd "$root"
export HF_HUB_OFFLINE=1
exec python scripts/quickstart.py "$@"
