"""From a model's outputs over a split to predictions per example, and from these to the task's metrics."""

from typing import Any

import numpy as np
from scipy.special import expit, softmax

from bioclinical.finetuning.encoding import EXAMPLE_INDEX, IGNORED_LABEL, EncodedSplit
from bioclinical.metrics import Metrics, entity_metrics, multi_label_metrics, single_label_metrics
from bioclinical.statistics import calibration_error
from bioclinical.tasks.splits import group_of
from bioclinical.tasks.task import Example, TaskData

# {"id", "group", "gold", "predicted"}: label names with "probabilities" in the order of the task's labels, or a tag per
# word with "seen" (positions not cut) and, where words were cut, "windowed" (tags over all windows).
Prediction = dict[str, Any]


def predictions_by_example(
    data: TaskData, split: EncodedSplit, outputs: np.ndarray, label_ids: np.ndarray
) -> list[Prediction]:
    """Outputs of `split.longest_first()`, brought back to the order of `split.examples`.

    outputs: (examples, labels) logits, or (examples, padded length) predicted tag ids; label_ids likewise.
    """
    predictions: list[Prediction] = [{} for _ in split.examples]
    for row, output, labels in zip(split.longest_first(), outputs, label_ids):
        i = row[EXAMPLE_INDEX]
        if data.task.is_token_task:
            predictions[i] = token_prediction(data, split, i, output[labels != IGNORED_LABEL])
        else:
            predictions[i] = sequence_prediction(data, split, i, output)
    return predictions


def token_prediction(data: TaskData, split: EncodedSplit, i: int, tag_ids: np.ndarray) -> Prediction:
    """A tag for every word; words that the model did not see are O."""
    example = split.examples[i]
    predicted = ["O"] * len(example["tags"])
    for position, tag_id in zip(split.seen_words[i], tag_ids):
        predicted[position] = data.labels[tag_id]
    return identity(example) | {"gold": example["tags"], "predicted": predicted, "seen": split.seen_words[i]}


def identity(example: Example) -> Prediction:
    """What names an example without its text."""
    return {"id": example["id"], "group": group_of(example)}


def sequence_prediction(data: TaskData, split: EncodedSplit, i: int, logits: np.ndarray) -> Prediction:
    """The label of the largest logit; for multi-label tasks 1 where the logit is above 0."""
    example = split.examples[i]
    if data.task.problem == "multi_label_classification":
        predicted, probabilities = [int(logit > 0) for logit in logits], expit(logits)
    else:
        predicted, probabilities = data.labels[int(logits.argmax())], softmax(logits)
    return identity(example) | {
        "gold": example["labels"],
        "predicted": predicted,
        "probabilities": [round(float(p), 6) for p in probabilities],
    }


def score(data: TaskData, predictions: list[Prediction], has_windows: bool = False) -> Metrics:
    """The task's metrics. has_windows: words that were cut are predicted too, as `windowed`."""
    gold = [p["gold"] for p in predictions]
    predicted = [p["predicted"] for p in predictions]
    if data.task.is_token_task:
        windowed = [p.get("windowed", p["predicted"]) for p in predictions] if has_windows else None
        return entity_metrics(gold, predicted, [p["seen"] for p in predictions], windowed)
    if data.task.problem == "multi_label_classification":
        metrics = multi_label_metrics(np.array(gold), np.array(predicted), data.labels)
    else:
        ids = {label: i for i, label in enumerate(data.labels)}
        metrics = single_label_metrics(
            [ids[label] for label in gold], [ids[label] for label in predicted], data.labels, data.task.negative_label
        )
    return metrics | calibration(predictions)


def calibration(predictions: list[Prediction]) -> Metrics:
    """`ece`: the expected calibration error, where the predictions have probabilities."""
    if "probabilities" not in predictions[0]:
        return {}
    probabilities = np.array([p["probabilities"] for p in predictions])
    if isinstance(predictions[0]["gold"], list):
        return {"ece": calibration_error(probabilities.ravel(), np.ravel([p["gold"] for p in predictions]))}
    correct = np.array([p["gold"] == p["predicted"] for p in predictions], dtype=float)
    return {"ece": calibration_error(probabilities.max(axis=1), correct)}


def baseline_metrics(data: TaskData, test: EncodedSplit) -> Metrics:
    """What the test split gives to a system that ignores its input: training's majority label, or all O."""
    train = data.splits["train"]
    if data.task.is_token_task:
        everything = [list(range(len(example["tags"]))) for example in test.examples]
        gold = [example["tags"] for example in test.examples]
        nothing = [["O"] * len(tags) for tags in gold]
        return entity_metrics(gold, nothing, everything, nothing)
    if data.task.problem == "multi_label_classification":
        majority: Any = [int(share > 0.5) for share in np.mean([example["labels"] for example in train], axis=0)]
    else:
        labels = [example["labels"] for example in train]
        majority = max(data.labels, key=labels.count)
    return score(data, [{"gold": example["labels"], "predicted": majority} for example in test.examples])
