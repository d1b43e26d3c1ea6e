"""A BIO tag for every word: entities, events, identifiers."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from typing import Any

import numpy as np

from bioclinical.metrics.entities import entity_details, entity_metrics
from bioclinical.metrics.metric import Metric, Prediction
from bioclinical.metrics.words import WordMacroF1
from bioclinical.problems.encoding import EXAMPLE_INDEX, Coder, EncodedSplit, Feature, cut_examples, require_tokens
from bioclinical.problems.label_names import measured, name_labels, unknown
from bioclinical.problems.losses import LOSSES, Loss, balanced_weights, focal_cross_entropy, weighted_cross_entropy
from bioclinical.problems.operating_point import Aim, Calibration
from bioclinical.problems.problem import Answer, Problem, identity
from bioclinical.problems.tag_calibration import calibrated_tags
from bioclinical.problems.tag_rows import OUTSIDE, ScoredWords, words_without_token
from bioclinical.problems.tokenless_words import filled
from bioclinical.tasks.example import Example
from bioclinical.text.labels import IGNORED_LABEL
from bioclinical.text.windows import windows_of
from bioclinical.text.words import WORD_AND_PUNCTUATION_TOKENS, token_offsets


class Tagging(Problem):
    """An example holds {"tokens", "tags"}: words, and a tag for each. A word's tag is that of its first sub-token;
    one without any (tokenless_words.py) takes the tag around it."""

    name = "token_classification"
    auto_class = "AutoModelForTokenClassification"
    selection_metric = "f1"
    is_per_token = True
    length_unit = "words"
    losses = LOSSES
    most_thresholds = 1
    can_abstain = True
    finds_spans = True

    def fault(self, example: Example, labels: tuple[str, ...]) -> str | None:
        if not example["tokens"]:
            return "the document is empty; remove it or restore its text"
        return unknown("tag", set(example["tags"]), labels)

    def labels_in(self, examples: Sequence[Example]) -> set[str]:
        return {tag for example in examples for tag in example["tags"]} | {OUTSIDE}

    def label_fault(self, labels: tuple[str, ...]) -> str | None:
        odd = [tag for tag in labels if not re.fullmatch(r"O|[BI](-\S+)?", tag)]
        return f"a tag {measured(odd[0])} is no BIO tag (O, B-type, I-type); is it the last column?" if odd else None

    def counts(self, examples: Sequence[Example], labels: tuple[str, ...]) -> dict[str, float]:
        counted = Counter(tag for example in examples for tag in example["tags"])
        return {label: counted[label] for label in labels}

    def length(self, example: Example) -> int:
        return len(example["tokens"])

    def configure(self, config: Any, labels: tuple[str, ...]) -> None:
        name_labels(config, labels, None)

    def pooling_fault(self, pooling: str, examples: Sequence[Example]) -> str | None:
        return "always reports f1_windowed beside f1" if pooling != "head" else None

    def encode(self, coder: Coder, examples: Sequence[Example]) -> EncodedSplit:
        texts = [example["tokens"] for example in examples]
        encoded = coder.tokenizer(texts, is_split_into_words=True, truncation=True, max_length=coder.max_length)
        features, notes = [], []
        for i, example in enumerate(examples):
            row = coder.inputs(encoded, i)
            require_tokens(row, example)
            cut = {word for rest in encoded.encodings[i].overflowing for word in rest.word_ids}
            notes.append(first_sub_tokens(encoded.word_ids(i), cut))
            gold = self.gold_input(example, notes[-1], coder, len(row["input_ids"]))
            features.append(row | gold | {EXAMPLE_INDEX: i})
        return EncodedSplit(list(examples), features, notes, cut_examples(encoded))

    def encode_cut(self, coder: Coder, split: EncodedSplit, pooling: str) -> EncodedSplit | None:
        return self.windows(coder, [split.examples[i] for i in split.cut])

    def windows(self, coder: Coder, examples: Sequence[Example]) -> EncodedSplit:
        """The windows of each document; each word is read off one of them."""
        split = EncodedSplit(list(examples), [], [], cut=[])
        for i, example in enumerate(examples):
            for window in windows_of(coder.tokenizer, example["tokens"], coder.max_length):
                if not window.words:
                    continue  # nothing is read there, and a batch of such windows would have no loss
                note = ScoredWords(window.words, window.places)
                row = coder.inputs_of(window.input_ids)
                gold = self.gold_input(example, note, coder, len(window.input_ids))
                split.features.append(row | gold | {EXAMPLE_INDEX: i})
                split.notes.append(note)
        return split

    def gold_input(self, example: Example, scored: ScoredWords, coder: Coder, length: int) -> Feature:
        """Tag ids at the places of the scored words, -100 elsewhere."""
        if "tags" not in example:
            return {}
        labels = [IGNORED_LABEL] * length
        for word, place in zip(scored.words, scored.places):
            labels[place] = coder.labels.index(example["tags"][word])
        return {"labels": labels}

    def collator(self, coder: Coder) -> Any:
        from transformers import DataCollatorForTokenClassification

        return DataCollatorForTokenClassification(coder.tokenizer, label_pad_token_id=IGNORED_LABEL)

    def loss_function(self, name: str, train: Sequence[Example], labels: tuple[str, ...]) -> Loss | None:
        if name == "weighted":
            return weighted_cross_entropy(balanced_weights(list(self.counts(train, labels).values())))
        return focal_cross_entropy if name == "focal" else None

    def calibration_fault(
        self, validation: Sequence[Example], aim: Aim | None, negative_label: str | None
    ) -> str | None:
        found = len(self.labels_in(validation)) - 1
        return None if found else f"has no entity in its {len(validation):,} validation documents"

    def kept_logits(self, logits: np.ndarray, note: ScoredWords) -> np.ndarray:
        return logits[note.places]

    def calibration(
        self,
        coder: Coder,
        split: EncodedSplit,
        logits: Sequence[np.ndarray],
        aim: Aim | None,
        negative_label: str | None,
    ) -> Calibration:
        return calibrated_tags(coder, split, logits, aim)

    def abstained(self, answer: Answer, below: float) -> Answer:
        """An uncertain entity is marked and stays, so that redaction still hides it."""
        entities = [e | ({"abstained": True} if e["probability"] < below else {}) for e in answer["entities"]]
        return {"entities": entities}

    def reduce(self, logits: Any, coder: Coder) -> Any:
        """Tag ids."""
        return tag_ids_of(logits, coder)

    def predictions(self, coder: Coder, split: EncodedSplit, outputs: Sequence[Any]) -> list[Prediction]:
        """A tag for every word; words that were cut are O. outputs: tag ids (padded length,) of a row."""
        predictions: list[Prediction] = []
        for example, rows in zip(split.examples, split.by_example(outputs)):
            predicted = [OUTSIDE] * len(example["tags"])
            for note, tag_ids in rows:
                for word, tag_id in zip(note.words, tag_ids[note.places]):
                    predicted[word] = coder.labels[tag_id]
            seen = sorted(word for note, _ in rows for word in note.words)
            tokenless = words_without_token(len(predicted), [note for note, _ in rows])
            predicted = filled(predicted, tokenless, example["tokens"])
            about = identity(example) | {"gold": example["tags"], "predicted": predicted, "seen": seen}
            predictions.append(about | ({"tokenless": tokenless} if tokenless else {}))
        return predictions

    def with_windows(self, prediction: Prediction, whole: Prediction) -> Prediction:
        return prediction | {"windowed": whole["predicted"]}

    def baseline(self, train: Sequence[Example], test: Sequence[Example], labels: tuple[str, ...]) -> list[Prediction]:
        """No entity anywhere."""
        return [
            identity(example)
            | {"gold": example["tags"], "predicted": [OUTSIDE] * len(example["tags"])}
            | {"seen": list(range(len(example["tags"])))}
            for example in test
        ]

    def all_metrics(self, labels: tuple[str, ...], negative_label: str | None) -> list[Metric]:
        return entity_metrics()

    def special_metrics(self, labels: tuple[str, ...]) -> list[Metric]:
        return [WordMacroF1(classes=tuple(sorted({label[2:] for label in labels if label[2:]})))]

    def details(self, predictions: Sequence[Prediction], labels: tuple[str, ...]) -> dict[str, Any]:
        return entity_details(predictions)

    def reads_windows(self, pooling: str) -> bool:
        return True

    def raw_example(self, texts: dict[str, str], token_pattern: str | None) -> Example:
        """Words as in training, with their [start, end) in the text."""
        text = texts["text"].replace("\ufeff", " ")  # as the readers do: a byte-order mark is no word
        offsets = token_offsets(text, token_pattern or WORD_AND_PUNCTUATION_TOKENS)
        return {"id": texts["id"], "tokens": [text[start:end] for start, end in offsets], "offsets": offsets}

    def encode_raw(self, coder: Coder, examples: Sequence[Example], pooling: str) -> EncodedSplit:
        return self.windows(coder, examples)

    def reduce_raw(self, logits: Any, coder: Coder) -> Any:
        """The probability and id of the tag that is said at each token."""
        said = tag_ids_of(logits, coder)
        shares = (logits / coder.point.temperature).softmax(-1)
        return shares.gather(-1, said.unsqueeze(-1)).squeeze(-1), said

    def answers(self, coder: Coder, split: EncodedSplit, outputs: Sequence[Any]) -> list[Answer]:
        pairs = zip(split.examples, split.by_example(outputs))
        return [{"entities": found_entities(example, rows, coder.labels)} for example, rows in pairs]


def tag_ids_of(logits: Any, coder: Coder) -> Any:
    """(batch, length) the tag that is said at each token: the best, or by the threshold of one tag, on tensors as
    `decided` does it on arrays."""
    if not coder.point.thresholds:
        return logits.argmax(-1)
    ((label, least),) = coder.point.thresholds.items()
    own = coder.labels.index(label)
    shares = (logits / coder.point.temperature).softmax(-1)
    others = shares.clone()
    others[..., own] = -1
    return others.argmax(-1).masked_fill(shares[..., own] >= least, own)


def first_sub_tokens(word_ids: Iterable[int | None], cut: Set[int | None]) -> ScoredWords:
    """The words of a row and the places of their first sub-tokens. cut: words of what was cut from its end."""
    scored = ScoredWords([], [], frozenset(cut) - {None})
    previous = None
    for place, word in enumerate(word_ids):
        if word is not None and word != previous:
            scored.words.append(word)
            scored.places.append(place)
        previous = word
    return scored


def found_entities(
    example: Example, rows: list[tuple[ScoredWords, tuple[np.ndarray, np.ndarray]]], labels: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Entities with [start, end) in the text and the mean probability of the tags that the model gave their words."""
    from seqeval.metrics.sequence_labeling import get_entities  # slow to import

    offsets = example["offsets"]
    tags, probabilities = [OUTSIDE] * len(offsets), np.full(len(offsets), np.nan)
    for note, (best, tag_ids) in rows:
        for word, probability, tag_id in zip(note.words, best[note.places].tolist(), tag_ids[note.places]):
            tags[word], probabilities[word] = labels[tag_id], probability
    tags = filled(tags, words_without_token(len(offsets), [note for note, _ in rows]), example["tokens"])
    return [
        {
            "start": offsets[first][0],
            "end": offsets[last][1],
            "type": kind,
            "probability": round(float(np.nanmean(probabilities[first : last + 1])), 4),
        }
        for kind, first, last in get_entities(tags)
    ]
