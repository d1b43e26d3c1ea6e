"""The published random splits, by the libraries that made them (their permutations decide comparability)."""

from datasets import Dataset
from sklearn.model_selection import train_test_split

from bioclinical.errors import UserError
from bioclinical.tasks.task import Example

SPLIT_SEED = 42


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
    require_examples(examples)
    train, held_out = train_test_split(examples, test_size=0.30, random_state=SPLIT_SEED)
    require_examples(held_out)
    validation, test = train_test_split(held_out, test_size=0.50, random_state=SPLIT_SEED)
    return {"train": train, "validation": validation, "test": test}


def datasets_split(examples: list[Example], test_size: float) -> tuple[list[Example], list[Example]]:
    """One `datasets.Dataset.train_test_split`, applied to the examples' positions."""
    require_examples(examples)
    parts = Dataset.from_dict({"position": range(len(examples))}).train_test_split(test_size, seed=SPLIT_SEED)
    return tuple([examples[i] for i in parts[name]["position"]] for name in ("train", "test"))


def require_examples(examples: list[Example]) -> None:
    """Raises UserError where there are too few examples for one in every split."""
    if len(examples) < 2:
        raise UserError(
            f"{len(examples)} example(s) cannot be split into train, validation and test; more data is needed"
        )
