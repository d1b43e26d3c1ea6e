"""What problems with one answer for a whole text, or for a pair of texts, have in common."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from bioclinical.metrics.metric import Prediction
from bioclinical.problems.encoding import EXAMPLE_INDEX, Coder, EncodedSplit, Feature, cut_examples, require_tokens
from bioclinical.problems.problem import Answer, Problem, identity
from bioclinical.tasks.example import Example
from bioclinical.text.windows import windows_of


class SequenceProblem(Problem):
    """One vector of logits a text, or a pair. Longer than the context: its head, or the mean over windows.

    An example holds {"text", "labels"}, a pair also "text_b"; of a pair the longer text is cut.
    """

    auto_class = "AutoModelForSequenceClassification"

    @abstractmethod
    def target(self, gold: Any, coder: Coder) -> Any:
        """The gold as the loss wants it."""

    @abstractmethod
    def prediction(self, gold: Any, logits: np.ndarray, coder: Coder) -> dict[str, Any]:
        """The part of a prediction that depends on the logits (labels,)."""

    @abstractmethod
    def answer(self, logits: np.ndarray | None, coder: Coder) -> Answer:
        """What is said of a raw text; logits (labels,), None for an empty text."""

    def fault(self, example: Example, labels: tuple[str, ...]) -> str | None:
        if has_empty_text(example):
            return "the document is empty; remove it or restore its text"
        return self.gold_fault(example["labels"], labels)

    @abstractmethod
    def gold_fault(self, gold: Any, labels: tuple[str, ...]) -> str | None:
        """Why the gold cannot be used; None for a good one."""

    def length(self, example: Example) -> int:
        return len(example["text"]) + len(example.get("text_b", ""))

    def encode(self, coder: Coder, examples: Sequence[Example]) -> EncodedSplit:
        texts = [example["text"] for example in examples]
        pairs = [example["text_b"] for example in examples] if is_of_pairs(examples) else None
        encoded = coder.tokenizer(texts, pairs, truncation="longest_first", max_length=coder.max_length)
        features = []
        for i, example in enumerate(examples):
            features.append(coder.inputs(encoded, i) | self.gold_input(example, coder) | {EXAMPLE_INDEX: i})
            require_tokens(features[-1], example)
        return EncodedSplit(list(examples), features, [None] * len(features), cut_examples(encoded))

    def encode_cut(self, coder: Coder, split: EncodedSplit, pooling: str) -> EncodedSplit | None:
        return self.windows(coder, [split.examples[i] for i in split.cut]) if pooling == "windows" else None

    def pooling_fault(self, pooling: str, examples: Sequence[Example]) -> str | None:
        return "has pairs of texts" if pooling == "windows" and is_of_pairs(examples) else None

    def windows(self, coder: Coder, examples: Sequence[Example]) -> EncodedSplit:
        """All windows of each text; a text that fits is one window."""
        features: list[Feature] = [
            coder.inputs_of(window.input_ids) | self.gold_input(example, coder) | {EXAMPLE_INDEX: i}
            for i, example in enumerate(examples)
            for window in windows_of(coder.tokenizer, example["text"], coder.max_length)
        ]
        return EncodedSplit(list(examples), features, [None] * len(features), cut=[])

    def gold_input(self, example: Example, coder: Coder) -> Feature:
        return {"labels": self.target(example["labels"], coder)} if "labels" in example else {}

    def collator(self, coder: Coder) -> Any:
        from transformers import DataCollatorWithPadding

        return DataCollatorWithPadding(coder.tokenizer)

    def predictions(self, coder: Coder, split: EncodedSplit, outputs: Sequence[Any]) -> list[Prediction]:
        means = mean_logits(split, outputs)
        return [
            identity(example) | {"gold": example["labels"]} | self.prediction(example["labels"], logits, coder)
            for example, logits in zip(split.examples, means)
        ]

    def with_windows(self, prediction: Prediction, whole: Prediction) -> Prediction:
        return whole

    def texts(self, example: Example) -> tuple[str, ...]:
        return ("text", "text_b") if is_of_pairs([example]) else ("text",)

    def reads_windows(self, pooling: str) -> bool:
        return pooling == "windows"

    def raw_example(self, texts: dict[str, str], token_pattern: str | None) -> Example:
        return dict(texts)

    def encode_raw(self, coder: Coder, examples: Sequence[Example], pooling: str) -> EncodedSplit:
        places = [i for i, example in enumerate(examples) if not has_empty_text(example)]
        wanted = [examples[i] for i in places]
        encode = self.windows if pooling == "windows" else self.encode
        split = encode(coder, wanted) if wanted else EncodedSplit([], [], [], [])
        for feature in split.features:
            feature[EXAMPLE_INDEX] = places[feature[EXAMPLE_INDEX]]
        return EncodedSplit(list(examples), split.features, split.notes, cut=[places[i] for i in split.cut])

    def reduce_raw(self, logits: Any, coder: Coder) -> Any:
        return logits

    def answers(self, coder: Coder, split: EncodedSplit, outputs: Sequence[Any]) -> list[Answer]:
        return [self.answer(logits, coder) for logits in mean_logits(split, outputs)]


def logits_and_gold(coder: Coder, split: EncodedSplit, logits: Sequence[np.ndarray], problem: Any) -> tuple:
    """Of the examples of a split that have rows: (examples, labels) of logits, and their gold as the loss wants it."""
    pairs = zip(split.examples, mean_logits(split, logits))
    found = [(mean, problem.target(example["labels"], coder)) for example, mean in pairs if mean is not None]
    return np.stack([mean for mean, _ in found]).astype(np.float64), np.array([gold for _, gold in found])


def is_of_pairs(examples: Sequence[Example]) -> bool:
    """Whether the examples are pairs of texts."""
    return bool(examples) and "text_b" in examples[0]


def has_empty_text(example: Example) -> bool:
    """Whether the text, or one of a pair, holds blanks at most."""
    return not all(example[key].strip() for key in ("text", "text_b") if key in example)


def mean_logits(split: EncodedSplit, outputs: Sequence[Any]) -> list[np.ndarray | None]:
    """For each example the mean of its rows' logits, None where it has no row."""
    rows = [[output for _, output in pairs] for pairs in split.by_example(outputs)]
    return [np.mean(logits, axis=0) if logits else None for logits in rows]
