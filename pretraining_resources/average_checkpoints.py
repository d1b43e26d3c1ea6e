"""A mean of checkpoints as a new one: a run's last ones in place of a decay, several runs, or TIES over a common start.

python average_checkpoints.py checkpoints/RUN --decay one_minus_sqrt --span 20_000_000_000tok --out average.pt
python average_checkpoints.py A.pt B.pt --weights 0.2,0.8 --out C.pt
python average_checkpoints.py A.pt B.pt --ties START.pt --keep 0.2 --out C.pt

With --evaluate CONFIG the average, and every checkpoint that it is made of, is scored on the recipe's held-out text.
"""

import argparse
import re
from pathlib import Path

from bioclinical.errors import UserError, run_cli
from bioclinical.pretraining.recipe.load import load_recipe
from bioclinical.pretraining.recipe.preflight import expect_data
from bioclinical.pretraining.recipe.schema import Recipe

DECAY_NAMES = ("linear", "one_minus_sqrt", "cosine")


def main() -> None:
    args = parse_args()
    recipe = recipe_to_score(args.evaluate) if args.evaluate else None
    from bioclinical.checkpoints import average  # torch takes seconds to load

    paths, weights = args.sources, args.weights
    if args.decay:
        paths, clocks = average.in_span(args.sources[0], args.span)
        weights = average.decay_weights(clocks, args.decay)
    elif not args.ties:
        weights = weights or [1 / len(paths)] * len(paths)
        average.check_weights(weights, len(paths))
    average.check_one_model([*([args.ties] if args.ties else []), *paths])
    if args.ties:
        tensors, made_of = average.ties(args.ties, paths, args.keep), {"ties": str(args.ties), "keep": args.keep}
        shares = ["kept and elected"] * len(paths)
    else:
        tensors, made_of = average.average(paths, weights), {"weights": list(weights)}
        shares = [f"{weight:.4f}" for weight in weights]
    average.write_average(tensors, paths[-1], args.out, made_of | {"checkpoints": [str(path) for path in paths]})
    for path, share in zip(paths, shares):
        print(f"{share:>8}  {path}")
    print(f"written: {args.out} (weights alone; it starts a phase, is exported and evaluated as any checkpoint)")
    if recipe:
        from bioclinical.pretraining.training.evaluation import evaluate, score_table

        models = [*map(str, paths), str(args.out)]
        print(score_table({model: evaluate(recipe, model) for model in models}))


def recipe_to_score(given: list[str]) -> Recipe:
    """The recipe of a config and overrides. Raises UserError where it has no held-out text."""
    recipe = load_recipe(given[0], given[1:])
    if recipe.eval_loader is None:
        raise UserError(f"--evaluate: '{given[0]}' has no eval_loader; give a recipe that has")
    expect_data(recipe.eval_loader)
    return recipe


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", type=Path, help="a run's folder (with --decay), or two .pt files or more")
    parser.add_argument("--decay", choices=DECAY_NAMES, help="the decay to emulate over the run's kept checkpoints")
    parser.add_argument("--span", type=tokens, help="how far back the decay would have begun, e.g. 20_000_000_000tok")
    parser.add_argument("--weights", type=numbers, help="one a file, summing to 1 (default: all equal)")
    parser.add_argument("--ties", type=Path, metavar="START.pt", help="merge the changes since this common start")
    parser.add_argument("--keep", type=share, default=0.2, help="TIES: share of the largest changes (default: 0.2)")
    parser.add_argument(
        "--evaluate", nargs="+", metavar=("CONFIG", "key=value"), help="score it on this recipe's held-out text"
    )
    parser.add_argument("--out", type=Path, required=True, help="the .pt file to write")
    args = parser.parse_args()
    if bool(args.decay) != bool(args.span):
        parser.error("--decay and --span go together")
    if args.decay and (len(args.sources) > 1 or args.weights or args.ties):
        parser.error("--decay takes one run's folder, and neither --weights nor --ties")
    if args.ties and args.weights:
        parser.error("--ties elects by sign; it takes no --weights")
    if not args.decay and len(args.sources) < 2:
        parser.error("give two .pt files or more, or a run's folder with --decay and --span")
    if args.out.exists():
        raise UserError(f"--out: '{args.out}' exists; choose another name or remove it")
    return args


def tokens(text: str) -> int:
    """An argparse type: 1_000_000tok."""
    if not re.fullmatch(r"[0-9][0-9_]*tok", text) or not (value := int(text.removesuffix("tok"))):
        raise argparse.ArgumentTypeError(f"'{text}' is no number of tokens such as 1_000_000tok")
    return value


def numbers(text: str) -> list[float]:
    """An argparse type: 0.2,0.8."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no list of numbers such as 0.2,0.8") from error


def share(text: str) -> float:
    """An argparse type: above 0 and at most 1."""
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 1")
    return value


if __name__ == "__main__":
    run_cli(main)
