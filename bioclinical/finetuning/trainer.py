"""Hugging Face's Trainer with the published recipe, a guard against non-finite values, and progress for log files."""

import dataclasses
import json
import math
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import (
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback

from bioclinical.errors import RunFailed
from bioclinical.files import write_json
from bioclinical.finetuning.encoding import EXAMPLE_INDEX, IGNORED_LABEL, EncodedSplit
from bioclinical.finetuning.evaluation import predictions_by_example, score
from bioclinical.finetuning.settings import Settings
from bioclinical.metrics import scalars
from bioclinical.tasks.task import TaskData

SECONDS_BETWEEN_LINES = 10
COMPLETE_MARK = "complete.json"
# Trainer orders checkpoints by their step number where the file system's clock is too coarse: nothing to worry about.
warnings.filterwarnings("ignore", message="mtime may not be reliable")


class NonFiniteError(RunFailed):
    """A loss or logit became NaN or infinite."""


class GuardedTrainer(Trainer):
    """Trainer whose rows carry `example_index`; a non-finite loss or logit stops it before the optimizer step."""

    def __init__(self, *args, example_ids: dict[str, list[str]], **kwargs) -> None:
        """example_ids: the ids of the `train` examples, and under `evaluation` of those being evaluated."""
        super().__init__(*args, **kwargs)
        self.example_ids = example_ids

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        indices = inputs.pop(EXAMPLE_INDEX)
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **kwargs)
        logits = outputs["logits"] if isinstance(outputs, dict) else outputs[1]
        if logits.ndim == 3:  # token tasks: what stands at padding is never used
            logits = logits[inputs["labels"] != IGNORED_LABEL]
        if not torch.isfinite(loss.detach()) or not torch.isfinite(logits.detach()).all():
            self.stop_at(indices.tolist(), "train" if model.training else "evaluation")
        return (loss, outputs) if return_outputs else loss

    def stop_at(self, indices: list[int], split: str) -> None:
        """Raises NonFiniteError naming the step and the example ids."""
        ids = ", ".join(self.example_ids[split][i] for i in indices)
        raise NonFiniteError(
            f"non-finite loss or logits at step {self.state.global_step} ({split}), examples {ids}; lower --lr, use "
            "--precision fp32, or another --attn. Checkpoints of completed epochs are kept for --resume"
        )


class Progress(TrainerCallback):
    """Times the training steps; where stderr is no terminal, prints a line with an estimate every few seconds."""

    def __init__(self) -> None:
        self.training_s = 0.0
        self.steps = 0
        self.last_line = 0.0
        self.step_started = 0.0

    def on_step_begin(self, args, state, control, **kwargs) -> None:
        self.step_started = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs) -> None:
        now = time.perf_counter()
        self.training_s += now - self.step_started
        self.steps += 1
        if args.disable_tqdm and (now - self.last_line > SECONDS_BETWEEN_LINES or state.global_step == state.max_steps):
            self.last_line = now
            left_s = (state.max_steps - state.global_step) * self.training_s / self.steps
            losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
            print(
                f"step {state.global_step}/{state.max_steps}  epoch {state.epoch:.2f}/{args.num_train_epochs:g}"
                + (f"  loss {losses[-1]:.4f}" if losses else "")
                + f"  {self.steps / self.training_s:.2f} steps/s  about {left_s:.0f} s of training left",
                file=sys.stderr,
                flush=True,
            )


class CompleteMark(TrainerCallback):
    """Leaves a list of a checkpoint's files and sizes in it once all are written."""

    def on_save(self, args, state, control, **kwargs) -> None:
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        sizes = {path.name: path.stat().st_size for path in checkpoint.iterdir()}
        write_json(checkpoint / COMPLETE_MARK, sizes)


def is_complete(checkpoint: Path) -> bool:
    """Whether every file of a checkpoint is there in full, and the best epoch's checkpoint that it refers to too."""
    try:
        sizes = json.loads((checkpoint / COMPLETE_MARK).read_text())
        best = json.loads((checkpoint / "trainer_state.json").read_text())["best_model_checkpoint"]
    except (OSError, ValueError):
        return False
    whole = all((checkpoint / name).is_file() and (checkpoint / name).stat().st_size == sizes[name] for name in sizes)
    best_folder = checkpoint.parent / Path(best or checkpoint).name
    return whole and (best_folder == checkpoint or is_complete(best_folder))


class EpochScores(TrainerCallback):
    """Prints the validation score of each epoch as it is known."""

    def __init__(self, metric: str) -> None:
        self.metric = metric

    def on_evaluate(self, args, state, control, metrics=None, **kwargs) -> None:
        if metrics and f"eval_{self.metric}" in metrics:
            print(f"epoch {state.epoch:g}: validation {self.metric} {100 * metrics[f'eval_{self.metric}']:.2f} %")


def build_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    data: TaskData,
    train: EncodedSplit,
    validation: EncodedSplit,
    settings: Settings,
    run_dir: Path,
    device: str,
) -> GuardedTrainer:
    """A trainer that evaluates and saves after every epoch and ends with the best one loaded."""
    collator_class = DataCollatorForTokenClassification if data.task.is_token_task else DataCollatorWithPadding

    def compute_metrics(evaluated: Any) -> dict[str, float]:
        outputs = evaluated.predictions
        return scalars(score(data, predictions_by_example(data, validation, outputs, evaluated.label_ids)))

    trainer = GuardedTrainer(
        model=model,
        args=training_arguments(settings, data.task.selection_metric, run_dir, device),
        train_dataset=train.features,
        eval_dataset=validation.longest_first(),
        data_collator=collator_class(tokenizer),
        processing_class=tokenizer,
        compute_metrics=compute_metrics,
        # Tag ids instead of logits: a long document's logits would fill the memory.
        preprocess_logits_for_metrics=(lambda logits, labels: logits.argmax(-1)) if data.task.is_token_task else None,
        callbacks=[EpochScores(data.task.selection_metric), CompleteMark()],
        example_ids={"train": ids_of(train), "evaluation": ids_of(validation)},
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def ids_of(split: EncodedSplit) -> list[str]:
    return [example["id"] for example in split.examples]


def training_arguments(settings: Settings, selection_metric: str, run_dir: Path, device: str) -> TrainingArguments:
    """The published recipe: AdamW, linear decay without warm-up, epoch-wise evaluation, best epoch kept."""
    return TrainingArguments(
        output_dir=str(run_dir),
        learning_rate=settings.lr,
        weight_decay=settings.wd,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulation_steps,
        lr_scheduler_type="linear",
        warmup_steps=0,
        optim="adamw_torch",
        seed=settings.seed,
        bf16=settings.precision == "bf16",
        use_cpu=device == "cpu",
        dataloader_pin_memory=device == "cuda",
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,  # the best and the newest; one more to fall back on where these are the same
        load_best_model_at_end=True,
        metric_for_best_model=selection_metric,
        greater_is_better=True,
        logging_steps=10,
        remove_unused_columns=False,
        label_names=["labels"],
        report_to="none",
        disable_tqdm=not sys.stderr.isatty(),
        **length_grouping(settings.group_by_length),
    )


def length_grouping(wanted: bool) -> dict[str, Any]:
    """The argument that groups training batches by length; transformers 5 gave it another name."""
    if not wanted:
        return {}
    names = {field.name for field in dataclasses.fields(TrainingArguments)}
    return {"group_by_length": True} if "group_by_length" in names else {"train_sampling_strategy": "group_by_length"}


def validation_history(trainer: Trainer) -> list[dict[str, float]]:
    """Validation metrics of each epoch, in order."""
    entries = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
    skipped = ("eval_runtime", "eval_samples_per_second", "eval_steps_per_second", "eval_model_preparation_time")
    return [
        {"epoch": round(entry["epoch"])}
        | {k.removeprefix("eval_"): v for k, v in entry.items() if k.startswith("eval_") and k not in skipped}
        for entry in entries
    ]


def best_epoch(history: list[dict[str, float]], metric: str) -> int:
    """The first epoch with the highest validation metric, which is the one that Trainer keeps."""
    best = max(history, key=lambda entry: entry[metric] if math.isfinite(entry[metric]) else -math.inf)
    return int(best["epoch"])
