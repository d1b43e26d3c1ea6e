"""Pre-training: ModernBERT and other encoders on masked tokens, from a recipe.

composer main.py configs/phase1/phase1_base.yaml [key=value ...]     all GPUs of this machine
python main.py configs/smoke/phase1.yaml [key=value ...]             one process
python main.py CONFIG [key=value ...] --check                        validates and measures, trains nothing

Relative paths, also those in the YAML, are relative to the working directory.
"""

import argparse

from bioclinical.errors import run_cli
from bioclinical.pretraining.recipe.load import load_recipe
from bioclinical.pretraining.recipe.preflight import expect_possible, how_it_ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a YAML of configs/")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="values to change, e.g. max_duration=100ba")
    parser.add_argument(
        "--check", action="store_true", help="check config, data and checkpoint; estimate memory and time"
    )
    args = parser.parse_intermixed_args()
    recipe = load_recipe(args.config, args.overrides)
    expect_possible(recipe)
    if not args.check and (sentence := how_it_ended(recipe)):
        print(sentence)
        return
    # torch, transformers and Composer take seconds to import: only now, when nothing simple is wrong.
    from bioclinical.pretraining.training.outlook import check
    from bioclinical.pretraining.training.run import run

    check(recipe) if args.check else run(recipe)


def command() -> None:
    """The console command bioclinical-pretrain."""
    run_cli(main)


if __name__ == "__main__":
    command()
