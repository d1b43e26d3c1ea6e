"""`--check`: everything of a run except the training, and what the training would take."""

import time
from pathlib import Path
from typing import Any

from composer.core import Precision
from composer.trainer.trainer import get_precision_context
from composer.utils import dist, get_device

from bioclinical.checkpoints.found import newest_whole
from bioclinical.checkpoints.read import read_checkpoint
from bioclinical.checkpoints.resume import expect_same_model
from bioclinical.checkpoints.start import start_from
from bioclinical.errors import UserError
from bioclinical.mds.index import read_index
from bioclinical.mds.inspection import damaged_shards
from bioclinical.pretraining.data.rows import share_of
from bioclinical.pretraining.recipe.load import plain_recipe
from bioclinical.pretraining.recipe.schema import Recipe
from bioclinical.pretraining.training.composer_model import total_of
from bioclinical.pretraining.training.progress import duration
from bioclinical.pretraining.training.resources import resources_text
from bioclinical.pretraining.training.run import Parts, build
from bioclinical.pretraining.training.schedules import build_schedule
from bioclinical.runtime.machine import peak_memory_bytes

PROBE_TOKENS_ON_CPU = 2048


def check(recipe: Recipe) -> None:
    """Validates config, shards' hashes and the starting checkpoint; measures one micro-batch, prints the outlook.

    Trains nothing and writes nothing (but unpacked copies of compressed shards). Raises UserError for what is wrong.
    """
    parts = build(recipe)
    max_duration = recipe.max_duration
    build_schedule(recipe.scheduler, max_duration)
    for note in parts.notes:
        print(note)
    for loader in filter(None, (recipe.train_loader, recipe.eval_loader)):
        for folder in loader.dataset.folders.values():
            if problems := damaged_shards(folder, read_index(folder)):
                raise UserError(
                    f"{len(problems)} damaged shards: {'; '.join(problems[:5])}; copy or convert them again"
                )
            print(f"{folder}: all shards intact")
    resume, _ = newest_whole(Path(recipe.save_folder)) if recipe.autoresume else (None, [])
    if resume:
        expect_same_model(read_checkpoint(resume, trust=None), parts.model, plain_recipe(recipe), resume)
        print(f"would resume from '{resume}'")
    elif recipe.load_path:
        print("\n".join(start_from(recipe, parts.architecture, parts.model, parts.optimizer)[0]))
    lengths = parts.train.windows.lengths
    rows = parts.train.loader.new_packer().next_batch()[0]
    batch_tokens = sum(int(lengths[unit]) for row in rows for _, unit in row)
    steps = {
        "tok": max_duration.value / batch_tokens,
        "ba": max_duration.value,
        "sp": max_duration.value / sum(map(len, rows)),
    }[max_duration.unit]
    filled = batch_tokens / len(rows) / parts.train.row_capacity
    print(
        f"data: {len(lengths):,} samples, {int(lengths.sum()):,} tokens per epoch; first batch "
        f"{batch_tokens:,} tokens in {len(rows)} rows of {parts.train.row_capacity:,} ({filled:.1%} filled); "
        f"{steps * batch_tokens / int(lengths.sum()):.2f} epochs, about {steps:,.0f} steps"
    )
    world = dist.get_world_size()
    weights = sum(one.numel() for one in parts.model.parameters() if one.requires_grad)
    print(resources_text(weights, world, flops_per_token(parts, rows[0]), steps * batch_tokens))
    tokens, seconds, memory = probe(parts, rows)
    whole = steps * batch_tokens * seconds / tokens / world
    print(
        f"one process: {tokens / seconds:,.0f} tokens/s (forward and backward of {tokens:,} tokens), "
        f"peak memory about {memory / 2**30:.1f} GiB; the run would take about {duration(whole)} on {world} of these"
    )


def flops_per_token(parts: Parts, units: list[tuple[int, int]]) -> float | None:
    """Operations of a forward and backward pass over a row, per token; None where no formula describes the network."""
    row = parts.train.loader.reader.read_row(units, silent=False)
    flops = parts.model.objective.training_flops(parts.model.networks, row)
    return None if flops is None else flops / row["tokens"]


def probe(parts: Parts, rows: list[list[tuple[int, int]]]) -> tuple[int, float, int]:
    """Tokens, seconds and peak memory (optimizer moments included) of one micro-batch's forward and backward pass.

    On a CPU only the row's first documents are used, for time.
    """
    device = get_device(parts.compute.composer_device)
    share = share_of(rows, dist.get_global_rank(), dist.get_world_size())
    units, lengths = share.rows[0], parts.train.windows.lengths
    if parts.compute.device == "cpu":
        ends = lengths[[unit for _, unit in units]].cumsum()
        units = units[: max(1, int((ends <= PROBE_TOKENS_ON_CPU).sum()))]
    batch: dict[str, Any] = device.batch_to_device({"rows": [parts.train.loader.reader.read_row(units, silent=False)]})
    model = device.module_to_device(parts.model)
    for _ in range(2):  # the first pass warms up
        started = time.perf_counter()
        with get_precision_context(Precision(parts.recipe.precision)):
            loss = total_of(model(batch))
        loss.backward()
        loss.item()  # waits for the device
        seconds = time.perf_counter() - started
    moments = 2 * sum(parameter.nbytes for parameter in model.parameters())
    return batch["rows"][0]["tokens"], seconds, peak_memory_bytes(parts.compute.device) + moments
