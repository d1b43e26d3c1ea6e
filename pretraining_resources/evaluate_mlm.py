"""Masked accuracy and perplexity of encoders on a recipe's evaluation split, every model under the same masks.

python evaluate_mlm.py configs/smoke/phase2.yaml --models my-encoder checkpoints/RUN/latest-rank0.pt
"""

import argparse
from pathlib import Path

from bioclinical.errors import UserError, run_cli
from bioclinical.files import write_json
from bioclinical.pretraining.recipe.load import load_recipe
from bioclinical.pretraining.recipe.preflight import expect_data, expect_source


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="the recipe whose eval_loader, tokenizer and architecture are used")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--models", nargs="+", required=True, help="Hugging Face folders or ids, or .pt checkpoints")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    args = parser.parse_intermixed_args()
    recipe = load_recipe(args.config, args.overrides)
    if recipe.eval_loader is None:
        raise UserError(f"'{args.config}' has no eval_loader; give a recipe that has")
    expect_data(recipe.eval_loader)
    for model in args.models:
        expect_source(model)
    from bioclinical.pretraining.training.evaluation import evaluate  # torch and Composer: when nothing simple is wrong

    scores = {model: evaluate(recipe, model) for model in args.models}
    print(f"{'masked accuracy':>15} {'cross-entropy':>13} {'perplexity':>10} {'tokens':>9}  model")
    for model, one in scores.items():
        print(
            f"{one['MaskedAccuracy']:>14.2%} {one['LanguageCrossEntropy']:>13.4f} {one['LanguagePerplexity']:>10.2f} "
            f"{one['masked_tokens']:>9,}  {model}"
        )
    if args.output:
        write_json(args.output, scores)


if __name__ == "__main__":
    run_cli(main)
