"""One fine-tuning run: encode, train, pick the best epoch by validation, evaluate once on test."""

import inspect
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.trainer_utils import get_last_checkpoint

from bioclinical.errors import UserError
from bioclinical.files import remove
from bioclinical.finetuning.encoding import EXAMPLE_INDEX, EncodedSplit, encode_split
from bioclinical.finetuning.evaluation import (
    Prediction,
    baseline_metrics,
    predictions_by_example,
    score,
    sequence_prediction,
)
from bioclinical.finetuning.settings import Settings
from bioclinical.finetuning.trainer import (
    GuardedTrainer,
    Progress,
    best_epoch,
    build_trainer,
    ids_of,
    is_complete,
    validation_history,
)
from bioclinical.finetuning.windows import windowed_split
from bioclinical.metrics import Metrics
from bioclinical.runtime.machine import peak_memory_bytes
from bioclinical.tasks.task import SPLITS, TaskData


@dataclass
class Outcome:
    """What a finished run found. times in seconds; speed: training tokens (no padding) per second of training steps."""

    best_epoch: int
    validation: list[dict[str, float]]
    test: Metrics
    baseline: Metrics
    predictions: list[Prediction]
    sizes: dict[str, dict[str, int]]
    times_s: dict[str, float]
    train_tokens_per_s: float
    peak_memory_bytes: int


def finetune(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    data: TaskData,
    settings: Settings,
    max_length: int,
    run_dir: Path,
    device: str,
    resume: bool,
) -> Outcome:
    """Trains and evaluates; checkpoints stay in `run_dir` until the caller has stored the result.

    Raises NonFiniteError when a loss or logit is not finite, UserError where the data does not fit the model.
    """
    started = time.perf_counter()
    accepted = set(inspect.signature(type(model).forward).parameters)
    splits = {name: encode_split(tokenizer, data, data.splits[name], max_length, accepted) for name in SPLITS}
    check_vocabulary(splits, model)
    encoded = time.perf_counter()
    trainer = build_trainer(model, tokenizer, data, splits["train"], splits["validation"], settings, run_dir, device)
    progress = Progress()
    trainer.add_callback(progress)
    trainer.train(resume_from_checkpoint=starting_checkpoint(run_dir, resume))
    trained = time.perf_counter()
    history = validation_history(trainer)
    predictions = predict(trainer, data, splits["test"])
    if splits["test"].cut and (data.task.is_token_task or settings.pooling == "windows"):
        predict_in_windows(trainer, tokenizer, data, splits["test"], max_length, predictions)
    tested = time.perf_counter()
    return Outcome(
        best_epoch=best_epoch(history, data.task.selection_metric),
        validation=history,
        test=score(data, predictions, has_windows=True),
        baseline=baseline_metrics(data, splits["test"]),
        predictions=predictions,
        sizes={name: sizes(split) for name, split in splits.items()},
        times_s={
            "encoding": encoded - started,
            "training_steps": progress.training_s,
            "training_validation_and_saving": trained - encoded,
            "test": tested - trained,
        },
        train_tokens_per_s=tokens_per_second(splits["train"], progress, trainer),
        peak_memory_bytes=peak_memory_bytes(device),
    )


def check_vocabulary(splits: dict[str, EncodedSplit], model: PreTrainedModel) -> None:
    """Raises UserError where the tokenizer gives ids that the model has no embedding for."""
    largest = max(max(row["input_ids"]) for split in splits.values() for row in split.features)
    rows = model.get_input_embeddings().num_embeddings
    if largest >= rows:
        raise UserError(
            f"the tokenizer gives the id {largest} but the model has only {rows} embeddings; they are not of one model"
        )


def starting_checkpoint(run_dir: Path, resume: bool) -> str | None:
    """The newest complete checkpoint if resuming; otherwise whatever an earlier attempt left is removed."""
    if not resume:
        remove(run_dir)
        return None
    while (last := get_last_checkpoint(str(run_dir)) if run_dir.is_dir() else None) is not None:
        if is_complete(Path(last)):
            print(f"resuming from {last}")
            return last
        print(f"warning: {last} is damaged or incomplete and was removed")
        remove(Path(last))
    print("nothing to resume: no completed epoch was saved; starting from the beginning")
    return None


def predict(trainer: GuardedTrainer, data: TaskData, split: EncodedSplit) -> list[Prediction]:
    """The current model's predictions over a split."""
    return predictions_by_example(data, split, *outputs_over(trainer, split))


def outputs_over(trainer: GuardedTrainer, split: EncodedSplit) -> tuple[np.ndarray, np.ndarray]:
    """Outputs and label ids in the order of `split.longest_first()`."""
    trainer.compute_metrics = None
    trainer.example_ids["evaluation"] = ids_of(split)
    output = trainer.predict(split.longest_first())
    return output.predictions, output.label_ids


def predict_in_windows(
    trainer: GuardedTrainer,
    tokenizer: PreTrainedTokenizerFast,
    data: TaskData,
    split: EncodedSplit,
    max_length: int,
    predictions: list[Prediction],
) -> None:
    """Where an example was cut: a token task's prediction gets the tags over all windows as `windowed`, a sequence
    task's is replaced by that of the mean of the windows' logits."""
    windows, positions = windowed_split(tokenizer, data, split, max_length)
    outputs, label_ids = outputs_over(trainer, windows)
    if data.task.is_token_task:
        for i in split.cut:
            predictions[i]["windowed"] = ["O"] * len(predictions[i]["gold"])
        for i, window in zip(positions, predictions_by_example(data, windows, outputs, label_ids)):
            for word in window["seen"]:
                predictions[i]["windowed"][word] = window["predicted"][word]
        return
    logits: dict[int, list[np.ndarray]] = {i: [] for i in split.cut}
    for row, output in zip(windows.longest_first(), outputs):
        logits[positions[row[EXAMPLE_INDEX]]].append(output)
    for i in split.cut:
        predictions[i] = sequence_prediction(data, split, i, np.mean(logits[i], axis=0))


def sizes(split: EncodedSplit) -> dict[str, int]:
    """Counts that say how much of a split the model saw."""
    return {"examples": len(split.examples), "tokens": split.tokens(), "examples_cut": len(split.cut)}


def tokens_per_second(train: EncodedSplit, progress: Progress, trainer: GuardedTrainer) -> float:
    """Every epoch shows each training token once; a resumed run timed only its own steps."""
    if not progress.steps:
        return 0.0
    tokens: Any = train.tokens() * trainer.args.num_train_epochs * progress.steps / trainer.state.max_steps
    return tokens / progress.training_s
