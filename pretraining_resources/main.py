"""Continued masked-language-model pre-training of ModernBERT.

composer main.py configs/phase1/phase1_base.yaml [key=value ...]     all GPUs of this machine
python main.py configs/smoke/phase1.yaml [key=value ...]             one process
python main.py CONFIG [key=value ...] --check                        validates and measures, trains nothing

Relative paths, also those in the YAML, are relative to the working directory.
"""

import argparse

from bioclinical.errors import run_cli
from bioclinical.pretraining.recipe.load import load_config
from bioclinical.pretraining.training.check import check
from bioclinical.pretraining.training.run import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a YAML of configs/")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="values to change, e.g. max_duration=100ba")
    parser.add_argument(
        "--check", action="store_true", help="check config, data and checkpoint; estimate memory and time"
    )
    args = parser.parse_intermixed_args()
    config = load_config(args.config, args.overrides)
    check(config) if args.check else run(config)


if __name__ == "__main__":
    run_cli(main)
