#!/usr/bin/env bash
# The whole story on invented sample data, nothing downloaded but the environment: notes become tokenised MDS, a tiny
# ModernBERT is pre-trained on them in two phases and exported; it and the untrained one are fine-tuned on one sequence and
# one token task over two seeds; one table and one picture compare them.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"
cd "$root"
export HF_HUB_OFFLINE=1

rm -rf quickstart/mds quickstart/checkpoints quickstart/pretrained-modernbert  # a second quickstart begins anew
python scripts/make_sample_data.py --out quickstart
python -m bioclinical.tiny_models --texts quickstart/notes.csv --out quickstart/tiny-modernbert
python pretraining_resources/convert_dataset_to_mds.py --dataset quickstart/notes.csv --out_dir quickstart/mds \
    --out_token_counts quickstart/mds/token_counts.txt --tokenizer quickstart/tiny-modernbert --eval_fraction 0.05 --merge
(
    cd pretraining_resources
    python main.py configs/smoke/phase1.yaml
    python main.py configs/smoke/phase2.yaml
    python export_to_hf.py --checkpoint ../quickstart/checkpoints/smoke_phase2/latest-rank0.pt \
        --out ../quickstart/pretrained-modernbert
    python evaluate_mlm.py configs/smoke/phase2.yaml --models ../quickstart/tiny-modernbert ../quickstart/pretrained-modernbert \
        --output ../quickstart/mlm.json
)
for dataset in ChemProt DEID; do
    for model in tiny-modernbert pretrained-modernbert; do
        OMP_NUM_THREADS=1 bash scripts/run_parallel.sh --dataset "$dataset" --model "quickstart/$model" --seeds 42,43 --jobs 2 \
            --data_dir quickstart/raw --output_dir quickstart/outputs --lr 2e-3 --epochs 5
    done
done
python -m bioclinical.results quickstart/outputs --reference tiny-modernbert --html quickstart/report.html
python scripts/quickstart_report.py --mlm quickstart/mlm.json --results quickstart/outputs \
    --runs quickstart/checkpoints/smoke_phase1 quickstart/checkpoints/smoke_phase2 --out quickstart
