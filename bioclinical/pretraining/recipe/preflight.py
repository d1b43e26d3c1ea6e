"""What can be wrong with a run and is known without torch: batch arithmetic, paths, the shards' index, earlier runs."""

import os
import zipfile
from pathlib import Path

from bioclinical.checkpoints.found import batch_of, expect_no_checkpoints, own_checkpoints
from bioclinical.errors import UserError
from bioclinical.mds.index import read_index, stored
from bioclinical.pretraining.data.batch_sizes import eval_batch_sizes, train_batch_sizes
from bioclinical.pretraining.recipe.schema import Loader, Recipe
from bioclinical.pretraining.recipe.streams import expect_alike
from bioclinical.pretraining.training.metrics_file import read_metrics


def expect_possible(recipe: Recipe) -> None:
    """Raises UserError for a batch that does not divide, missing data or weights, RunFailed for a used run folder."""
    world = int(os.environ.get("WORLD_SIZE", "1"))  # set by Composer's launcher
    train_batch_sizes(recipe, world)
    eval_batch_sizes(recipe, world)
    for loader in filter(None, (recipe.train_loader, recipe.eval_loader)):
        expect_data(loader)
    folder = Path(recipe.save_folder)
    if not recipe.autoresume:
        expect_no_checkpoints(folder)
    if recipe.load_path and not (recipe.autoresume and own_checkpoints(folder)):
        expect_source(recipe.load_path)


def expect_data(loader: Loader) -> None:
    """Raises UserError where the split has no index, no samples, or lacks a shard of its index, or streams differ."""
    for folder in loader.dataset.folders.values():
        infos = read_index(folder)
        if not sum(info["samples"] for info in infos):
            raise UserError(f"'{folder}' holds no samples; convert some documents into this split")
        for info in infos:
            if not any((folder / part["basename"]).is_file() for part in (info["raw_data"], stored(info))):
                missing = folder / stored(info)["basename"]
                raise UserError(f"the shard '{missing}' is missing; copy or convert it again")
    expect_alike(loader.dataset.folders)


def expect_source(source: str, must_be_file: bool = False) -> None:
    """Raises UserError where a .pt file is not there or is cut; folders and hub ids are left to transformers."""
    if not must_be_file and not source.endswith(".pt"):
        return
    if not Path(source).is_file():
        raise UserError(
            f"there is no checkpoint '{source}'; download it first (scripts/download_checkpoints.sh) or correct the "
            "path; docs/checkpoints.md says where published ones are"
        )
    if not zipfile.is_zipfile(source):
        raise UserError(f"'{source}' is cut off or no torch checkpoint; copy or download it again")


def how_it_ended(recipe: Recipe) -> str | None:
    """The sentence for a run that has reached its end, where names and logs tell so; None where more must be read."""
    folder = Path(recipe.save_folder)
    newest = next(iter(own_checkpoints(folder)), None) if recipe.autoresume else None
    if newest is None or not zipfile.is_zipfile(newest):
        return None
    reached = {"ba": batch_of(newest), "tok": tokens_after(folder, batch_of(newest))}.get(recipe.max_duration.unit)
    if reached is None or reached < recipe.max_duration.value:
        return None
    return f"the run in '{folder}' has reached {recipe.max_duration} ('{newest.name}'); nothing to do"


def tokens_after(folder: Path, batch: int) -> int | None:
    """The token clock after a batch, from the run's metrics; None where they do not tell."""
    try:
        return next((one["token"] for one in reversed(read_metrics(folder)) if one["batch"] == batch), None)
    except (OSError, ValueError, KeyError, TypeError):
        return None
