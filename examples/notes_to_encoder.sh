#!/usr/bin/env bash
# Own notes to an encoder of their language: tokenised, pre-trained on from an encoder that exists, exported, compared.
#   bash examples/notes_to_encoder.sh NOTES.csv START OUT [RECIPE [key=value ...]]
# NOTES.csv has a column `notes`. START: folder of a ModernBERT, or `tiny` to try this in a minute. RECIPE: of
# pretraining_resources/configs, its architecture that of START (default: smoke/phase1.yaml, which fits `tiny`).
set -euo pipefail
notes="$(realpath "$1")" start="$2" out="$(realpath -m "$3")" recipe="configs/${4:-smoke/phase1.yaml}"
overrides=("${@:5}")
cd "$(dirname "$0")/.."
if [ "$start" = tiny ]; then
    start="$out/start"
    python -m bioclinical.tiny_models --texts "$notes" --out "$start"
fi
start="$(realpath "$start")"
python pretraining_resources/convert_dataset_to_mds.py --dataset "$notes" --out_dir "$out/mds" \
    --out_token_counts "$out/mds/token_counts.txt" --tokenizer "$start" --eval_fraction 0.05 --merge
cd pretraining_resources
data=("data_local=$out/mds" "tokenizer_name=$start")
python main.py "$recipe" "${data[@]}" "load_path=$start" "save_folder=$out/run" "${overrides[@]}"
python export_to_hf.py --checkpoint "$out/run/latest-rank0.pt" --out "$out/encoder"
python evaluate_mlm.py "$recipe" "${data[@]}" --models "$start" "$out/encoder"
