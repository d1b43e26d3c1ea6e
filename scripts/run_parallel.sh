#!/usr/bin/env bash
# main.py over several seeds, one GPU each in turn:
#   bash scripts/run_parallel.sh --dataset ChemProt --model answerdotai/ModernBERT-base [any flag of main.py]
# and over all tasks of a suite, several models and the folds of cross-validated tasks:
#   bash scripts/run_parallel.sh --suite blurb --model A --model B --seeds 42,43,44
#   bash scripts/run_parallel.sh --dataset EU-ADR --model A --folds all --protocol paper
#   --seeds 1,2,3   instead of 42 to 46              --jobs N     runs at a time (default: number of GPUs, else 1)
#   --dry_run       print the plan and its size      --seed N     one seed: the same as main.py
# Lines are prefixed with their run. One failing run does not stop the others; the exit code is then 1, and what failed is
# named at the end. The same command again runs only what is not finished. --save_model DIR becomes DIR/seed=N.
set -uo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

for python in python "$root/.venv/bin/python"; do
    if "$python" -c 'import importlib.util as u, sys; sys.exit(not (u.find_spec("transformers") and u.find_spec("bioclinical")))' 2>/dev/null; then
        PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec "$python" "$root/scripts/run_parallel.py" "$@"
    fi
done
echo "error: the environment is missing; run: bash scripts/test.sh, or activate one that has bioclinical installed" >&2
exit 2
