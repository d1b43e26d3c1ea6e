"""The checkpoints of a run: written whole or not at all, of tensors and plain values only."""

import os
import signal
from pathlib import Path
from typing import Any

from composer.core import Callback, Event, State
from composer.loggers import Logger
from composer.utils import checkpoint, create_interval_scheduler, dist, reproducibility

from bioclinical.checkpoints.found import LATEST, own_checkpoints
from bioclinical.errors import UserError
from bioclinical.files import atomic_path, remove
from bioclinical.pretraining.data.loader import PackedLoader


class Checkpoints(Callback):
    """Saves every `interval`, at the end, and on SIGTERM; keeps the newest `keep` (-1: all).

    The file is written beside and renamed, then `latest-rank0.pt` is moved to it, so that both are valid at any moment.
    Besides Composer's state it holds the loader's position, every process's random state, and `facts` about the run
    (config, data), which an export needs.
    """

    def __init__(self, folder: Path, interval: str, keep: int, loader: PackedLoader, facts: dict[str, Any]):
        self.folder = folder
        self.keep = keep
        self.loader = loader
        self.facts = facts
        self.is_due = create_interval_scheduler(interval, checkpoint_events=True, include_end_of_training=True)
        self.asked_to_stop = False
        self.random_state: list[dict[str, Any]] | None = None

    def state_dict(self) -> dict[str, Any]:
        return {
            "loader": self.loader.state_dict(),
            "random_state": reproducibility.get_rng_state(),
            "facts": self.facts,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        former, now = (facts["data"]["train"] for facts in (state["facts"], self.facts))
        if former != now:
            raise UserError(
                f"the training data are not those of this run: {now['samples']:,} samples of {now['tokens']:,} tokens "
                f"instead of {former['samples']:,} of {former['tokens']:,}; restore them, or start a new run with "
                "another run_name and load_path"
            )
        self.loader.load_state_dict(state["loader"])
        self.random_state = state["random_state"]

    def fit_start(self, state: State, logger: Logger) -> None:
        if self.random_state is not None:
            reproducibility.load_rng_state(self.random_state)
        self.former_handler = signal.signal(signal.SIGTERM, self.ask_to_stop)

    def fit_end(self, state: State, logger: Logger) -> None:
        signal.signal(signal.SIGTERM, self.former_handler)

    def ask_to_stop(self, *_: Any) -> None:
        self.asked_to_stop = True

    def batch_checkpoint(self, state: State, logger: Logger) -> None:
        stop = any(dist.all_gather_object(self.asked_to_stop)) if dist.get_world_size() > 1 else self.asked_to_stop
        if stop or self.is_due(state, Event.BATCH_CHECKPOINT):
            self.save(state)
        if stop:
            if dist.get_global_rank() == 0:
                batch = state.timestamp.batch.value
                print(f"stopped by SIGTERM after batch {batch:,}, saved; continue with autoresume=true")
            raise SystemExit(0)

    def save(self, state: State) -> None:
        """One checkpoint of the present moment; collective over all processes."""
        path = self.folder / f"ep{state.timestamp.epoch.value}-ba{state.timestamp.batch.value}-rank0.pt"
        with atomic_path(path) if dist.get_global_rank() == 0 else _NoPath() as partial:
            checkpoint.save_checkpoint(state, str(partial))
        if dist.get_global_rank() == 0:
            link = self.folder / f".{LATEST}.new"
            remove(link)
            link.symlink_to(path.name)
            os.replace(link, self.folder / LATEST)
            if self.keep >= 0:
                for old in own_checkpoints(self.folder)[max(self.keep, 1) :]:
                    remove(old)


class _NoPath:
    """The other processes take part in gathering the state, but write nothing."""

    def __enter__(self) -> str:
        return "unused"

    def __exit__(self, *_: Any) -> None:
        pass
