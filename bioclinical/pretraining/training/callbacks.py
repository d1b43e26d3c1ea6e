"""What watches a training run: gradients and losses, packing, garbage collection, data loading."""

import gc
import math
import time

import torch
from composer.callbacks import LRMonitor, MemoryMonitor, OptimizerMonitor, RuntimeEstimator, SpeedMonitor
from composer.core import Callback, Precision, State
from composer.loggers import Logger
from composer.utils import dist
from torch import Tensor
from torch.nn.utils import get_total_norm

from bioclinical.errors import RunFailed
from bioclinical.pretraining.architectures import Architecture
from bioclinical.pretraining.data.loader import PackedLoader
from bioclinical.pretraining.data.split_loader import SplitLoader
from bioclinical.pretraining.objectives import Objective
from bioclinical.pretraining.recipe.masking_rate import MaskingRate, MaskingSchedule, masking_rate
from bioclinical.pretraining.recipe.schema import Recipe
from bioclinical.pretraining.training.composer_model import total_of
from bioclinical.pretraining.training.sharding import whole

COMPOSERS = {
    "speed_monitor": SpeedMonitor,
    "lr_monitor": LRMonitor,
    "memory_monitor": MemoryMonitor,
    "runtime_estimator": RuntimeEstimator,
    "optimizer_monitor": OptimizerMonitor,
}


class GradientGuard(Callback):
    """Stops before the optimizer's step where a loss or gradient is not finite; logs the norm of all gradients.

    It waits for the device once per batch. Under amp_fp16 the gradient scaler skips such steps itself, and goes on.
    """

    def __init__(self, log_interval: int | None = None):
        self.log_interval = log_interval
        self.losses: list[tuple[Tensor, Tensor]] = []

    def after_loss(self, state: State, logger: Logger) -> None:
        (row,) = state.batch["rows"]
        self.losses.append((total_of(state.loss).detach(), row["documents"]))

    def after_train_batch(self, state: State, logger: Logger) -> None:
        norm = whole(get_total_norm([one.grad for one in state.model.parameters() if one.grad is not None]))
        losses, self.losses = self.losses, []
        *values, norm = torch.stack([*(loss.float() for loss, _ in losses), norm.float()]).tolist()
        if state.precision != Precision.AMP_FP16 and not all(map(math.isfinite, (*values, norm))):
            raise RunFailed(describe(state, values, norm, [documents.tolist() for _, documents in losses]))
        batch = state.timestamp.batch.value
        if self.log_interval and batch % self.log_interval == 0:
            logger.log_metrics({"gradient_norms/l2_norm": norm})


def describe(state: State, losses: list[float], norm: float, documents: list[list[int]]) -> str:
    """The sentence for a batch that must not be learned from."""
    batch = state.timestamp.batch.value
    bad = [number for loss, numbers in zip(losses, documents) if not math.isfinite(loss) for number in numbers]
    where = f"loss not finite for documents {', '.join(map(str, bad[:50]))}{' ...' if len(bad) > 50 else ''}"
    if not bad:
        where = f"gradient norm {norm}, all losses of this process finite"
    return (
        f"batch {batch}: {where}; the step was not taken and the last checkpoint is intact. Lower the learning rate, "
        "look at the documents (inspect_mds.py), or continue from an earlier checkpoint"
    )


class TermTotals(Callback):
    """Tells each row how many positions every term of the loss has in the whole batch of all processes."""

    def batch_start(self, state: State, logger: Logger) -> None:
        rows = state.batch["rows"]
        names = [*rows[0]["weights"], "loss_weight"]
        counts = [
            [row["loss_weight"] if name == "loss_weight" else row["weights"][name] for name in names] for row in rows
        ]
        totals = state.device.tensor_to_device(torch.tensor(counts).sum(0))
        dist.all_reduce(totals, reduce_operation="SUM")
        for row in rows:
            row["term_totals"] = dict(zip(names, totals.tolist()))


class PaddedShare(Callback):
    """Logs which share of the positions that this process computes is padding."""

    def __init__(self, architecture: Architecture, log_interval: int):
        self.architecture = architecture
        self.log_interval = log_interval

    def batch_start(self, state: State, logger: Logger) -> None:
        if state.timestamp.batch.value % self.log_interval == 0:
            lengths = [row["lengths"] for row in state.batch["rows"]]
            computed = sum(map(self.architecture.computed_tokens, lengths))
            logger.log_metrics({"trainer/padded_share": 1 - sum(map(sum, lengths)) / computed})


class PackingEfficiency(Callback):
    """Logs the share of this process's row capacity that holds tokens."""

    def __init__(self, row_capacity: int, log_interval: int):
        self.row_capacity = row_capacity
        self.log_interval = log_interval

    def batch_start(self, state: State, logger: Logger) -> None:
        if state.timestamp.batch.value % self.log_interval == 0:
            rows = state.batch["rows"]
            filled = sum(row["tokens"] for row in rows) / (len(rows) * self.row_capacity)
            logger.log_metrics({"trainer/packing_efficiency": filled})


class MaskingRateLog(Callback):
    """Logs the share of tokens that are masked in each batch, where it changes with the token clock."""

    def __init__(self, rate: MaskingRate):
        self.rate = rate

    def batch_start(self, state: State, logger: Logger) -> None:
        logger.log_metrics({"trainer/masking_rate": self.rate(state.timestamp.token.value)})


class StreamTokens(Callback):
    """Logs the tokens of each stream that all processes have read so far, the batch at hand included."""

    def __init__(self, loader: PackedLoader, names: list[str]):
        self.loader = loader
        self.names = names

    def batch_start(self, state: State, logger: Logger) -> None:
        tokens = zip(self.names, self.loader.state.by_stream)
        logger.log_metrics({f"streams/{name}": count for name, count in tokens})


class ScheduledGC(Callback):
    """Collects garbage on all processes at the same batch, not whenever Python thinks fit, which makes others wait."""

    def __init__(self, batch_interval: int):
        self.batch_interval = batch_interval

    def fit_start(self, state: State, logger: Logger) -> None:
        gc.disable()

    def before_dataloader(self, state: State, logger: Logger) -> None:
        if state.timestamp.batch.value % self.batch_interval == 0:
            collect()

    def eval_end(self, state: State, logger: Logger) -> None:
        collect()

    def close(self, state: State, logger: Logger) -> None:
        gc.enable()


def collect() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class DataloaderSpeed(Callback):
    """Logs how long training waited for a batch."""

    def before_dataloader(self, state: State, logger: Logger) -> None:
        self.asked = time.perf_counter()

    def after_dataloader(self, state: State, logger: Logger) -> None:
        logger.log_metrics({"throughput/batch_serve_time_ms": 1000 * (time.perf_counter() - self.asked)})


def build_callbacks(
    recipe: Recipe, architecture: Architecture, objective: Objective, train: SplitLoader
) -> list[Callback]:
    """The callbacks of the section `callbacks`; the gradient guard is always among them."""
    section = recipe.callbacks
    log_norm = section.get("log_grad_norm")
    callbacks: list[Callback] = [GradientGuard(log_norm.batch_log_interval if log_norm else None)]
    if len(objective.terms) > 1:
        callbacks.append(TermTotals())
    if isinstance(rate := recipe.train_loader.dataset.mlm_probability, MaskingSchedule):
        callbacks.append(MaskingRateLog(masking_rate(rate)))
    if train.streams:
        callbacks.append(StreamTokens(train.loader, list(train.streams)))
    for name, options in section.items():
        if name in COMPOSERS:
            callbacks.append(COMPOSERS[name](**vars(options)))
        elif name == "packing_efficiency":
            callbacks.append(PackingEfficiency(train.row_capacity, options.log_interval))
            if architecture.is_padded:
                callbacks.append(PaddedShare(architecture, options.log_interval))
        elif name == "scheduled_gc":
            callbacks.append(ScheduledGC(options.batch_interval))
        elif name == "dataloader_speed":
            callbacks.append(DataloaderSpeed())
    return callbacks
