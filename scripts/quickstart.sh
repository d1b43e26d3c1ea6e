#!/usr/bin/env bash
# The main job on invented sample data, nothing downloaded but the environment: a tiny ModernBERT is built, fine-tuned
# on one sequence and one token task over two seeds, and compared with the majority baseline.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"
cd "$root"
export HF_HUB_OFFLINE=1

python scripts/make_sample_data.py --out quickstart
python -m bioclinical.tiny_models --texts quickstart/notes.csv --out quickstart/tiny-modernbert
for dataset in ChemProt DEID; do
    bash scripts/run_parallel.sh --dataset "$dataset" --model quickstart/tiny-modernbert --seeds 42,43 \
        --data_dir quickstart/raw --output_dir quickstart/outputs --lr 2e-3 --epochs 4
done
python -m bioclinical.results quickstart/outputs
