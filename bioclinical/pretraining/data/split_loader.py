"""The loader of a recipe's section (train_loader, eval_loader): documents, objective's examples, packing, workers."""

import itertools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from composer.core import DataSpec
from transformers import PreTrainedTokenizerFast

from bioclinical.checkpoints.found import own_checkpoints
from bioclinical.errors import UserError
from bioclinical.pretraining.data.batch_sizes import BatchSizes, geometry_of
from bioclinical.pretraining.data.documents import JoinedDocuments, Windows, expect_ids, open_documents
from bioclinical.pretraining.data.loader import PackedLoader, Workers, data_spec
from bioclinical.pretraining.data.order import Mixture, OnceEach, Order
from bioclinical.pretraining.data.packer import Packer
from bioclinical.pretraining.data.rows import RowReader
from bioclinical.pretraining.objectives import Objective
from bioclinical.pretraining.recipe.schema import Dataset, Loader, Recipe
from bioclinical.pretraining.recipe.streams import tokens_per_epoch
from bioclinical.runtime.cores import usable_cores


@dataclass(frozen=True)
class Position:
    """Which of how many processes this is."""

    rank: int = 0
    world: int = 1


@dataclass(frozen=True)
class SplitLoader:
    """A loader and what it reads. row_capacity: tokens that a row can hold. streams: tokens of each an epoch."""

    spec: DataSpec
    loader: PackedLoader
    windows: Windows
    sizes: BatchSizes
    row_capacity: int
    notes: list[str]
    streams: dict[str, int] = field(default_factory=dict)


def build_loader(
    recipe: Recipe,
    name: str,
    sizes: BatchSizes,
    objective: Objective,
    tokenizer: PreTrainedTokenizerFast,
    position: Position,
    stream: str | None = None,
) -> SplitLoader:
    """The loader of the section `name`, of all its streams or of one.

    All ids are looked at before a run begins, each process taking its share of the shards. Raises UserError for data
    that are missing, damaged, empty, of another tokenizer, or were converted for another objective.
    """
    section: Loader = getattr(recipe, name)
    dataset, is_training = section.dataset, name == "train_loader"
    folders = dataset.folders if stream is None else {stream: dataset.folders[stream]}
    documents = JoinedDocuments(
        [open_documents(folder, objective.vocabulary, tokenizer, position.rank == 0) for folder in folders.values()]
    )
    if not own_checkpoints(Path(recipe.save_folder)):  # a run that goes on had them checked when it began
        expect_ids(documents, objective.expected_ids(), position.rank, position.world, show=position.rank == 0)
    windows = Windows(documents, dataset.max_seq_len)
    if not len(windows.lengths):
        listed = "', '".join(map(str, folders.values()))
        raise UserError(f"'{listed}' holds only documents without tokens; convert some text into this split")
    geometry = geometry_of(section, sizes, position.world, is_training and recipe.count_padding_tokens)
    carry_over = is_training and section.drop_last
    order, streams = order_of(dataset, windows, documents.bounds, is_training)
    workers, notes = workers_of(section)
    if windows.windowed_documents:
        notes.append(f"{windows.windowed_documents:,} documents longer than max_seq_len, cut into windows")
    loader = PackedLoader(
        RowReader(windows, objective.examples(dataset)),
        lambda: Packer(windows.lengths, geometry, order, carry_over),
        position.rank,
        position.world,
        endless=is_training,
        workers=workers,
        in_step=recipe.fsdp_config is not None,
    )
    spec = data_spec(loader, geometry)
    notes += [f"stream {one}: {tokens:,} tokens per epoch" for one, tokens in streams.items()]
    told = [f"{name.split('_')[0]}: {note}" for note in notes]
    return SplitLoader(spec, loader, windows, sizes, geometry.capacity, told, streams)


def order_of(dataset: Dataset, windows: Windows, bounds: np.ndarray, is_training: bool) -> tuple[Order, dict[str, int]]:
    """In which order an epoch reads the units, and tokens of each stream an epoch. bounds: documents of the streams."""
    if not (is_training and dataset.streams):
        return OnceEach(len(windows.lengths), dataset.shuffle_seed, dataset.shuffle), {}
    names, units = list(dataset.streams), windows.first_unit[bounds]
    tokens = [int(windows.lengths[start:end].sum()) for start, end in itertools.pairwise(units)]
    shares = tokens_per_epoch(dataset.streams, tokens)
    return Mixture(windows.lengths, units, shares, dataset.shuffle_seed, names), dict(zip(names, shares))


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
