"""The loaders of a run, from its config: batch arithmetic, documents, masking, packing."""

from dataclasses import dataclass
from pathlib import Path

import torch
from composer.core import DataSpec
from omegaconf import DictConfig
from transformers import PreTrainedTokenizerFast

from bioclinical.errors import UserError
from bioclinical.pretraining.data.documents import Windows, open_documents
from bioclinical.pretraining.data.loader import PackedLoader, RowReader, data_spec
from bioclinical.pretraining.data.packer import Geometry, Packer
from bioclinical.pretraining.objectives.masked_tokens import Masking
from bioclinical.pretraining.recipe.load import parse_time

# Sequences per GPU of the published recipes, by hidden size: 8 GPUs each.
PUBLISHED_BATCH_PER_GPU = {768: 72, 1024: 77}


@dataclass(frozen=True)
class Batches:
    """Sizes in sequences of max_seq_len: of all processes, of one, of a micro-batch (a row)."""

    total: int
    device: int
    micro: int

    @property
    def rows(self) -> int:
        """Rows of one process."""
        return -(-self.device // self.micro)


def train_batches(config: DictConfig, world: int) -> Batches:
    """Raises UserError where the batch cannot be divided among the processes and into micro-batches."""
    total, micro = config.global_train_batch_size, config.device_train_microbatch_size
    if total % world:
        raise UserError(
            f"global_train_batch_size: {total} cannot be divided among {world} processes; "
            f"use {total // world * world or world} or {-(-total // world) * world}"
        )
    device = total // world
    if micro > device or device % micro:
        fitting = max(size for size in range(1, min(micro, device) + 1) if device % size == 0)
        raise UserError(
            f"device_train_microbatch_size: {micro} does not divide the {device} sequences of one process "
            f"({total} / {world}); use {fitting}"
        )
    return Batches(total, device, micro)


def eval_batches(config: DictConfig, world: int) -> Batches:
    """Batch sizes of the evaluation, by default those of training."""
    device = -(-(config.global_eval_batch_size or config.global_train_batch_size) // world)
    micro = min(config.device_eval_microbatch_size or config.device_train_microbatch_size, device)
    if micro < 1:
        raise UserError(f"device_eval_microbatch_size: '{micro}' must be 1 or more")
    return Batches(device * world, device, micro)


def note_on_batch(config: DictConfig, world: int) -> str | None:
    """What to know where a published recipe runs on another number of GPUs."""
    published = PUBLISHED_BATCH_PER_GPU.get(config.model.model_config.hidden_size)
    total = config.global_train_batch_size
    if published is None or total == published * world:
        return None
    return (
        f"global_train_batch_size {total} = {world} x {total / world:g}; the published rule is GPUs x "
        f"{published} (here {published * world}). The recipe's learning rate was chosen for {published * 8} sequences, "
        "however many GPUs share them"
    )


@dataclass(frozen=True)
class SplitLoader:
    """A loader and what it reads."""

    spec: DataSpec
    loader: PackedLoader
    windows: Windows
    batches: Batches
    row_capacity: int


def build_loader(
    config: DictConfig, name: str, batches: Batches, tokenizer: PreTrainedTokenizerFast, vocabulary: int, rank: int,
    world: int
) -> SplitLoader:  # fmt: skip
    """The loader of the section `name` (train_loader, eval_loader)."""
    section, training = config[name], name == "train_loader"
    dataset = section.dataset
    folder = Path(dataset.local) / dataset.split
    windows = Windows(open_documents(folder, vocabulary, tokenizer, show=rank == 0), dataset.max_seq_len)
    if not len(windows.lengths):
        raise UserError(f"'{folder}' holds only documents without tokens; convert some text into this split")
    masking = Masking.of(
        tokenizer, vocabulary, dataset.mlm_probability, dataset.shuffle_seed, dataset.mask_special_tokens
    )
    capacity = batches.micro * dataset.max_seq_len
    geometry = Geometry(
        rows=batches.rows * world,
        capacity=capacity,
        buffer=section.packing_buffer_size or 5 * batches.total,
        processes=world,
        units_per_row=None if section.sequence_packing else batches.micro,
        **batch_warmup(section, batches, world),
    )
    loader = PackedLoader(
        RowReader(windows, masking),
        lambda: Packer(
            windows.lengths, geometry, dataset.shuffle_seed, dataset.shuffle, training and section.drop_last
        ),
        rank,
        world,
        endless=training,
        workers=section.num_workers,
        prefetch=section.prefetch_factor,
        pin_memory=section.pin_memory and torch.cuda.is_available(),
        timeout=section.timeout,
    )
    spec = data_spec(loader, training and config.count_padding_tokens, capacity if section.sequence_packing else None)
    return SplitLoader(spec, loader, windows, batches, capacity)


def batch_warmup(section: DictConfig, batches: Batches, world: int) -> dict[str, int]:
    """The smaller first batches that a recipe may ask for.

    batch_size_warmup_min_size counts sequences of one process.
    """
    smallest, tokens = section.batch_size_warmup_min_size, section.batch_size_warmup_tokens
    if smallest is None and tokens is None:
        return {}
    time = parse_time("batch_size_warmup_tokens", tokens or "0ba")
    if smallest is None or time.unit.value != "tok" or not batches.micro <= smallest <= batches.device:
        raise UserError(
            f"batch_size_warmup_min_size '{smallest}' and batch_size_warmup_tokens '{tokens}' belong together: from "
            f"one micro-batch ({batches.micro}) to the batch of one process ({batches.device}), and a number of tokens"
        )
    return {"smallest_rows": smallest // batches.micro * world, "warmup_tokens": time.value}
