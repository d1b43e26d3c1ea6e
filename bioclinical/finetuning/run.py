"""One fine-tuning run: encode, train, pick the best epoch by validation, evaluate once on test."""

import time
import warnings
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerFast, TrainerState
from transformers.trainer_utils import get_last_checkpoint

from bioclinical.errors import UserError
from bioclinical.files import remove
from bioclinical.finetuning.callbacks import Patience, StepClock, is_complete
from bioclinical.finetuning.settings import Settings
from bioclinical.finetuning.trainer import GuardedTrainer, best_epoch, build_trainer, validation_history
from bioclinical.metrics.metric import Prediction, scalars
from bioclinical.problems.encoding import Coder, EncodedSplit, arguments_of, token_ids
from bioclinical.problems.operating_point import Calibration
from bioclinical.problems.problem import scores
from bioclinical.runtime.machine import peak_memory_bytes
from bioclinical.tasks.example import SPLITS
from bioclinical.tasks.task import TaskData


@dataclass
class Outcome:
    """What a finished run found. times in seconds; speed: training tokens (no padding) per second of training steps;
    options: of the problem, as the test was made; uncalibrated: the test scores without the calibration."""

    best_epoch: float
    validation: list[dict[str, float]]
    test: dict[str, Any]
    baseline: dict[str, Any]
    more_baselines: dict[str, dict[str, Any]]
    predictions: list[Prediction]
    sizes: dict[str, dict[str, int]]
    times_s: dict[str, float]
    train_tokens_per_s: float
    peak_memory_bytes: int
    options: dict[str, Any]
    calibration: Calibration | None = None
    uncalibrated: dict[str, float] = field(default_factory=dict)


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
    problem, coder = data.problem, coder_of(model, tokenizer, data, max_length, settings)
    model = problem.adapt(model, coder)
    splits = {name: problem.encode(coder, data.splits[name]) for name in SPLITS}
    check_vocabulary(splits, model)
    encoded = time.perf_counter()
    trainer = build_trainer(model, coder, data, splits["train"], splits["validation"], settings, run_dir, device)
    clock = StepClock()
    trainer.add_callback(clock)
    checkpoint = starting_checkpoint(run_dir, resume)
    end_where_it_had_ended(trainer, checkpoint)
    run_training(trainer, checkpoint)
    trained = time.perf_counter()
    history, best = validation_history(trainer), best_epoch(trainer)
    options = problem.calibrated(coder, splits["validation"], lambda: trainer.outputs_over(splits["validation"]))
    coder = replace(coder, options=options)
    calibration, uncalibrated = None, {}
    if settings.calibrate:
        plain = predict(trainer, coder, splits["test"], settings.pooling)
        uncalibrated = scalars(scores(problem, data.metrics, plain, data.labels, has_windows=True))
        calibration = calibrate(trainer, coder, splits["validation"], data, settings)
        coder = replace(coder, point=calibration.point)
    predictions = predict(trainer, coder, splits["test"], settings.pooling)
    tested = time.perf_counter()
    baselines = trivial_scores(data)
    return Outcome(
        best_epoch=best,
        validation=history,
        test=scores(problem, data.metrics, predictions, data.labels, has_windows=True),
        baseline=baselines.pop(problem.baseline_name),
        more_baselines=baselines,
        predictions=predictions,
        sizes={name: sizes(split) for name, split in splits.items()},
        times_s={
            "encoding": encoded - started,
            "training_steps": clock.training_s,
            "training_validation_and_saving": trained - encoded,
            "test": tested - trained,
        },
        train_tokens_per_s=tokens_per_second(splits["train"], clock, trainer),
        peak_memory_bytes=peak_memory_bytes(device),
        options=asdict(options),
        calibration=calibration,
        uncalibrated=uncalibrated,
    )


def calibrate(
    trainer: GuardedTrainer, coder: Coder, validation: EncodedSplit, data: TaskData, settings: Settings
) -> Calibration:
    """The operating point that the best epoch's logits over the validation split decide."""
    logits = trainer.logits_over(validation)
    return data.problem.calibration(coder, validation, logits, settings.aim, data.task.negative_label)


def trivial_scores(data: TaskData) -> dict[str, dict[str, Any]]:
    """What trivial systems score on the test split, by their names."""
    problem, train, test = data.problem, data.splits["train"], data.splits["test"]
    said = {problem.baseline_name: problem.baseline(train, test, data.labels)} | problem.more_baselines(train, test)
    return {name: scores(problem, data.metrics, own, data.labels, has_windows=True) for name, own in said.items()}


def coder_of(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, data: TaskData, max_length: int, settings: Settings
) -> Coder:
    """What turns the task's examples into rows of the model."""
    options = data.problem.fitted_options(data.options(settings.options), data.splits["train"])
    return Coder(tokenizer, max_length, arguments_of(model), data.labels, options)


def end_where_it_had_ended(trainer: GuardedTrainer, checkpoint: str | None) -> None:
    """A run that lost its patience and was stopped before its test takes no further step when it is resumed."""
    patience = next((c for c in trainer.callback_handler.callbacks if isinstance(c, Patience)), None)
    if patience is None or checkpoint is None:
        return
    state = TrainerState.load_from_json(str(Path(checkpoint) / "trainer_state.json"))
    if patience.is_exhausted(state.log_history):
        trainer.args.max_steps = state.global_step


def run_training(trainer: GuardedTrainer, checkpoint: str | None) -> None:
    """Trains from the beginning, or on from a checkpoint."""
    with warnings.catch_warnings():
        # Trainer orders checkpoints by their step number where the file system's clock is too coarse.
        warnings.filterwarnings("ignore", message="mtime may not be reliable")
        trainer.train(resume_from_checkpoint=checkpoint)


def check_vocabulary(splits: dict[str, EncodedSplit], model: PreTrainedModel) -> None:
    """Raises UserError where the tokenizer gives ids that the model has no embedding for."""
    largest = max(max(token_ids(row)) for split in splits.values() for row in split.features)
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


def predict(trainer: GuardedTrainer, coder: Coder, split: EncodedSplit, pooling: str) -> list[Prediction]:
    """The current model's predictions over a split; over the whole of the examples that were cut, where the problem
    predicts from windows."""
    problem, trainer.coder = trainer.problem, coder
    predictions = problem.predictions(coder, split, trainer.outputs_over(split))
    windows = problem.encode_cut(coder, split, pooling) if split.cut else None
    if windows is not None:
        whole = problem.predictions(coder, windows, trainer.outputs_over(windows))
        for i, prediction in zip(split.cut, whole):
            predictions[i] = problem.with_windows(predictions[i], prediction)
    return predictions


def sizes(split: EncodedSplit) -> dict[str, int]:
    """Counts that say how much of a split the model saw."""
    return {"examples": len(split.examples), "tokens": split.tokens(), "examples_cut": len(split.cut)}


def tokens_per_second(train: EncodedSplit, clock: StepClock, trainer: GuardedTrainer) -> float:
    """Every epoch shows each training token once; a resumed run timed only its own steps."""
    if not clock.steps:
        return 0.0
    tokens: Any = train.tokens() * trainer.args.num_train_epochs * clock.steps / trainer.state.max_steps
    return tokens / clock.training_s
