"""What a kind of problem is: the one object that knows how its examples become rows, and its outputs scores.

Reading, training, evaluation, prediction and tables ask it; none of them asks which kind it is. A new kind is a file
with a class of its own here and its registration in `bioclinical/problems/__init__.py`. Problems are importable without
torch and transformers: methods import what they need.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from bioclinical.errors import UserError
from bioclinical.metrics.metric import Metric, Prediction, score_all
from bioclinical.problems.encoding import Coder, EncodedSplit
from bioclinical.problems.operating_point import Aim, Calibration
from bioclinical.problems.options import NoOptions
from bioclinical.tasks.example import Example

Labels = tuple[str, ...]
Answer = dict[str, Any]  # what is said about a raw text, as JSON


class Problem(ABC):
    """One kind of problem.

    name: as tasks and results name it.  auto_class: the class of transformers that builds its head.
    selection_metric: the validation metric that decides the best epoch unless the task declares another.
    label_names: the inputs that hold the gold.  is_per_token: the logits have a row for each token, and those at
    padding are never used.  length_unit: of `length`.  has_labels: examples carry names out of a list.  losses: those
    of --loss that it can be trained with.  finds_spans: its answers hold `entities` of the text, which can be redacted.
    options_class: a frozen dataclass of its own settings.  most_thresholds: how many labels may have one at an
    operating point, None for any number.  can_abstain: answers have probabilities.
    baseline_name: what tables call the trivial baseline.  zero_shot_forms: how a causal model can be asked without
    training; none where it cannot.
    """

    name: ClassVar[str]
    auto_class: ClassVar[str]
    selection_metric: ClassVar[str]
    label_names: ClassVar[tuple[str, ...]] = ("labels",)
    is_per_token: ClassVar[bool] = False
    length_unit: ClassVar[str] = "characters"
    options_class: ClassVar[type] = NoOptions
    has_labels: ClassVar[bool] = True
    losses: ClassVar[tuple[str, ...]] = ("plain",)
    finds_spans: ClassVar[bool] = False
    most_thresholds: ClassVar[int | None] = 0
    can_abstain: ClassVar[bool] = False
    baseline_name: ClassVar[str] = "majority baseline"
    zero_shot_forms: ClassVar[tuple[str, ...]] = ()

    # --- Examples -----------------------------------------------------------------------------------------------------

    @abstractmethod
    def fault(self, example: Example, labels: Labels) -> str | None:
        """Why the example cannot be used, as the part of a sentence that follows its place; None for a good one."""

    def prepared(self, example: Example) -> Example:
        """A good example as the other methods expect it: a reader may give numbers as text."""
        return example

    def labels_in(self, examples: Sequence[Example]) -> set[str]:
        """The labels that occur, for tasks that give no list; empty for problems without labels."""
        return set()

    def label_fault(self, labels: Labels) -> str | None:
        """Why labels collected from the data cannot be labels (a wrong column was named); None for good ones."""
        return None

    @abstractmethod
    def counts(self, examples: Sequence[Example], labels: Labels) -> dict[str, float]:
        """What dataloader.py shows of a split: a number a row."""

    @abstractmethod
    def length(self, example: Example) -> int:
        """The example's length in `length_unit`."""

    # --- Options ------------------------------------------------------------------------------------------------------

    def fitted_options(self, options: Any, train: Sequence[Example]) -> Any:
        """The options with what the training examples decide."""
        return options

    def calibrated(self, coder: Coder, split: EncodedSplit, outputs: Callable[[], Sequence[Any]]) -> Any:
        """The options with what the best epoch's outputs over the validation split decide, before the test."""
        return coder.options

    # --- Operating points ---------------------------------------------------------------------------------------------

    def calibration_fault(
        self, validation: Sequence[Example], aim: Aim | None, negative_label: str | None
    ) -> str | None:
        """Why no operating point can be chosen on such examples; None where one can."""
        return f"is a {self.name}, which has no probabilities of labels to calibrate"

    def kept_logits(self, logits: np.ndarray, note: Any) -> np.ndarray:
        """What `calibration` needs of a row's logits."""
        return logits

    def calibration(
        self,
        coder: Coder,
        split: EncodedSplit,
        logits: Sequence[np.ndarray],
        aim: Aim | None,
        negative_label: str | None,
    ) -> Calibration:
        """The operating point chosen on a split. logits: what `kept_logits` kept, in the order of `split.features`."""
        raise NotImplementedError

    def abstained(self, answer: Answer, below: float) -> Answer:
        """The answer, with an abstention in place of what is less probable than `below`."""
        raise NotImplementedError

    # --- Rows of the model --------------------------------------------------------------------------------------------

    @abstractmethod
    def configure(self, config: Any, labels: Labels) -> None:
        """Sets what the head needs in a transformers config."""

    def head_class(self, config: Any, name: str) -> str:
        """The class of transformers that builds the head for a config. Raises UserError, naming the model, where its
        kind has none."""
        if config.is_encoder_decoder:
            raise UserError(
                f"'{name}' is of type '{config.model_type}', an encoder-decoder, which is for tasks that write text "
                "(generation); take an encoder or a causal model"
            )
        return self.auto_class

    def fits(self, architecture: str) -> bool:
        """Whether a model of that class, as its config names it, was trained for this kind of problem."""
        return architecture.endswith(self.auto_class.removeprefix("AutoModel"))

    def adapt(self, model: Any, coder: Coder) -> Any:
        """The loaded model as this problem uses it. Raises UserError where it cannot do what the options ask."""
        return model

    def files_beside(self, config: Any, max_length: int, options: dict[str, Any]) -> dict[str, Any]:
        """JSON files of a saved model, by path in its folder, by which other programs know what it is for."""
        return {}

    @abstractmethod
    def encode(self, coder: Coder, examples: Sequence[Example]) -> EncodedSplit:
        """The rows of the examples, as trained on and published: what is longer than the context is cut.

        Examples without gold (raw texts) give rows without labels. Raises UserError for an example without tokens.
        """

    def encode_cut(self, coder: Coder, split: EncodedSplit, pooling: str) -> EncodedSplit | None:
        """Rows over the whole of the examples that were cut; None where this problem does not predict from windows.

        Its examples are those of `split.cut`, in that order.
        """
        return None

    def pooling_fault(self, pooling: str, examples: Sequence[Example]) -> str | None:
        """Why long texts of a task with such examples cannot be treated in the way asked for; None where they can."""
        return None

    @abstractmethod
    def collator(self, coder: Coder) -> Any:
        """What makes a batch of rows."""

    # --- Without training ---------------------------------------------------------------------------------------------

    def prompts(self, shown: Sequence[Example], examples: Sequence[Example], form: str) -> list[Any]:
        """What a causal model goes on with, for each example, and the texts that it may say. shown: answered examples
        that stand before.  form: of `zero_shot_forms`."""
        raise NotImplementedError

    def chosen_answers(
        self, examples: Sequence[Example], prompts: Sequence[Any], likelihoods: Sequence[Sequence[float]]
    ) -> list[Prediction]:
        """A prediction for each example, from the log-likelihood of each text of its prompt."""
        raise NotImplementedError

    # --- Outputs ------------------------------------------------------------------------------------------------------

    def logits(self, outputs: Any) -> Any:
        """What a forward computed, as one tensor (batch, ...), (batch, length, ...) where `is_per_token`."""
        return outputs["logits"]

    # Where the model's own loss does not fit: a method (outputs, labels, num_items_in_batch) -> the mean loss.
    loss: ClassVar[Callable[..., Any] | None] = None

    def loss_function(self, name: str, train: Sequence[Example], labels: Labels) -> Callable[..., Any] | None:
        """A loss of `losses`, weighted by what the training examples hold; None: the model's own."""
        return self.loss

    def generate(self, coder: Coder, model: Any, inputs: dict[str, Any]) -> Any:
        """Outputs of an evaluated batch where these are not the logits of one forward; None: the logits."""
        return None

    def finite_rows(self, logits: Any, attention_mask: Any) -> Any:
        """(batch,): whether all logits of a row that are ever used are finite."""
        finite = logits.isfinite()
        if self.is_per_token:
            finite = finite | (attention_mask == 0).unsqueeze(-1)
        return finite.flatten(1).all(dim=1)

    def reduce(self, logits: Any, coder: Coder) -> Any:
        """What is kept of the logits for `predictions`; all logits of long documents would fill the memory."""
        return logits

    @abstractmethod
    def predictions(self, coder: Coder, split: EncodedSplit, outputs: Sequence[Any]) -> list[Prediction]:
        """A prediction for each example. outputs: what `reduce` kept of each row, in the order of `split.features`."""

    def with_windows(self, prediction: Prediction, whole: Prediction) -> Prediction:
        """A cut example's prediction, given the one over all its windows."""
        raise NotImplementedError

    @abstractmethod
    def baseline(self, train: Sequence[Example], test: Sequence[Example], labels: Labels) -> list[Prediction]:
        """What a system says of the test examples that knows the training gold only."""

    def more_baselines(self, train: Sequence[Example], test: Sequence[Example]) -> dict[str, list[Prediction]]:
        """What other trivial systems say, by their names."""
        return {}

    # --- Scores -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def all_metrics(self, labels: Labels, negative_label: str | None) -> list[Metric]:
        """The problem's metrics; the first is the official one unless the task declares another."""

    def special_metrics(self, labels: Labels) -> list[Metric]:
        """Those that are computed only for a task that declares them official."""
        return []

    def metrics(
        self, labels: Sequence[str], negative_label: str | None = None, official: str | None = None
    ) -> list[Metric]:
        """The metrics of a task, its official one first. Raises UserError where that is unknown."""
        metrics, special = self.all_metrics(tuple(labels), negative_label), self.special_metrics(tuple(labels))
        first = [metric for metric in (*metrics, *special) if metric.name == official]
        if official is not None and not first:
            known = ", ".join(metric.name for metric in (*metrics, *special))
            raise UserError(f"a {self.name} has no metric '{official}'; known: {known}")
        return [*first, *(metric for metric in metrics if metric.name != official)]

    def details(self, predictions: Sequence[Prediction], labels: Labels) -> dict[str, Any]:
        """What else is stored of the scores: counts, scores by label."""
        return {}

    # --- Raw texts ----------------------------------------------------------------------------------------------------

    def texts(self, example: Example) -> tuple[str, ...]:
        """The names of the texts that an example has."""
        return ("text",)

    def reads_windows(self, pooling: str) -> bool:
        """Whether a raw text longer than the context is read in windows; else it is cut."""
        return False

    @abstractmethod
    def raw_example(self, texts: dict[str, str], token_pattern: str | None) -> Example:
        """An example without gold. texts: `id`, `text` and, for pairs, `text_b`."""

    @abstractmethod
    def encode_raw(self, coder: Coder, examples: Sequence[Example], pooling: str) -> EncodedSplit:
        """Rows from which raw texts are predicted the way the test's score was made; none for an empty text."""

    @abstractmethod
    def reduce_raw(self, logits: Any, coder: Coder) -> Any:
        """What is kept of the logits for `answers`."""

    @abstractmethod
    def answers(self, coder: Coder, split: EncodedSplit, outputs: Sequence[Any]) -> list[Answer]:
        """What is said of each raw example. outputs: what `reduce_raw` kept, in the order of `split.features`."""


def scores(
    problem: Problem, metrics: Sequence[Metric], predictions: Sequence[Prediction], labels: Labels, has_windows: bool
) -> dict[str, Any]:
    """Each metric's score by name, and the details; where the split comes in parts (BioASQ's batches), `by_part` has
    the metrics of each. has_windows: whole documents were predicted where some were cut."""
    wanted = [metric for metric in metrics if has_windows or not metric.needs_windows]
    found = score_all(wanted, predictions) | problem.details(predictions, labels)
    parts = sorted({prediction["part"] for prediction in predictions if "part" in prediction})
    if parts:
        found["by_part"] = {
            part: score_all(wanted, [p for p in predictions if p.get("part") == part]) for part in parts
        }
    return found


def identity(example: Example) -> Prediction:
    """What names an example in its prediction, without its text."""
    part = {"part": example["part"]} if "part" in example else {}
    return {"id": example["id"], "group": example.get("group", example["id"])} | part
