"""What a downstream task is, and what its readers give."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from typing import Protocol as Interface

from bioclinical import problems
from bioclinical.metrics.metric import Metric
from bioclinical.problems.options import filled
from bioclinical.tasks.example import Example
from bioclinical.tasks.published import Published
from bioclinical.tasks.splits import Protocol


@dataclass
class RawData:
    """What a reader makes of the raw files: split name -> examples in the published order, and counted oddities.

    token_pattern: the regular expression that cuts text into this task's words, where the reader cuts text.
    """

    splits: dict[str, list[Example]]
    warnings: list[str]
    token_pattern: str | None = None


def counted(oddities: Counter[str]) -> list[str]:
    """Warnings from counts: "3 discontinuous span(s) left out"; what did not occur is not mentioned."""
    return [f"{count} {what}" for what, count in oddities.items() if count]


class Reader(Interface):
    """Reads one raw format. Readers are frozen dataclasses: their fields are part of the cache key."""

    def raw_files(self, folder: Path) -> list[Path]:
        """The files that `read` will open, missing ones included."""

    def read(self, folder: Path, protocol: Protocol = ...) -> RawData:
        """Reads and splits, as published where no protocol is given.

        Raises UserError naming file and line of what cannot be read.
        """


@dataclass(frozen=True)
class Task:
    """One downstream task.

    problem: the name of its kind (bioclinical/problems).
    labels: the fixed list in id order (for token tasks the tags), or None to collect it from the training split.
    strict_labels: the list of the strict protocol where it differs.
    metric: the official one, shown first everywhere; None for the problem's first.
    selection_metric: the validation metric that decides the best epoch, as published; None for the problem's own.
    folder: the raw files' folder under --data_dir.  source: where a user gets them.  licence: of the data.
    published: what the publishers say is in the files.
    folds: numbers of the published folds.  default_fold: the one that counts where none is named; None: one must be.
    selects_on_test: the published code chooses its checkpoint on the test fold, which has to be asked for.
    options: the problem's own settings where they differ from its defaults.
    """

    name: str
    problem: str
    reader: Reader
    folder: str
    source: str
    labels: tuple[str, ...] | None = None
    strict_labels: tuple[str, ...] | None = None
    negative_label: str | None = None
    metric: str | None = None
    selection_metric: str | None = None
    licence: str = ""
    published: Published | None = field(default=None, repr=False)  # the files say the same with and without it
    folds: tuple[int, ...] = ()
    default_fold: int | None = None
    selects_on_test: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def official_metric(self) -> str:
        """The name of the metric that is shown first."""
        if self.metric is not None:
            return self.metric
        return problems.get(self.problem).metrics(self.labels or (), self.negative_label)[0].name


@dataclass
class TaskData:
    """A task ready for an encoder: examples without raw-file locations, the label list, and the raw files' hash.

    protocol: Protocol.label.
    """

    task: Task
    protocol: str
    labels: tuple[str, ...]
    splits: dict[str, list[Example]]
    warnings: list[str]
    raw_sha256: str
    token_pattern: str | None = None

    @property
    def problem(self) -> problems.Problem:
        return problems.get(self.task.problem)

    def options(self, asked: Sequence[str] = ()) -> Any:
        """The problem's settings: its defaults, the task's, those asked for; raises UserError for unknown ones."""
        return filled(self.problem.options_class, self.task.options, asked)

    @property
    def metrics(self) -> list[Metric]:
        """The task's metrics, the official one first; raises UserError where that is unknown."""
        return self.problem.metrics(self.labels, self.task.negative_label, self.task.metric)

    @property
    def selection_metric(self) -> Metric:
        """The validation metric that decides the best epoch; raises UserError where it is unknown."""
        name = self.task.selection_metric or self.problem.selection_metric
        return self.problem.metrics(self.labels, self.task.negative_label, name)[0]


def bio_tags(types: tuple[str, ...]) -> tuple[str, ...]:
    """All B- tags, then all I- tags, then O."""
    return tuple(f"B-{t}" for t in types) + tuple(f"I-{t}" for t in types) + ("O",)
