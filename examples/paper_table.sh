#!/usr/bin/env bash
# A paper's table from a suite: every task, model and seed, then the table with intervals and p as LaTeX, CSV and a page.
#   bash examples/paper_table.sh SUITE RAW OUT REFERENCE MODEL [MODEL ...] [-- flags of main.py]
# SEEDS=42,43,44,45,46 by default. REFERENCE: the model, by its name in the table, that the others are compared with.
# The same command again runs only what is not finished.
set -euo pipefail
suite="$1" raw="$2" out="$3" reference="$4"
shift 4
models=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    models+=(--model "$1")
    shift
done
shift || true
here="$(dirname "$0")/.."
bash "$here/scripts/run_parallel.sh" --suite "$suite" "${models[@]}" --seeds "${SEEDS:-42,43,44,45,46}" \
    --data_dir "$raw" --output_dir "$out/outputs" "$@"
PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}" python -m bioclinical.results "$out/outputs" --suite "$suite" \
    --reference "$reference" --latex "$out/table.tex" --csv "$out/table.csv" --html "$out/page.html"
