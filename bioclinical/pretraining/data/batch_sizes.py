"""Batch arithmetic: what the batch sizes of a recipe mean for one process, one micro-batch and the packer."""

from dataclasses import dataclass

from bioclinical.errors import UserError
from bioclinical.pretraining.data.packer import Geometry
from bioclinical.pretraining.recipe.schema import Loader, Recipe

# Sequences per GPU of the published recipes, by hidden size: 8 GPUs each.
PUBLISHED_BATCH_PER_GPU = {768: 72, 1024: 77}


@dataclass(frozen=True)
class BatchSizes:
    """In sequences of max_seq_len: the batch of all processes, of one, and a micro-batch (a row)."""

    total: int
    device: int
    micro: int

    @property
    def rows_per_process(self) -> int:
        return -(-self.device // self.micro)


def train_batch_sizes(recipe: Recipe, world: int) -> BatchSizes:
    """Raises UserError where the batch cannot be divided among the processes and into micro-batches."""
    total, micro = recipe.global_train_batch_size, recipe.device_train_microbatch_size
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
    return BatchSizes(total, device, micro)


def eval_batch_sizes(recipe: Recipe, world: int) -> BatchSizes:
    """Batch sizes of the evaluation, by default those of training."""
    device = -(-(recipe.global_eval_batch_size or recipe.global_train_batch_size) // world)
    micro = min(recipe.device_eval_microbatch_size or recipe.device_train_microbatch_size, device)
    return BatchSizes(device * world, device, micro)


def note_on_batch(recipe: Recipe, world: int) -> str | None:
    """What to know where a published recipe of ModernBERT runs on another number of GPUs."""
    published = PUBLISHED_BATCH_PER_GPU.get(recipe.model.model_config.hidden_size)
    total = recipe.global_train_batch_size
    if published is None or recipe.model.architecture != "modernbert" or total == published * world:
        return None
    return (
        f"global_train_batch_size {total} = {world} x {total / world:g}; the published rule is GPUs x "
        f"{published} (here {published * world}). The recipe's learning rate was chosen for {published * 8} sequences, "
        "however many GPUs share them"
    )


def geometry_of(section: Loader, sizes: BatchSizes, world: int, counts_padding: bool = False) -> Geometry:
    """How many rows of which capacity make a batch."""
    return Geometry(
        row_count=sizes.rows_per_process * world,
        capacity=sizes.micro * section.dataset.max_seq_len,
        buffer=section.packing_buffer_size or 5 * sizes.total,
        processes=world,
        units_per_row=None if section.sequence_packing else sizes.micro,
        counts_padding=counts_padding,
        **batch_warmup(section, sizes, world),
    )


def batch_warmup(section: Loader, sizes: BatchSizes, world: int) -> dict[str, int]:
    """The smaller first batches that a recipe may ask for.

    batch_size_warmup_min_size counts sequences of one process.
    """
    smallest, tokens = section.batch_size_warmup_min_size, section.batch_size_warmup_tokens
    if smallest is None and tokens is None:
        return {}
    if smallest is None or tokens is None or tokens.unit != "tok" or not sizes.micro <= smallest <= sizes.device:
        raise UserError(
            f"batch_size_warmup_min_size '{smallest}' and batch_size_warmup_tokens '{tokens}' belong together: from "
            f"one micro-batch ({sizes.micro}) to the batch of one process ({sizes.device}), and a number of tokens"
        )
    return {"smallest_row_count": smallest // sizes.micro * world, "warmup_tokens": tokens.value}
