#!/usr/bin/env bash
# The test suite on the newest torch and transformers, in .venv-latest: bash scripts/test_latest.sh [pytest arguments]
# Composer pins an older torch and is left out: its tests skip. streaming pins an older transformers but runs with it.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="$root/.venv-latest"
python="${PYTHON:-python3.11}"
if [ ! -x "$venv/bin/python" ]; then
    "$python" -m venv "$venv"
fi
. "$venv/bin/activate"
python -m pip install --quiet --disable-pip-version-check --upgrade torch torchvision transformers accelerate \
    datasets scikit-learn scipy seqeval rouge-score defusedxml pandas numpy matplotlib pyyaml omegaconf filelock psutil tqdm \
    sentencepiece gensim pytest Brotli python-snappy zstd catalogue
python -m pip install --quiet --disable-pip-version-check --no-deps mosaicml-streaming -e "$root"
cd "$root"
export HF_HUB_OFFLINE=1
if [ -x "$root/.venv/bin/python" ]; then  # the pinned environment: some tests compare the two
    export BIOCLINICAL_OTHER_PYTHON="$root/.venv/bin/python"
fi
python -c 'import torch, transformers; print("torch", torch.__version__, "transformers", transformers.__version__)'
python -m pytest "$@"
