"""Examples as rows of a model, whatever the problem: the model's side of it, and the rows of a split."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bioclinical.errors import UserError
from bioclinical.problems.operating_point import OperatingPoint
from bioclinical.tasks.example import Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

EXAMPLE_INDEX = "example_index"  # travels with each row, so that a failing batch can be named
Feature = dict[str, Any]  # a row of the model's inputs, each a list or a number, with its EXAMPLE_INDEX


@dataclass(frozen=True)
class Coder:
    """What turns texts into rows of one model: its tokenizer, its context in tokens, special ones included, the
    arguments of its forward, the task's labels in id order (none where the problem has none), the problem's options (an
    object of its `options_class`), and what turns scores into decisions."""

    tokenizer: "PreTrainedTokenizerFast"
    max_length: int
    arguments: frozenset[str]
    labels: tuple[str, ...] = ()
    options: Any = None
    point: OperatingPoint = field(default_factory=OperatingPoint)

    def inputs(self, encoded: Any, i: int) -> Feature:
        """Row i of what the tokenizer gave, with the inputs that the model takes."""
        return {name: values[i] for name, values in encoded.items() if name in self.arguments}

    def inputs_of(self, input_ids: list[int], token_type_ids: list[int] | None = None) -> Feature:
        """A row of ids that are all attended to, such as a window, with the inputs that the model takes."""
        types = [0] * len(input_ids) if token_type_ids is None else token_type_ids
        row = {"input_ids": input_ids, "attention_mask": [1] * len(input_ids), "token_type_ids": types}
        wanted = self.arguments & set(self.tokenizer.model_input_names)
        return {name: values for name, values in row.items() if name in wanted}


def arguments_of(model: Any) -> frozenset[str]:
    """The names of the inputs that a model takes."""
    return frozenset(inspect.signature(type(model).forward).parameters)


@dataclass
class EncodedSplit:
    """Examples and their rows, of which an example may have several (windows), or none.

    features[k] belongs to examples[features[k][EXAMPLE_INDEX]]; notes[k] is what its problem needs to read the output
    of that row (positions of words, say).  cut: positions of the examples of which a part is in no row.
    """

    examples: list[Example]
    features: list[Feature]
    notes: list[Any]
    cut: list[int]

    def tokens(self) -> int:
        """Tokens of the split, special tokens included, padding not."""
        return sum(len(token_ids(row)) for row in self.features)

    def order(self) -> list[int]:
        """The rows' positions by descending length: evaluation wastes least padding, and meets its largest batch
        first."""
        return sorted(range(len(self.features)), key=lambda k: -len(token_ids(self.features[k])))

    def longest_first(self) -> list[Feature]:
        """The rows in the order in which they are evaluated."""
        return [self.features[k] for k in self.order()]

    def by_row(self, outputs: Any) -> list[Any]:
        """Outputs of `longest_first()`, an array or a tuple of arrays, brought to the order of `features`."""
        rows = list(zip(*outputs)) if isinstance(outputs, tuple) else outputs
        placed: list[Any] = [None] * len(self.features)
        for k, output in zip(self.order(), rows):
            placed[k] = output
        return placed

    def by_example(self, outputs: Iterable[Any]) -> list[list[tuple[Any, Any]]]:
        """For each example the (note, output) of its rows; outputs in the order of `features`."""
        gathered: list[list[tuple[Any, Any]]] = [[] for _ in self.examples]
        for feature, note, output in zip(self.features, self.notes, outputs):
            gathered[feature[EXAMPLE_INDEX]].append((note, output))
        return gathered


def token_ids(feature: Feature) -> list[int]:
    """The ids of a row; those of all its options where it holds several texts."""
    ids = feature["input_ids"]
    return ids if not ids or not isinstance(ids[0], list) else np.concatenate(ids).tolist()


def require_tokens(feature: Feature, example: Example) -> None:
    """Raises UserError where nothing is left of an example."""
    if not feature["input_ids"]:
        raise UserError(f"example {example['id']} has no tokens left after tokenisation; remove it from the raw files")


def cut_examples(encoded: Any) -> list[int]:
    """Positions of the texts that the tokenizer truncated."""
    return [i for i, encoding in enumerate(encoded.encodings) if encoding.overflowing]


def encode_filled(
    encode: Callable[[Coder, Sequence[Example]], EncodedSplit], coder: Coder, examples: Sequence[Example], key: str
) -> EncodedSplit:
    """Rows of those raw examples whose text `key` is not blank, under their places among all of them."""
    places = [i for i, example in enumerate(examples) if example[key].strip()]
    split = encode(coder, [examples[i] for i in places])
    for row in split.features:
        row[EXAMPLE_INDEX] = places[row[EXAMPLE_INDEX]]
    return EncodedSplit(list(examples), split.features, split.notes, cut=[places[i] for i in split.cut])
