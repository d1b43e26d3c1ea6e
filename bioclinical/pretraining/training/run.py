"""One pre-training run: recipe -> loaders, networks, optimizer -> Composer's trainer."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from composer import Trainer
from composer.algorithms import GradientClipping
from composer.core import Evaluator, State, Time, Timestamp
from composer.loggers import FileLogger, LoggerDestination, TensorboardLogger, WandBLogger
from composer.utils import dist, get_device
from transformers import PreTrainedModel

from bioclinical.checkpoints.found import expect_no_checkpoints, newest_whole
from bioclinical.checkpoints.read import read_checkpoint
from bioclinical.checkpoints.resume import expect_same_model, has_ended, only_safe_pickles
from bioclinical.checkpoints.save import Checkpoints
from bioclinical.checkpoints.start import start_from
from bioclinical.errors import UserError, first_line
from bioclinical.files import make_folder, write_text
from bioclinical.pretraining.architectures import Architecture, build_architecture
from bioclinical.pretraining.compute import Compute, choose_compute
from bioclinical.pretraining.data.batch_sizes import eval_batch_sizes, note_on_batch, train_batch_sizes
from bioclinical.pretraining.data.packer import State as LoaderState
from bioclinical.pretraining.data.split_loader import Position, SplitLoader, build_loader
from bioclinical.pretraining.objectives import build_objective
from bioclinical.pretraining.recipe.load import plain_recipe, recipe_text
from bioclinical.pretraining.recipe.schema import Recipe
from bioclinical.pretraining.training.callbacks import build_callbacks
from bioclinical.pretraining.training.composer_model import TrainedModel
from bioclinical.pretraining.training.freezing import freeze_layers
from bioclinical.pretraining.training.optimizer import build_optimizer
from bioclinical.pretraining.training.progress import RunLog
from bioclinical.pretraining.training.schedules import build_schedule
from bioclinical.pretraining.training.sharding import expect_shardable, shard
from bioclinical.text.tokenization import load_tokenizer

LOGGERS = {"wandb": WandBLogger, "tensorboard": TensorboardLogger, "file_logger": FileLogger}
COMPOSERS_REMARKS = ".*(max_duration is not yet known|No optimizer was specified).*"  # both are given later


@dataclass
class Parts:
    """What a run is made of, before anything has been trained or written."""

    recipe: Recipe
    compute: Compute
    architecture: Architecture
    model: TrainedModel
    optimizer: torch.optim.Optimizer
    train: SplitLoader
    evals: dict[str, SplitLoader]  # by the label of the evaluation: eval, or eval_<stream>
    notes: list[str]


def build(recipe: Recipe) -> Parts:
    """Everything the recipe describes, on the CPU. Raises UserError for what cannot be built here."""
    compute = choose_compute(recipe.device, recipe.precision, recipe.model.attention_backend)
    position = join_processes(compute)
    sizes = train_batch_sizes(recipe, position.world)
    tokenizer = load_tokenizer(recipe.model.tokenizer_name)
    loaders = [loader for loader in (recipe.train_loader, recipe.eval_loader) if loader]
    longest = max(loader.dataset.max_seq_len for loader in loaders)
    architecture = build_architecture(recipe.model, longest, tokenizer, compute)
    if recipe.fsdp_config:
        expect_shardable(recipe, architecture)
    objective = build_objective(recipe, architecture, tokenizer)
    model = TrainedModel(objective, objective.networks(recipe.seed))
    notes = [f"attention: {architecture.attention}"]
    for network in filter(lambda one: isinstance(one, PreTrainedModel), model.networks.values()):
        if recipe.model.gradient_checkpointing:
            network.gradient_checkpointing_enable({"use_reentrant": False})
        notes.append(architecture.compile(network))
    if recipe.freeze_layers:
        notes.append(freeze_layers(architecture.layers(model.networks["model"]), recipe.freeze_layers))
    train = build_loader(recipe, "train_loader", sizes, objective, tokenizer, position)
    evals = {}
    for stream in recipe.eval_loader.dataset.folders if recipe.eval_loader else ():
        label = f"eval_{stream}" if stream else "eval"
        eval_sizes = eval_batch_sizes(recipe, position.world)
        evals[label] = build_loader(recipe, "eval_loader", eval_sizes, objective, tokenizer, position, stream)
    notes += [note for split in (train, *evals.values()) for note in split.notes]
    notes.append(note_on_batch(recipe, position.world))
    return Parts(
        recipe=recipe,
        compute=compute,
        architecture=architecture,
        model=model,
        optimizer=build_optimizer(model, recipe.optimizer),
        train=train,
        evals=evals,
        notes=list(filter(None, notes)),
    )


def join_processes(compute: Compute) -> Position:
    """This process among those that the launcher started."""
    if not dist.is_initialized() and dist.get_world_size() > 1:
        dist.initialize_dist(get_device(compute.composer_device), timeout=600)
    if compute.device == "cpu" and dist.get_world_size() > 1:
        # Otherwise every process takes all cores, and they stand in each other's way.
        torch.set_num_threads(max(1, torch.get_num_threads() // dist.get_local_world_size()))
    return Position(dist.get_global_rank(), dist.get_world_size())


def run(recipe: Recipe) -> None:
    """Trains. Raises UserError for what recipe, data or machine do not allow, RunFailed for a diverged run."""
    folder = Path(recipe.save_folder)
    resume = None
    parts = build(recipe)
    say = print if dist.get_global_rank() == 0 else lambda *_: None
    if recipe.autoresume:
        resume, cut = newest_whole(folder)
        for path in cut:
            say(f"'{path}' is cut off or damaged; falling back to the checkpoint before it")
        if resume:
            content = read_checkpoint(resume, trust=None)
            if has_ended(content, recipe.max_duration):
                say(f"the run in '{folder}' has reached {recipe.max_duration} ('{resume.name}'); nothing to do")
                return
            expect_same_model(content, parts.model, plain_recipe(recipe), resume)
    else:
        expect_no_checkpoints(folder)
    for note in (recipe_text(recipe), *parts.notes):
        say(note)
    clock = None
    if resume is None and recipe.load_path:
        notes, clock = start_from(recipe, parts.architecture, parts.model, parts.optimizer)
        for note in notes:
            say(note)
    if recipe.fsdp_config and dist.get_world_size() > 1:
        shard(parts.model, parts.optimizer, parts.architecture, parts.compute, recipe.precision)
    if dist.get_global_rank() == 0:
        make_folder(folder)
        write_text(folder / "config.yaml", recipe_text(recipe))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=COMPOSERS_REMARKS)
        trainer = build_trainer(parts, folder, resume, clock)
        say(first_line_of(trainer, parts, resume))
        try:
            trainer.fit()
        finally:
            trainer.close()


def build_trainer(parts: Parts, folder: Path, resume: Path | None, clock: Timestamp | None) -> Trainer:
    """Composer's trainer. It saves nothing itself, and loads only a checkpoint of the run's own folder."""
    recipe = parts.recipe
    objective = parts.model.objective
    checkpoints = Checkpoints(
        folder, recipe.save_interval.text, recipe.save_num_checkpoints_to_keep, parts.train.loader, run_facts(parts)
    )
    interval = composer_time(recipe.console_log_interval) if recipe.log_to_console else None
    clipping = recipe.algorithms.get("gradient_clipping")
    schedule = build_schedule(recipe.scheduler, recipe.max_duration)
    callbacks = build_callbacks(recipe, parts.architecture, objective, parts.train)
    with only_safe_pickles():
        trainer = Trainer(
            model=parts.model,
            train_dataloader=parts.train.spec,
            train_subset_num_batches=recipe.train_subset_num_batches,
            eval_dataloader=evaluators(parts),
            eval_interval=recipe.eval_interval.text,
            eval_subset_num_batches=recipe.eval_subset_num_batches,
            max_duration=composer_time(recipe.max_duration),
            optimizers=parts.optimizer,
            schedulers=composer_schedule(schedule, recipe.max_duration.unit),
            device_train_microbatch_size=recipe.device_train_microbatch_size,
            accumulate_train_batch_on_tokens=True,
            spin_dataloaders=False,
            precision=recipe.precision,
            device=recipe.device,
            seed=recipe.seed,
            run_name=recipe.run_name,
            algorithms=GradientClipping(**vars(clipping)) if clipping else None,
            callbacks=[*callbacks, checkpoints],
            loggers=[*build_loggers(recipe.loggers), RunLog(folder, interval)],
            progress_bar=recipe.progress_bar,
            log_to_console=False,
            python_log_level=recipe.python_log_level,
            load_path=str(resume) if resume else None,
            load_progress_bar=False,
        )
    if clock is not None:
        trainer.state.timestamp = clock
        parts.train.loader.restart(LoaderState(clock=clock.token.value), epoch_closed=False)
    return trainer


def composer_time(duration: Any) -> Time:
    return Time(duration.value, duration.unit)


def composer_schedule(schedule: Any, unit: str) -> Any:
    """The schedule as Composer calls it. (Composer's own multiplier of all schedules, ssr, is always 1.)"""

    def multiplier(state: State, ssr: float = 1.0) -> float:
        return schedule(state.timestamp.get(unit).value)

    return multiplier


def evaluators(parts: Parts) -> list[Evaluator] | None:
    """The evaluations, under the metric names of ModernBERT's logs (metrics/eval/...), or metrics/eval_<stream>/..."""
    return [
        Evaluator(
            label=label,
            dataloader=split.spec,
            metric_names=list(parts.model.get_metrics(is_train=False)),
            device_eval_microbatch_size=split.sizes.micro,
        )
        for label, split in parts.evals.items()
    ] or None


def build_loggers(section: dict[str, Any]) -> list[LoggerDestination]:
    """Composer's loggers with the keyword arguments of the recipe. Raises UserError where one cannot start."""
    loggers = []
    for name, options in section.items():
        try:
            loggers.append(LOGGERS[name](**(options or {})))
        except ImportError as error:
            raise UserError(f"loggers.{name} needs a package that is not installed ({first_line(error)})") from error
        except TypeError as error:
            raise UserError(f"loggers.{name}: {first_line(error)}") from error
    return loggers


def run_facts(parts: Parts) -> dict[str, Any]:
    """What a checkpoint says about its run, in plain values."""
    data = {
        name: {"samples": len(split.windows.lengths), "tokens": int(split.windows.lengths.sum())}
        for name, split in {"train": parts.train, **parts.evals}.items()
    }
    if parts.train.streams:
        data["train"]["streams"] = parts.train.streams
    hf_configs = {
        name: network.config.to_dict() for name, network in parts.model.networks.items() if hasattr(network, "config")
    }
    return {
        "config": plain_recipe(parts.recipe),
        "hf_config": hf_configs["model"],
        "hf_configs": hf_configs,
        "data": data,
    }


def first_line_of(trainer: Trainer, parts: Parts, resume: Path | None) -> str:
    """fresh, phase start or resumed; the clock, the learning rate, the schedule."""
    stamp, recipe = trainer.state.timestamp, parts.recipe
    start = "fresh"
    if resume:
        start = f"resumed from '{resume}'"
    elif recipe.load_path:
        start = f"phase start from '{recipe.load_path}'"
    data = run_facts(parts)["data"]["train"]
    return (
        f"{start}: token {stamp.token.value:,}, batch {stamp.batch.value:,} of {recipe.max_duration}; "
        f"lr {parts.optimizer.param_groups[0]['lr']:.3g}, {recipe.scheduler.name}; data: {data['samples']:,} samples, "
        f"{data['tokens']:,} tokens per epoch"
    )
