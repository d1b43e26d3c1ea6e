"""`main.py --explain`: everything of a run except the training, and what the training would take."""

import argparse
import math
import tempfile
import time
from pathlib import Path

from bioclinical.finetuning.experiment import load, prepare, print_plan
from bioclinical.finetuning.run import check_vocabulary, coder_of
from bioclinical.finetuning.settings import Settings
from bioclinical.finetuning.trainer import GuardedTrainer, build_trainer
from bioclinical.launch.plan import clock
from bioclinical.problems.encoding import EncodedSplit, token_ids
from bioclinical.results.store import is_finished
from bioclinical.runtime.machine import peak_memory_bytes
from bioclinical.tasks.example import SPLITS
from bioclinical.tasks.task import TaskData

FORWARD_SHARE = 1 / 3  # of a training step: the backward pass computes twice what the forward pass does
MEASURED_BATCHES = 3


def explain(args: argparse.Namespace, settings: Settings, data: TaskData) -> None:
    """Prints data, splits, steps, tokens, time and memory of the run; trains nothing and writes nothing.

    Raises UserError where the run itself would, for what the data, the encoder and the settings are.
    """
    prepared = prepare(args, settings, data)
    path = prepared.identity.path(Path(args.output_dir))
    model = load(prepared, settings, data)
    print_plan(data, prepared.choices)
    coder = coder_of(model, prepared.tokenizer, data, prepared.max_length, settings)
    model = data.problem.adapt(model, coder)
    splits = {name: data.problem.encode(coder, data.splits[name]) for name in SPLITS}
    check_vocabulary(splits, model)
    for name, split in splits.items():
        print(f"{name}: {described(split)}")
    steps = number_of_steps(len(splits["train"].features), settings)
    print(f"training: {steps:,} steps of up to {settings.batch_size * settings.accumulation_steps} rows")
    with tempfile.TemporaryDirectory() as folder:
        trainer = build_trainer(
            model, coder, data, splits["train"], splits["validation"], settings, Path(folder), prepared.device
        )
        seconds = seconds_per_row(trainer)
    training = seconds * len(splits["train"].features) * settings.epochs
    checks = settings.epochs if settings.eval_steps is None else math.ceil(steps / settings.eval_steps)
    evaluated = checks * len(splits["validation"].features) + len(splits["test"].features)
    evaluation = FORWARD_SHARE * seconds * evaluated
    memory = peak_memory_bytes(prepared.device) / 2**30
    print(
        f"measured here: {seconds * settings.batch_size:.3f} s for a batch of {settings.batch_size}; so training about "
        f"{clock(training)}, evaluation about {clock(evaluation)}; memory about {memory:.1f} GiB"
    )
    print(f"would write: {path}" + (" (finished already)" if is_finished(path) else ""))


def described(split: EncodedSplit) -> str:
    """How much text a split is."""
    lengths = [len(token_ids(row)) for row in split.features]
    cut = f"; {len(split.cut):,} longer than the context" if split.cut else ""
    return (
        f"{len(split.examples):,} examples in {len(lengths):,} rows, {sum(lengths):,} tokens, "
        f"longest row {max(lengths):,}{cut}"
    )


def number_of_steps(rows: int, settings: Settings) -> int:
    """Updates of the weights, as Trainer counts them."""
    batches = math.ceil(rows / settings.batch_size)
    return math.ceil(batches / settings.accumulation_steps) * settings.epochs


def seconds_per_row(trainer: GuardedTrainer) -> float:
    """Of a forward and backward pass with its update, over a few of the run's own batches; the first one warms up."""
    optimizer = trainer.create_optimizer()
    seconds = rows = 0.0
    for number, batch in zip(range(1 + MEASURED_BATCHES), trainer.get_train_dataloader()):
        size = len(next(iter(batch.values())))
        started = time.perf_counter()
        trainer.training_step(trainer.model, batch).item()  # waits for the device
        optimizer.step()
        optimizer.zero_grad()
        if number == 1:  # there is a second one: the first does not count
            seconds = rows = 0.0
        seconds, rows = seconds + time.perf_counter() - started, rows + size
    return seconds / rows
