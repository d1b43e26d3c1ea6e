"""The published random splits, by the libraries that made them (their permutations decide comparability), and the
strict ones, which keep what belongs together on one side."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from bioclinical.errors import UserError
from bioclinical.tasks.example import SPLITS, Example, group_of

SPLIT_SEED = 42
PROTOCOLS = ("paper", "strict")
Splits = dict[str, list[Example]]


@dataclass(frozen=True)
class Protocol:
    """How raw files become examples: `paper` as published, faults included; `strict` repaired, split by group.

    fold: which one of a task's published folds; None for tasks without, or for a task's own default.
    """

    name: str = "paper"
    split_seed: int = SPLIT_SEED
    fold: int | None = None

    def __post_init__(self) -> None:
        if self.name not in PROTOCOLS:
            raise UserError(f"unknown protocol '{self.name}'; known: {', '.join(PROTOCOLS)}")
        if self.split_seed != SPLIT_SEED and not self.is_strict:
            raise UserError(f"--split_seed {self.split_seed} needs --protocol strict; the published splits are fixed")

    @property
    def is_strict(self) -> bool:
        return self.name == "strict"

    @property
    def label(self) -> str:
        """What results and tables call it: another split is another test set, so its seed and fold are named."""
        seed = "" if self.split_seed == SPLIT_SEED else f"-split{self.split_seed}"
        return self.name + seed + ("" if self.fold is None else f"-fold{self.fold}")

    def split(
        self, examples: list[Example], published: Callable[[list[Example]], Splits], shares: tuple[float, float]
    ) -> Splits:
        """The published split, or whole groups with these shares (validation, test)."""
        return grouped_split(examples, shares, self.split_seed) if self.is_strict else published(examples)

    def given(self, splits: Splits) -> Splits:
        """Splits that come as files; raises UserError where another split was asked for."""
        if self.split_seed != SPLIT_SEED:
            raise UserError(f"--split_seed {self.split_seed} has no effect: this dataset's splits are given as files")
        return splits


PAPER = Protocol()


def grouped_split(examples: list[Example], shares: tuple[float, float], seed: int) -> Splits:
    """Whole groups (patients, documents) drawn at random; the shares of validation and test are of the group count.

    Neither the order of the rows nor that of the groups matters. An example without `group` is its own group.
    """
    groups = sorted({group_of(example) for example in examples})
    if len(groups) < len(SPLITS):
        raise UserError(f"{len(groups)} group(s) (patients, documents) cannot be split three ways; more data is needed")
    validation, test = (max(1, round(share * len(groups))) for share in shares)
    order = np.random.default_rng(seed).permutation(len(groups))
    side = {groups[i]: "test" if k < test else "validation" for k, i in enumerate(order[: test + validation])}
    return {split: [e for e in examples if side.get(group_of(e), "train") == split] for split in SPLITS}


def held_out(names: Iterable[str], share: float, seed: int = SPLIT_SEED) -> set[str]:
    """That share of the names (patients, notes, questions; rounded up), drawn whatever their order."""
    ordered = sorted(set(names))
    kept = int(len(ordered) * (1 - share) + 1e-9)
    order = np.random.default_rng(seed).permutation(len(ordered))
    return {ordered[i] for i in order[kept:]}


def hold_out_groups(
    examples: list[Example], share: float, seed: int = SPLIT_SEED
) -> tuple[list[Example], list[Example]]:
    """(kept, held out): whole groups are held out, for data that come without a validation part."""
    chosen = held_out((group_of(example) for example in examples), share, seed)
    kept = [example for example in examples if group_of(example) not in chosen]
    return kept, [example for example in examples if group_of(example) in chosen]


def split_70_15_15(examples: list[Example]) -> dict[str, list[Example]]:
    """COS and SocialHistory: `datasets` takes 30 % out, then halves it into validation and test."""
    train, held_out = datasets_split(examples, 0.3)
    validation, test = datasets_split(held_out, 0.5)
    return {"train": train, "validation": validation, "test": test}


def split_70_10_20(examples: list[Example]) -> dict[str, list[Example]]:
    """Phenotype: `datasets` takes 20 % out as test, then an eighth of the rest as validation."""
    rest, test = datasets_split(examples, 0.2)
    train, validation = datasets_split(rest, 0.125)
    return {"train": train, "validation": validation, "test": test}


def sklearn_split_70_15_15(examples: list[Example]) -> dict[str, list[Example]]:
    """DEID: scikit-learn takes 30 % out, then halves it into validation and test."""
    from sklearn.model_selection import train_test_split  # slow to import

    require_examples(examples)
    train, held_out = train_test_split(examples, test_size=0.30, random_state=SPLIT_SEED)
    require_examples(held_out)
    validation, test = train_test_split(held_out, test_size=0.50, random_state=SPLIT_SEED)
    return {"train": train, "validation": validation, "test": test}


def datasets_split(examples: list[Example], test_size: float) -> tuple[list[Example], list[Example]]:
    """One `datasets.Dataset.train_test_split`, applied to the examples' positions."""
    from datasets import Dataset  # slow to import

    require_examples(examples)
    parts = Dataset.from_dict({"position": range(len(examples))}).train_test_split(test_size, seed=SPLIT_SEED)
    return tuple([examples[i] for i in parts[name]["position"]] for name in ("train", "test"))


def require_examples(examples: list[Example]) -> None:
    """Raises UserError where there are too few examples for one in every split."""
    if len(examples) < 2:
        raise UserError(
            f"{len(examples)} example(s) cannot be split into train, validation and test; more data is needed"
        )
