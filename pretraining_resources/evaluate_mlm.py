"""How well models predict: on a recipe's evaluation split under the same masks, or on texts per byte, for models of any
vocabulary, masked and causal.

python evaluate_mlm.py configs/smoke/phase2.yaml --models my-encoder checkpoints/RUN/latest-rank0.pt
python evaluate_mlm.py --texts notes.csv --models my-encoder roberta-base gpt2 --documents 200 [--pseudo]
"""

import argparse
from itertools import islice
from pathlib import Path
from typing import Any

from bioclinical.errors import UserError, run_cli
from bioclinical.files import write_json
from bioclinical.pretraining.recipe.load import load_recipe
from bioclinical.pretraining.recipe.preflight import expect_data, expect_source
from bioclinical.text.tables import Format, TextReader


def main() -> None:
    args = parse_args()
    for model in args.models:
        expect_source(model)
    scores = scores_on_texts(args) if args.texts else scores_on_split(args)
    if args.output:
        write_json(args.output, scores)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", help="the recipe whose eval_loader, tokenizer and architecture are used")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--models", nargs="+", required=True, help="Hugging Face folders or ids, or .pt checkpoints")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    texts = parser.add_argument_group("on texts, instead of a recipe")
    texts.add_argument("--texts", type=Path, help=".csv, .tsv or .jsonl, also .gz")
    texts.add_argument("--text_column", default="notes", help="(default: notes)")
    texts.add_argument("--documents", type=int, help="only the first so many texts")
    texts.add_argument("--words", type=int, default=128, help="of a passage at most (default: 128)")
    texts.add_argument("--hidden_share", type=float, default=0.15, help="of the words, from masked models (0.15)")
    texts.add_argument("--pseudo", action="store_true", help="also token by token: a pass for every token")
    texts.add_argument("--causal", action="store_true", help="also token after token, where an encoder has that form")
    args = parser.parse_intermixed_args()
    if (args.config is None) == (args.texts is None):
        raise UserError("give either a recipe (configs/.../*.yaml) or --texts FILE to measure models on")
    for name in ("pseudo", "causal"):
        if getattr(args, name) and not args.texts:
            raise UserError(f"--{name} has no effect without --texts FILE; give both")
    for name, fits, allowed in (
        ("documents", args.documents is None or args.documents > 0, "1 or more"),
        ("words", args.words > 0, "1 or more"),
        ("hidden_share", 0 < args.hidden_share < 1, "between 0 and 1"),
    ):
        if not fits:
            raise UserError(f"--{name} {getattr(args, name)} must be {allowed}")
    return args


def scores_on_split(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Every model's metrics of the recipe's objective, printed as a table."""
    recipe = load_recipe(args.config, args.overrides)
    if recipe.eval_loader is None:
        raise UserError(f"'{args.config}' has no eval_loader; give a recipe that has")
    expect_data(recipe.eval_loader)
    from bioclinical.pretraining.training.evaluation import evaluate  # torch and Composer: when nothing simple is wrong

    scores = {model: evaluate(recipe, model) for model in args.models}
    names = list(next(iter(scores.values())))
    print("  ".join(names), " model")
    for model, one in scores.items():
        shown = (f"{one[name]:>{len(name)},.4f}" for name in names[:-1])
        print("  ".join((*shown, f"{one[names[-1]]:>{len(names[-1])},}")), f" {model}")
    return scores


def scores_on_texts(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Every model's cross-entropy per token and per byte on the same passages, printed as a table."""
    format = Format(args.text_column)
    TextReader(args.texts, format).check_columns()
    texts = [row.text for row in islice(TextReader(args.texts, format).texts(), args.documents)]
    from bioclinical.pretraining.compute import choose_compute  # torch: when nothing simple is wrong
    from bioclinical.pretraining.evaluation.passages import passages_of
    from bioclinical.pretraining.evaluation.text_scores import PSEUDO, Scorer

    passages = passages_of(texts, args.words, args.hidden_share)
    size, hidden = sum(one.bytes for one in passages), sum(len(one.hidden) for one in passages)
    print(
        f"{len(texts):,} texts, {len(passages):,} passages of at most {args.words} words, {size:,} bytes; "
        f"{hidden:,} words hidden"
    )
    compute, scores = choose_compute(None, "fp32", "auto"), {}
    for model in args.models:
        scorer = Scorer(model, passages, compute)
        measures = scorer.measures(args.pseudo, args.causal)
        if PSEUDO in measures:
            times = scorer.passes(PSEUDO) / len(passages)
            print(f"pseudo, '{model}': {scorer.passes(PSEUDO):,} passes, {times:,.0f} times the work of hidden words")
        scores[model] = [scorer.score(measure) for measure in measures]
    print("bits/byte  nats/token  perplexity     tokens       bytes    kept  measure       model")
    for model, several in scores.items():
        for one in several:
            print(
                f"{one.bits_per_byte:>9.4f}  {one.nats / one.tokens:>10.4f}  {one.perplexity:>10,.2f}  "
                f"{one.tokens:>9,}  {one.bytes:>10,}  {one.kept:>6.1%}  {one.measure:<12}  {model}"
            )
    return {
        model: {one.measure: vars(one) | {"bits_per_byte": one.bits_per_byte} for one in several}
        for model, several in scores.items()
    }


if __name__ == "__main__":
    run_cli(main)
