"""A Composer checkpoint (this project's, ModernBERT's or BioClinical ModernBERT's) as a Hugging Face folder.

python export_to_hf.py --checkpoint checkpoints/RUN/latest-rank0.pt --out my-encoder [--tokenizer NAME_OR_FOLDER]
"""

import argparse
from pathlib import Path

from bioclinical.errors import UserError, run_cli
from bioclinical.pretraining.recipe.preflight import expect_source


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="a .pt file of Composer")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--tokenizer", help="hub id or folder; default: the run's, else answerdotai/ModernBERT-base")
    parser.add_argument("--config", type=Path, help="training YAML, where the checkpoint does not say its architecture")
    parser.add_argument("--trust_checkpoint", action="store_true", help="allow the file to run code while it is read")
    args = parser.parse_args()
    expect_source(str(args.checkpoint), must_be_file=True)
    if args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        raise UserError(f"--out: '{args.out}' is not an empty folder; give a new one, or remove it first")
    from bioclinical.checkpoints.export import export  # torch and transformers: when nothing simple is wrong

    difference = export(args.checkpoint, args.out, args.tokenizer, args.config, args.trust_checkpoint)
    print(f"written: {args.out}; its logits are the checkpoint's (difference at most {difference:.1e} of the largest)")


if __name__ == "__main__":
    run_cli(main)
