#!/usr/bin/env bash
# Fetches a published training checkpoint into the folder that the recipes' load_path names.
#   bash scripts/download_checkpoints.sh {base|large} {modernbert|bioclinical} [FOLDER]
# modernbert:  end of ModernBERT's context extension, before its decay: where phase 1 starts
# bioclinical: end of BioClinical ModernBERT's phase 1: where a phase 2 of your own starts
# FOLDER: default pretraining_resources/checkpoints. Needs the network (about 1.8 GB for base, 4.8 GB for large); a broken
# download is continued by running the same command again.
set -euo pipefail
size=${1:-} which=${2:-}
case "$size/$which" in
    base/modernbert)   repo=answerdotai/ModernBERT-base-training-checkpoints   file=context-extension/ep0-ba52988-rank0.pt ;;
    large/modernbert)  repo=answerdotai/ModernBERT-large-training-checkpoints  file=context-extension/ep0-ba49552-rank0.pt ;;
    base/bioclinical)  repo=thomas-sounack/BioClinical-ModernBERT-checkpoints  file=base/phase1_base_last.pt ;;
    large/bioclinical) repo=thomas-sounack/BioClinical-ModernBERT-checkpoints  file=large/phase1_large_last.pt ;;
    *) echo "usage: bash scripts/download_checkpoints.sh {base|large} {modernbert|bioclinical} [FOLDER]" >&2; exit 2 ;;
esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=${3:-$root/pretraining_resources/checkpoints}
command -v huggingface-cli > /dev/null || . "$root/.venv/bin/activate"

if [ "$which" = modernbert ]; then
    target=$folder/modernbert-$size-context-extension
    huggingface-cli download "$repo" "$file" --local-dir "$target"
    echo "written: $target/$file"
else
    # The recipes of phase 2 start where a phase 1 of one's own would have ended.
    run=phase1_all_3ep_constant
    [ "$size" = base ] || run=phase1_large_all_3ep_constant
    latest=$folder/$run/latest-rank0.pt
    if [ -e "$latest" ] && [ "$(readlink "$latest")" != "$file" ]; then
        echo "error: '$latest' is a run of your own; name another FOLDER, or move that run away" >&2
        exit 2
    fi
    huggingface-cli download "$repo" "$file" --local-dir "$folder/$run"
    ln -sf "$file" "$folder/$run/latest-rank0.pt"
    echo "written: $folder/$run/latest-rank0.pt -> $file"
fi
