"""What watches a training run: gradients and losses, packing, garbage collection, data loading."""

import gc
import math
import time

import torch
from composer.callbacks import LRMonitor, MemoryMonitor, OptimizerMonitor, RuntimeEstimator, SpeedMonitor
from composer.core import Callback, Precision, State
from composer.loggers import Logger
from omegaconf import DictConfig
from torch import Tensor

from bioclinical.errors import RunFailed
from bioclinical.pretraining.training.optimizer import gradient_norm

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
        self.losses.append((state.loss.detach(), row["documents"]))

    def after_train_batch(self, state: State, logger: Logger) -> None:
        norm = gradient_norm(state.model.parameters())
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


def build_callbacks(config: DictConfig, row_capacity: int) -> list[Callback]:
    """The callbacks of a config's section `callbacks`; the gradient guard is always among them."""
    own = {
        "packing_efficiency": lambda options: PackingEfficiency(row_capacity, options.log_interval),
        "scheduled_gc": lambda options: ScheduledGC(options.batch_interval),
        "dataloader_speed": lambda options: DataloaderSpeed(),
    }
    log_norm = config.get("log_grad_norm")
    callbacks: list[Callback] = [GradientGuard(log_norm.batch_log_interval if log_norm else None)]
    for name, options in config.items():
        if name in COMPOSERS:
            callbacks.append(COMPOSERS[name](**options))
        elif name in own:
            callbacks.append(own[name](options))
    return callbacks
