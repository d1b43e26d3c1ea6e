"""How well a causal model predicts texts: bits per byte, which compares models of any vocabulary, and perplexity.

python -m bioclinical.perplexity --model M --input notes.csv --text_column notes [--output scores.json]

Each text stands alone behind the model's start token. One longer than the context is read in windows: the first has
`--max_length` tokens, each further one scores the next `--stride` behind as many as fit; every token is scored once.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bioclinical.arguments import positive
from bioclinical.encoders.attention_names import ATTENTION_CHOICES
from bioclinical.errors import RunFailed, UserError, run_cli
from bioclinical.files import make_folder, write_json
from bioclinical.inference.arguments import add_input_arguments, columns_of, input_documents, refuse_existing


def main() -> None:
    args = parse_args()
    refuse_existing([args.output and Path(args.output)], args.overwrite)
    documents = input_documents(args, columns_of(args))
    texts = [document.text for document in documents if not document.is_empty]
    if not texts:
        raise UserError(f"'{args.input}' has no text in the column '{args.text_column}'")
    scores = measured(args, texts) | {"empty_documents": len(documents) - len(texts)}
    for name in ("documents", "empty_documents", "tokens", "bytes", "windows"):
        print(f"{name.replace('_', ' '):<22}{scores[name]:>14,}")
    for name in ("bits_per_byte", "perplexity_per_token"):
        print(f"{name.replace('_', ' '):<22}{scores[name]:>14.4f}")
    if args.output:
        make_folder(Path(args.output).parent)
        write_json(Path(args.output), scores)
        print(args.output)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Bits per byte and perplexity of texts under a causal model.")
    parser.add_argument("--model", required=True, help="hub id, or folder in Hugging Face layout")
    add_input_arguments(parser)
    parser.add_argument("--max_length", type=positive(int), help="tokens of a window (default: the model's context)")
    parser.add_argument("--stride", type=positive(int), help="tokens a further window scores (default: half of those)")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="default: fp32")
    parser.add_argument("--attn", choices=ATTENTION_CHOICES, default="auto", help="default: auto")
    parser.add_argument("--output", help="JSON: the scores, unrounded, with versions and hardware")
    return parser.parse_args()


def measured(args: argparse.Namespace, texts: Sequence[str]) -> dict[str, Any]:
    """The scores of all texts together, and how they were made. Raises UserError where the model cannot be used."""
    from tqdm import tqdm

    from bioclinical.encoders.source import Source
    from bioclinical.inference.language_model import LanguageModel
    from bioclinical.inference.likelihood import windows_of
    from bioclinical.runtime import provenance

    model = LanguageModel(Source(args.model), args.max_length, args.precision, "perplexity")
    stride = args.stride or max(1, model.max_length // 2)
    if stride > model.max_length:
        raise UserError(f"--stride {stride} is more than a window of {model.max_length} tokens; give at most that")
    start = model.start_token()
    model.load(args.attn)
    encoded = model.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
    requests = [window for ids in encoded for window in windows_of(ids, start, model.max_length, stride)]
    with tqdm(total=len(requests), unit="window", mininterval=2, file=sys.stderr) as bar:
        nats = -math.fsum(model.log_likelihoods(requests, args.batch_size, bar.update))
    if not math.isfinite(nats):
        raise RunFailed("the model gives non-finite likelihoods; use --precision fp32")
    tokens, size = sum(map(len, encoded)), sum(len(text.encode("utf-8")) for text in texts)
    return {
        "documents": len(texts),
        "windows": len(requests),
        "tokens": tokens,
        "bytes": size,
        "nats": nats,
        "bits_per_byte": nats / math.log(2) / size,
        "perplexity_per_token": math.exp(nats / tokens),
        "stride": stride,
        "model": args.model,
        "model_sha256": model.identity,
        **{name: choice.value for name, choice in model.choices.items()},
        "versions": provenance.installed_versions(),
        "hardware": provenance.hardware(),
        "command": sys.argv,
    }


if __name__ == "__main__":
    run_cli(main)
