"""What the publishers say is in a task's files, so that ours can be held against it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from bioclinical.errors import UserError
from bioclinical.tasks.example import SPLITS, Example, group_of

Counts = tuple[int | None, int | None, int | None]  # train, validation, test; None where no number is published


@dataclass(frozen=True)
class Published:
    """Counts per split, and those of other releases of the corpus.

    examples: rows or sentences.  labels: rows of each label, or labels of several.  entities, words, groups: of a
    tagging task its entities (O and I- begin none), all its words, and the abstracts or documents.
    others: name of another task -> its numbers of examples; files with exactly these belong there.
    """

    examples: Counts | None = None
    labels: dict[str, Counts] = field(default_factory=dict)
    entities: Counts | None = None
    words: Counts | None = None
    groups: Counts | None = None
    others: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    def lines(self) -> dict[str, Counts]:
        """Name of a count -> the published numbers."""
        counts = {"examples": self.examples, "entities": self.entities, "words": self.words, "groups": self.groups}
        return {name: count for name, count in counts.items() if count} | {
            f"label {label}": count for label, count in self.labels.items()
        }

    @property
    def size(self) -> str:
        """The published sizes of train, validation and test, in the unit in which they are published."""
        units = {"examples": self.examples, "documents": self.groups, "words": self.words, "entities": self.entities}
        known = {unit: counts for unit, counts in units.items() if counts}
        if not known:
            return "sizes not published"
        unit, counts = next(iter(known.items()))
        return f"{shown(counts)} {unit}"


def shown(counts: Counts) -> str:
    """The three numbers; a question mark where none is published."""
    return " / ".join("?" if count is None else f"{count:,}" for count in counts)


def counted_lines(
    splits: dict[str, list[Example]], labels: tuple[str, ...], names: list[str]
) -> dict[str, tuple[int, int, int]]:
    """The same counts of the examples that were read, for the names of `Published.lines`."""
    return {name: tuple(counter_of(name, labels)(splits[split]) for split in SPLITS) for name in names}


def counter_of(name: str, labels: tuple[str, ...]) -> Callable[[list[Example]], int]:
    """What counts one line of `Published.lines`."""
    if name == "examples":
        return len
    if name == "groups":
        return lambda examples: len({group_of(example) for example in examples})
    if name == "words":
        return lambda examples: sum(len(example["tokens"]) for example in examples)
    if name == "entities":
        return lambda examples: sum(tag.startswith("B") for example in examples for tag in example["tags"])
    label = name.removeprefix("label ")

    def count(examples: list[Example]) -> int:
        return sum(
            example["labels"] == label
            if isinstance(example["labels"], str)
            else bool(example["labels"][labels.index(label)])
            for example in examples
        )

    return count


def refuse_another_release(name: str, published: Published, splits: dict[str, list[Example]]) -> None:
    """Raises UserError where the files have exactly the size of another release of the corpus."""
    sizes = tuple(len(splits[split]) for split in SPLITS)
    for other, expected in published.others.items():
        if sizes == expected:
            raise UserError(
                f"{name}: its files have {shown(sizes)} examples, which are those of the task {other}; scores of the "
                f"two are not comparable. Put the files into {other}'s folder"
            )
