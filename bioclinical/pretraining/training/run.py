"""One pre-training run: config -> loaders, model, optimizer -> Composer's trainer."""

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import torch
from composer import Trainer
from composer.algorithms import GradientClipping
from composer.core import Evaluator, Timestamp
from composer.loggers import FileLogger, LoggerDestination, TensorboardLogger, WandBLogger
from composer.utils import dist, get_device
from omegaconf import DictConfig, OmegaConf

from bioclinical.checkpoints.save import Checkpoints, expect_no_checkpoints, has_ended, newest_whole
from bioclinical.checkpoints.start import start_from
from bioclinical.errors import UserError, first_line
from bioclinical.files import make_folder, write_text
from bioclinical.modeling.backend_choice import choose_packed_backend
from bioclinical.pretraining.architectures.modernbert import hf_config, new_model
from bioclinical.pretraining.data.split_loader import (
    SplitLoader,
    build_loader,
    eval_batches,
    note_on_batch,
    train_batches,
)
from bioclinical.pretraining.recipe.load import parse_time
from bioclinical.pretraining.training.callbacks import build_callbacks
from bioclinical.pretraining.training.composer_model import PackedMaskedLM
from bioclinical.pretraining.training.optimizer import build_optimizer
from bioclinical.pretraining.training.progress import Progress
from bioclinical.pretraining.training.schedules import build_schedule, composer_schedule
from bioclinical.runtime.machine import Choice
from bioclinical.text.tokenization import load_tokenizer

LOGGERS = {"wandb": WandBLogger, "tensorboard": TensorboardLogger, "file_logger": FileLogger}


@dataclasses.dataclass
class Parts:
    """What a run is made of, before anything has been trained or written."""

    config: DictConfig
    model: PackedMaskedLM
    optimizer: torch.optim.Optimizer
    train: SplitLoader
    eval: SplitLoader | None
    attention: Choice
    notes: list[str]


def build(config: DictConfig) -> Parts:
    """Everything the config describes, on the CPU. Raises UserError for what cannot be built here."""
    device = expect_device(config)
    if not dist.is_initialized() and dist.get_world_size() > 1:
        dist.initialize_dist(get_device(device), timeout=600)
    rank, world = dist.get_global_rank(), dist.get_world_size()
    if device == "cpu" and world > 1:  # otherwise every process takes all cores, and they stand in each other's way
        torch.set_num_threads(max(1, torch.get_num_threads() // dist.get_local_world_size()))
    batches = train_batches(config, world)
    tokenizer = load_tokenizer(config.model.tokenizer_name)
    flex = config.model.model_config
    loaders = [name for name in ("train_loader", "eval_loader") if config[name]]
    positions = max(config[name].dataset.max_seq_len for name in loaders)
    architecture = hf_config(flex, positions, tokenizer)
    precision = "fp32" if config.precision == "fp32" else "bf16"
    attention = choose_packed_backend(config.model.attention_backend, "cuda" if device == "gpu" else "cpu", precision)
    model = new_model(architecture, flex, config.seed)
    if config.model.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    notes = [f"attention: {attention}", compile_regions(model, flex.compile_model, device)]
    train = build_loader(config, "train_loader", batches, tokenizer, architecture.vocab_size, rank, world)
    evaluation = None
    if config.eval_loader:
        evaluation = build_loader(
            config, "eval_loader", eval_batches(config, world), tokenizer, architecture.vocab_size, rank, world
        )
    for name, split in (("train", train), ("eval", evaluation)):
        if split and split.windows.windowed_documents:
            notes.append(
                f"{name}: {split.windows.windowed_documents:,} documents longer than max_seq_len, cut into windows"
            )
    notes.append(note_on_batch(config, world))
    packed = PackedMaskedLM(model, attention.value)
    return Parts(
        config,
        packed,
        build_optimizer(packed, config.optimizer),
        train,
        evaluation,
        attention,
        list(filter(None, notes)),
    )


def expect_device(config: DictConfig) -> str:
    """cpu or gpu. Raises UserError where there is no such device or it cannot compute in the precision."""
    device = config.device or ("gpu" if torch.cuda.is_available() else "cpu")
    if device == "gpu" and not torch.cuda.is_available():
        raise UserError("device: 'gpu' was asked for, but torch sees no CUDA device; use device=cpu")
    if device == "cpu" and config.precision != "fp32":
        raise UserError(
            f"precision: '{config.precision}' needs a GPU, and none is used here; on a CPU use precision=fp32"
        )
    if config.precision == "amp_bf16" and not torch.cuda.is_bf16_supported():
        raise UserError("precision: 'amp_bf16' is not supported by this GPU; use precision=amp_fp16 or fp32")
    return device


def compile_regions(model: torch.nn.Module, wanted: bool, device: str) -> str | None:
    """Compiles what FlexBERT compiles (embeddings, MLPs, head), for any number of tokens.

    Says why where it does not.
    """
    if not wanted:
        return None
    if device == "cpu":
        return "compile_model: not on a CPU (it gains nothing there)"
    for region in (model.model.embeddings, *(layer.mlp for layer in model.model.layers), model.head):
        region.compile(dynamic=True)
    return "compile_model: embeddings, MLPs and head"


def run(config: DictConfig) -> None:
    """Trains. Raises UserError for what config, data or machine do not allow, RunFailed for a diverged run."""
    warnings.filterwarnings("ignore", message=".*(max_duration is not yet known|No optimizer was specified).*")
    folder = Path(config.save_folder)
    resume = None
    parts = build(config)
    say = print if dist.get_global_rank() == 0 else lambda *_: None
    max_duration = parse_time("max_duration", config.max_duration)
    if config.autoresume:
        resume, cut = newest_whole(folder)
        for path in cut:
            say(f"'{path}' is cut off; falling back to the checkpoint before it")
        if resume and has_ended(resume, max_duration):
            say(f"the run in '{folder}' has reached {config.max_duration} ('{resume.name}'); nothing to do")
            return
    else:
        expect_no_checkpoints(folder)
    say(OmegaConf.to_yaml(config))
    for note in parts.notes:
        say(note)
    clock = None
    if resume is None and config.load_path:
        notes, clock = start_from(config, parts.model, parts.optimizer)
        for note in notes:
            say(note)
    if dist.get_global_rank() == 0:
        make_folder(folder)
        write_text(folder / "config.yaml", OmegaConf.to_yaml(config))
    trainer = build_trainer(parts, folder, resume, clock)
    say(first_line_of(trainer, parts, resume))
    try:
        trainer.fit()
    finally:
        trainer.close()


def build_trainer(parts: Parts, folder: Path, resume: Path | None, clock: Timestamp | None) -> Trainer:
    """Composer's trainer. It saves nothing itself, and loads only a checkpoint of the run's own folder."""
    config = parts.config
    max_duration = parse_time("max_duration", config.max_duration)
    checkpoints = Checkpoints(
        folder, config.save_interval, config.save_num_checkpoints_to_keep, parts.train.loader, run_facts(parts)
    )
    interval = parse_time("console_log_interval", config.console_log_interval) if config.log_to_console else None
    clipping = config.algorithms.get("gradient_clipping")
    trainer = Trainer(
        model=parts.model,
        train_dataloader=parts.train.spec,
        train_subset_num_batches=config.train_subset_num_batches,
        eval_dataloader=evaluator(parts),
        eval_interval=config.eval_interval,
        eval_subset_num_batches=config.eval_subset_num_batches,
        max_duration=max_duration,
        optimizers=parts.optimizer,
        schedulers=composer_schedule(build_schedule(config.scheduler, max_duration), max_duration),
        device_train_microbatch_size=config.device_train_microbatch_size,
        accumulate_train_batch_on_tokens=True,
        spin_dataloaders=False,
        precision=config.precision,
        device=config.device,
        seed=config.seed,
        run_name=config.run_name,
        algorithms=GradientClipping(**clipping) if clipping else None,
        callbacks=[*build_callbacks(config.callbacks, parts.train.row_capacity), checkpoints],
        loggers=[*build_loggers(config.loggers), Progress(folder, interval)],
        progress_bar=config.progress_bar,
        log_to_console=False,
        python_log_level=config.python_log_level,
        load_path=str(resume) if resume else None,
        load_progress_bar=False,
    )
    if clock is not None:
        trainer.state.timestamp = clock
    return trainer


def evaluator(parts: Parts) -> Evaluator | None:
    """The evaluation, under the metric names of ModernBERT's logs (metrics/eval/...)."""
    if parts.eval is None:
        return None
    return Evaluator(
        label="eval",
        dataloader=parts.eval.spec,
        metric_names=list(parts.model.get_metrics(is_train=False)),
        device_eval_microbatch_size=parts.eval.batches.micro,
    )


def build_loggers(config: DictConfig) -> list[LoggerDestination]:
    """Composer's loggers with the keyword arguments of the config. Raises UserError where one cannot start."""
    loggers = []
    for name, options in config.items():
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
        for name, split in (("train", parts.train), ("eval", parts.eval))
        if split
    }
    return {
        "config": OmegaConf.to_container(parts.config),
        "hf_config": parts.model.model.config.to_dict(),
        "data": data,
    }


def first_line_of(trainer: Trainer, parts: Parts, resume: Path | None) -> str:
    """fresh, phase start or resumed; the clock, the learning rate, the schedule."""
    stamp, config = trainer.state.timestamp, parts.config
    start = (
        f"resumed from '{resume}'"
        if resume
        else f"phase start from '{config.load_path}'"
        if config.load_path
        else "fresh"
    )
    data = run_facts(parts)["data"]["train"]
    return (
        f"{start}: token {stamp.token.value:,}, batch {stamp.batch.value:,} of {config.max_duration}; "
        f"lr {parts.optimizer.param_groups[0]['lr']:.3g}, {config.scheduler.name}; data: {data['samples']:,} samples, "
        f"{data['tokens']:,} tokens per epoch"
    )
