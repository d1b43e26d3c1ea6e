"""Hugging Face's Trainer with the published recipe, what a problem decides of it, and a guard against non-finite
values."""

import dataclasses
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import SequentialSampler
from transformers import PreTrainedModel, Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from bioclinical.errors import RunFailed
from bioclinical.finetuning.callbacks import CompleteMark, EpochScores, Patience
from bioclinical.finetuning.layer_rates import parameter_groups
from bioclinical.finetuning.settings import Settings
from bioclinical.metrics.metric import scalars
from bioclinical.problems.encoding import EXAMPLE_INDEX, Coder, EncodedSplit
from bioclinical.problems.problem import Problem, scores
from bioclinical.tasks.task import TaskData
from bioclinical.text.labels import IGNORED_LABEL


class NonFiniteError(RunFailed):
    """A loss or logit became NaN or infinite."""


class GuardedTrainer(Trainer):
    """Trainer of a problem, whose rows carry `example_index`; a non-finite loss or logit stops it before the optimizer
    step."""

    def __init__(
        self,
        *args,
        problem: Problem,
        coder: Coder,
        loss: Callable[..., Any] | None,
        example_ids: dict[str, list[str]],
        layer_decay: float = 1.0,
        **kwargs,
    ) -> None:
        """loss: as `Problem.loss_function` gives it.  example_ids: the ids of the `train` examples, and under
        `evaluation` of those being evaluated."""
        super().__init__(
            *args,
            compute_loss_func=loss,
            preprocess_logits_for_metrics=lambda logits, labels: problem.reduce(logits, self.coder),
            **kwargs,
        )
        self.problem, self.coder = problem, coder
        self.example_ids = example_ids
        self.layer_decay = layer_decay
        # Models whose forward merely takes **kwargs would be taken for dividing the loss themselves (transformers 4.53:
        # ModernBERT's sequence head), and accumulation would multiply it by the number of micro-batches.
        self.model_accepts_loss_kwargs = False

    def create_optimizer(self) -> torch.optim.Optimizer:
        """The Trainer's own, or one whose learning rates fall from layer to layer."""
        if self.layer_decay == 1 or self.optimizer is not None:
            return super().create_optimizer()
        kind, options = self.get_optimizer_cls_and_kwargs(self.args, self.model)
        decayed = self.get_decay_parameter_names(self.model)
        groups = parameter_groups(
            self.model, self.args.learning_rate, self.layer_decay, self.args.weight_decay, decayed
        )
        self.optimizer = kind(groups, **options)
        return self.optimizer

    def get_batch_samples(self, *args, **kwargs):
        """The micro-batches of a step, and how many terms their losses are means of, all together."""
        micro_batches, _ = super().get_batch_samples(*args, **kwargs)
        return micro_batches, sum(self.loss_terms(one) for one in micro_batches)

    def loss_terms(self, inputs: dict[str, torch.Tensor]) -> int:
        """How many terms a batch's loss is the mean of: labels that count, or numbers to predict."""
        gold = inputs[self.problem.label_names[0]]
        return gold.numel() if gold.is_floating_point() else int((gold != IGNORED_LABEL).sum())

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The batch's mean loss; in training weighted such that a step's gradient is that of all its terms' mean,
        however they are divided into micro-batches. num_items_in_batch: the terms of the step."""
        indices, terms = inputs.pop(EXAMPLE_INDEX), self.loss_terms(inputs)  # a loss of our own takes the labels out
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True)
        if num_items_in_batch and model.training:
            # The Trainer divides a model's own loss by gradient_accumulation_steps, and no other one.
            divisor = self.args.gradient_accumulation_steps if self.compute_loss_func is None else 1
            loss = loss * (terms / num_items_in_batch * divisor)
        finite = self.problem.finite_rows(self.problem.logits(outputs).detach(), inputs["attention_mask"])
        if not torch.isfinite(loss.detach()) or not finite.all():
            self.stop_at(indices.tolist(), "train" if model.training else "evaluation")
        return (loss, outputs) if return_outputs else loss

    def _issue_warnings_after_load(self, load_result) -> None:
        # A language model's head is its table of embeddings and is saved once; the Trainer would call it missing.
        tied = set(getattr(self.model, "_tied_weights_keys", None) or ())
        if not set(load_result.missing_keys) <= tied or load_result.unexpected_keys:
            super()._issue_warnings_after_load(load_result)

    def _get_eval_sampler(self, eval_dataset) -> SequentialSampler:
        # `group_by_length` would shuffle evaluation too, and each output would go to another example.
        return SequentialSampler(eval_dataset)

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        """Loss, outputs and gold of a batch that is evaluated."""
        loss, logits, labels = super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        if prediction_loss_only:
            return loss, logits, labels
        with self.compute_loss_context_manager():  # in the run's precision
            generated = self.problem.generate(self.coder, model, self._prepare_inputs(inputs))
        return loss, logits if generated is None else generated, labels

    def stop_at(self, indices: list[int], split: str) -> None:
        """Raises NonFiniteError naming the step and the example ids."""
        ids = ", ".join(self.example_ids[split][i] for i in indices)
        raise NonFiniteError(
            f"non-finite loss or logits at step {self.state.global_step} ({split}), examples {ids}; lower --lr, use "
            "--precision fp32, or another --attn. Checkpoints of completed epochs are kept for --resume"
        )

    @torch.inference_mode()
    def logits_over(self, split: EncodedSplit) -> list[np.ndarray]:
        """What a calibration needs of the current model's logits, for each row in the order of `split.features`."""
        order, kept = iter(split.order()), [np.empty(0)] * len(split.features)
        model = self.model.eval()
        for batch in self.get_test_dataloader(split.longest_first()):
            inputs = self._prepare_inputs(batch)
            inputs = {k: v for k, v in inputs.items() if k not in (EXAMPLE_INDEX, *self.problem.label_names)}
            with self.compute_loss_context_manager():
                logits = self.problem.logits(model(**inputs)).float().cpu().numpy()
            for row in logits:
                place = next(order)
                kept[place] = self.problem.kept_logits(row, split.notes[place])
        return kept

    def outputs_over(self, split: EncodedSplit) -> list[Any]:
        """What the problem keeps of the current model's logits, for each row of a split in the order of `features`."""
        self.compute_metrics = None
        self.example_ids["evaluation"] = ids_of(split)
        return split.by_row(self.predict(split.longest_first()).predictions)


def build_trainer(
    model: PreTrainedModel,
    coder: Coder,
    data: TaskData,
    train: EncodedSplit,
    validation: EncodedSplit,
    settings: Settings,
    run_dir: Path,
    device: str,
) -> GuardedTrainer:
    """A trainer that evaluates and saves after every epoch and ends with the best one loaded."""
    problem, metrics = data.problem, data.metrics

    def compute_metrics(evaluated: Any) -> dict[str, float]:
        predictions = problem.predictions(coder, validation, validation.by_row(evaluated.predictions))
        return scalars(scores(problem, metrics, predictions, data.labels, has_windows=False))

    trainer = GuardedTrainer(
        model=model,
        args=training_arguments(settings, data, run_dir, device, len(train.features)),
        train_dataset=train.features,
        eval_dataset=validation.longest_first(),
        data_collator=problem.collator(coder),
        processing_class=coder.tokenizer,
        compute_metrics=compute_metrics,
        callbacks=[EpochScores(data.selection_metric), CompleteMark(), *early_stopping(settings, data)],
        problem=problem,
        coder=coder,
        loss=problem.loss_function(settings.loss, data.splits["train"], data.labels),
        example_ids={"train": ids_of(train), "evaluation": ids_of(validation)},
        layer_decay=settings.layer_decay,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def early_stopping(settings: Settings, data: TaskData) -> list[Patience]:
    """What ends the training where that was asked for."""
    return [Patience(data.selection_metric, settings.patience)] if settings.patience else []


def ids_of(split: EncodedSplit) -> list[str]:
    return [example["id"] for example in split.examples]


def training_arguments(settings: Settings, data: TaskData, run_dir: Path, device: str, rows: int) -> TrainingArguments:
    """The published recipe: AdamW, linear decay without warm-up, epoch-wise evaluation, best epoch kept.

    rows: of the training split.
    """
    # transformers keeps the precision of an earlier run of this process here, and would take it for this one's.
    os.environ["ACCELERATE_MIXED_PRECISION"] = "no"
    return TrainingArguments(
        output_dir=str(run_dir),
        learning_rate=settings.lr,
        weight_decay=settings.wd,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulation_steps,
        lr_scheduler_type="linear",
        **warmup(settings.warmup),
        optim="adamw_torch",
        seed=settings.training_seed,
        bf16=settings.precision == "bf16",
        use_cpu=device == "cpu",
        dataloader_pin_memory=device == "cuda",
        **evaluation_interval(settings, rows),
        save_total_limit=2,  # the best and the newest; one more to fall back on where these are the same
        load_best_model_at_end=True,
        metric_for_best_model=data.selection_metric.name,
        greater_is_better=data.selection_metric.higher_is_better,
        logging_steps=10,
        remove_unused_columns=False,
        label_names=list(data.problem.label_names),
        report_to="none",
        disable_tqdm=not sys.stderr.isatty(),
        **length_grouping(settings.group_by_length),
    )


def warmup(wanted: float) -> dict[str, Any]:
    """A share of all steps, or steps."""
    return {"warmup_ratio": wanted} if 0 < wanted < 1 else {"warmup_steps": int(wanted)}


def evaluation_interval(settings: Settings, rows: int) -> dict[str, Any]:
    """Evaluating and saving every epoch, or every so many steps; a training shorter than that is evaluated at its end,
    where otherwise it would keep nothing."""
    if settings.eval_steps is None:
        return {"eval_strategy": "epoch", "save_strategy": "epoch"}
    batches = math.ceil(rows / settings.batch_size)
    steps = min(settings.eval_steps, math.ceil(batches / settings.accumulation_steps) * settings.epochs)
    return {"eval_strategy": "steps", "save_strategy": "steps", "eval_steps": steps, "save_steps": steps}


def length_grouping(wanted: bool) -> dict[str, Any]:
    """The argument that groups training batches by length; transformers 5 gave it another name."""
    if not wanted:
        return {}
    names = {field.name for field in dataclasses.fields(TrainingArguments)}
    return {"group_by_length": True} if "group_by_length" in names else {"train_sampling_strategy": "group_by_length"}


def validation_history(trainer: Trainer) -> list[dict[str, float]]:
    """Validation metrics of each evaluation, in order: of each epoch, or of each so many steps."""
    skipped = ("eval_runtime", "eval_samples_per_second", "eval_steps_per_second", "eval_model_preparation_time")
    return [
        at(trainer, entry)
        | {k.removeprefix("eval_"): v for k, v in entry.items() if k.startswith("eval_") and k not in skipped}
        for entry in validation_entries(trainer)
    ]


def at(trainer: Trainer, entry: dict[str, Any]) -> dict[str, float]:
    """When a log entry was made: its epoch, also its step where these are what counts."""
    if trainer.args.eval_strategy == "epoch":
        return {"epoch": round(entry["epoch"])}
    return {"epoch": round(entry["epoch"], 2), "step": entry["step"]}


def best_epoch(trainer: Trainer) -> float:
    """The epoch whose weights Trainer kept; a fraction where steps were evaluated."""
    epochs = {entry["step"]: at(trainer, entry)["epoch"] for entry in validation_entries(trainer)}
    return epochs[trainer.state.best_global_step]


def validation_entries(trainer: Trainer) -> list[dict[str, Any]]:
    """The entries of Trainer's log that hold validation metrics."""
    return [entry for entry in trainer.state.log_history if "eval_loss" in entry]
