"""From examples to token ids: truncation at the context, labels on the first sub-token of each word."""

from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerFast

from bioclinical.errors import UserError
from bioclinical.tasks.task import Example, TaskData

IGNORED_LABEL = -100  # torch's cross-entropy skips it
EXAMPLE_INDEX = "example_index"  # travels with each row, so that a failing batch can be named


@dataclass
class EncodedSplit:
    """examples[i] as features[i] (input_ids, attention_mask, labels, example_index, each a list or a number).

    seen_words[i]: positions of the words that kept a sub-token (token tasks only).  cut: positions of the examples that
    were truncated.
    """

    examples: list[Example]
    features: list[dict[str, Any]]
    seen_words: list[list[int]]
    cut: list[int]

    def tokens(self) -> int:
        """Tokens of the split, special tokens included, padding not."""
        return sum(len(row["input_ids"]) for row in self.features)

    def longest_first(self) -> list[dict[str, Any]]:
        """The features by descending length: evaluation wastes least padding, and meets its largest batch first."""
        return sorted(self.features, key=lambda row: -len(row["input_ids"]))


def encode_split(
    tokenizer: PreTrainedTokenizerFast, data: TaskData, examples: list[Example], max_length: int, accepted: set[str]
) -> EncodedSplit:
    """Encodes a list of examples of one task; accepted: the arguments of the model's forward, others are dropped."""
    is_token_task = data.task.is_token_task
    texts = [example["tokens"] if is_token_task else example["text"] for example in examples]
    encoded = tokenizer(texts, is_split_into_words=is_token_task, truncation=True, max_length=max_length)
    features, seen_words = [], []
    for i, example in enumerate(examples):
        row = {name: values[i] for name, values in encoded.items() if name in accepted}
        if not row["input_ids"]:
            raise UserError(
                f"example {example['id']} has no tokens left after tokenisation; remove it from the raw files"
            )
        if is_token_task:
            row["labels"], seen = word_labels(encoded.word_ids(i), example["tags"], data.labels)
            seen_words.append(seen)
        else:
            row["labels"] = sequence_label(example, data)
        features.append(row | {EXAMPLE_INDEX: i})
    cut = [i for i, encoding in enumerate(encoded.encodings) if encoding.overflowing]
    return EncodedSplit(examples, features, seen_words, cut)


def sequence_label(example: Example, data: TaskData) -> int | list[float]:
    """The label id, or 0.0/1.0 per label for multi-label tasks (binary cross-entropy wants floats)."""
    if data.task.problem == "multi_label_classification":
        return [float(value) for value in example["labels"]]
    return data.labels.index(example["labels"])


def word_labels(word_ids: list[int | None], tags: list[str], labels: tuple[str, ...]) -> tuple[list[int], list[int]]:
    """Tag ids on the first sub-token of each word, -100 elsewhere; and the positions of the words seen."""
    ids, seen = [], []
    previous = None
    for word in word_ids:
        if word is None or word == previous:
            ids.append(IGNORED_LABEL)
        else:
            ids.append(labels.index(tags[word]))
            seen.append(word)
        previous = word
    return ids, seen
