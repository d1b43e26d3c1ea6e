"""The loader of a recipe's section (train_loader, eval_loader): documents, objective's examples, packing, workers."""

from dataclasses import dataclass
from pathlib import Path

import torch
from composer.core import DataSpec
from transformers import PreTrainedTokenizerFast

from bioclinical.checkpoints.found import own_checkpoints
from bioclinical.errors import UserError
from bioclinical.pretraining.data.batch_sizes import BatchSizes, geometry_of
from bioclinical.pretraining.data.documents import Windows, expect_ids, open_documents
from bioclinical.pretraining.data.loader import PackedLoader, Workers, data_spec
from bioclinical.pretraining.data.packer import Packer
from bioclinical.pretraining.data.rows import RowReader
from bioclinical.pretraining.objectives import Objective
from bioclinical.pretraining.recipe.schema import Loader, Recipe
from bioclinical.runtime.cores import usable_cores


@dataclass(frozen=True)
class Position:
    """Which of how many processes this is."""

    rank: int = 0
    world: int = 1


@dataclass(frozen=True)
class SplitLoader:
    """A loader and what it reads. row_capacity: tokens that a row can hold."""

    spec: DataSpec
    loader: PackedLoader
    windows: Windows
    sizes: BatchSizes
    row_capacity: int
    notes: list[str]


def build_loader(
    recipe: Recipe,
    name: str,
    sizes: BatchSizes,
    objective: Objective,
    tokenizer: PreTrainedTokenizerFast,
    position: Position,
) -> SplitLoader:
    """The loader of the section `name`.

    All ids are looked at before a run begins, each process taking its share of the shards. Raises UserError for data
    that are missing, damaged, empty, of another tokenizer, or were converted for another objective.
    """
    section: Loader = getattr(recipe, name)
    dataset, is_training = section.dataset, name == "train_loader"
    folder = Path(dataset.local) / dataset.split
    documents = open_documents(folder, objective.vocabulary, tokenizer, show=position.rank == 0)
    if not own_checkpoints(Path(recipe.save_folder)):  # a run that goes on had them checked when it began
        expect_ids(documents, objective.expected_ids(), position.rank, position.world, show=position.rank == 0)
    windows = Windows(documents, dataset.max_seq_len)
    if not len(windows.lengths):
        raise UserError(f"'{folder}' holds only documents without tokens; convert some text into this split")
    geometry = geometry_of(section, sizes, position.world, is_training and recipe.count_padding_tokens)
    carry_over = is_training and section.drop_last
    workers, notes = workers_of(section)
    if windows.windowed_documents:
        notes.append(f"{windows.windowed_documents:,} documents longer than max_seq_len, cut into windows")
    loader = PackedLoader(
        RowReader(windows, objective.examples(dataset)),
        lambda: Packer(windows.lengths, geometry, dataset.shuffle_seed, dataset.shuffle, carry_over),
        position.rank,
        position.world,
        endless=is_training,
        workers=workers,
        in_step=recipe.fsdp_config is not None,
    )
    spec = data_spec(loader, geometry)
    return SplitLoader(
        spec, loader, windows, sizes, geometry.capacity, [f"{name.split('_')[0]}: {note}" for note in notes]
    )


def workers_of(section: Loader) -> tuple[Workers, list[str]]:
    """As many workers as asked for, at most one per core; what to tell where that is fewer."""
    count = min(section.num_workers, usable_cores())
    notes = (
        [f"num_workers: {count} instead of {section.num_workers:,}, one per core"]
        if count < section.num_workers
        else []
    )
    pin_memory = section.pin_memory and torch.cuda.is_available()
    return Workers(count, section.prefetch_factor, section.timeout, pin_memory), notes
