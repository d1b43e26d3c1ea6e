"""What a run says while it trains: a line on the console now and then, all metrics as JSON lines in its folder."""

import json
import time
from pathlib import Path
from typing import Any

import torch
from composer.core import State, Time
from composer.loggers import Logger, LoggerDestination
from composer.utils import dist

from bioclinical.pretraining.training.metrics_file import FILE, read_metrics
from bioclinical.runtime.machine import peak_memory_bytes


class RunLog(LoggerDestination):
    """Gathers each batch's metrics; prints a line every `interval`, writes all to a file (rank 0 only)."""

    def __init__(self, folder: Path, interval: Time | None):
        self.path = folder / FILE
        self.interval = interval
        self.metrics: dict[str, float] = {}  # of this batch, for the file
        self.latest: dict[str, float] = {}  # each metric's last value, for the line
        self.tokens_and_time: tuple[int, float] | None = None

    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        for name, value in metrics.items():
            value = value.item() if isinstance(value, torch.Tensor) and value.numel() == 1 else value
            if isinstance(value, (int, float)):
                self.metrics[name] = self.latest[name] = value

    def fit_start(self, state: State, logger: Logger) -> None:
        self.keep_lines_before(state.timestamp.batch.value)
        self.tokens_and_time = state.timestamp.token.value, time.perf_counter()

    def batch_end(self, state: State, logger: Logger) -> None:
        due = self.interval and self.crossed(state)
        if due and dist.get_global_rank() == 0:
            print(self.line(state), flush=True)
        if due:
            self.tokens_and_time = state.timestamp.token.value, time.perf_counter()
        self.write(state)

    def eval_end(self, state: State, logger: Logger) -> None:
        by_label: dict[str, list[str]] = {}
        for name, value in self.metrics.items():
            if name.startswith("metrics/eval"):
                _, label, metric = name.split("/")
                by_label.setdefault(label, []).append(f"{metric} {value:.4f}")
        for label, shown in by_label.items() if dist.get_global_rank() == 0 else ():
            stream = f" of {label.removeprefix('eval_')}" if label != "eval" else ""
            batch = state.timestamp.batch.value
            print(f"evaluation{stream} after batch {batch:,}: {'  '.join(shown)}", flush=True)
        self.write(state)

    def crossed(self, state: State) -> bool:
        """Whether the last batch passed a multiple of the interval."""
        now, before = (stamp.get(self.interval.unit).value for stamp in (state.timestamp, state.previous_timestamp))
        return now // self.interval.value > before // self.interval.value

    def line(self, state: State) -> str:
        stamp, end = state.timestamp, state.max_duration
        done = stamp.get(end.unit).value / end.value
        tokens, since = self.tokens_and_time
        speed = (stamp.token.value - tokens) / max(time.perf_counter() - since, 1e-9)
        per_token = stamp.token.value / max(stamp.get(end.unit).value, 1)
        left = max(end.value - stamp.get(end.unit).value, 0) * per_token / max(speed, 1e-9)
        parts = [
            f"batch {stamp.batch.value:,}",
            f"{stamp.token.value:,} tokens ({done:.1%})",
            f"loss {self.latest.get('loss/train/total', float('nan')):.4f}",
            f"lr {state.optimizers[0].param_groups[0]['lr']:.3g}",
            f"{speed:,.0f} tokens/s",
            f"{duration(left)} left",
        ]
        if (packing := self.latest.get("trainer/packing_efficiency")) is not None:
            parts.append(f"packing {packing:.1%}")
        if (padded := self.latest.get("trainer/padded_share")) is not None:
            parts.append(f"padding {padded:.1%}")
        if (masked := self.latest.get("trainer/masking_rate")) is not None:
            parts.append(f"masking {masked:.1%}")
        if streams := {name: one for name, one in self.latest.items() if name.startswith("streams/")}:
            shares = (f"{name.split('/')[1]} {one / sum(streams.values()):.1%}" for name, one in streams.items())
            parts.append(", ".join(shares))
        parts.append(f"memory {peak_memory_bytes('cuda' if torch.cuda.is_available() else 'cpu') / 2**30:.1f} GiB")
        if (mfu := self.latest.get("throughput/device/mfu")) is not None:
            parts.append(f"MFU {mfu:.1%}")
        return "  ".join(parts)

    def write(self, state: State) -> None:
        """Appends the gathered metrics. Metrics that JSON cannot hold (NaN) are left out."""
        metrics, self.metrics = self.metrics, {}
        if dist.get_global_rank() == 0 and metrics:
            stamp = state.timestamp
            record = {"batch": stamp.batch.value, "token": stamp.token.value}
            finite = {name: value for name, value in metrics.items() if value - value == 0}
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(record | finite) + "\n")

    def keep_lines_before(self, batch: int) -> None:
        """Drops what a killed run wrote after the checkpoint that is now continued."""
        if dist.get_global_rank() == 0 and self.path.exists():
            kept = [record for record in read_metrics(self.path.parent) if record["batch"] <= batch and batch]
            self.path.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")


def duration(seconds: float) -> str:
    """A length of time in its two largest units."""
    for unit, length, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} {int(seconds % length // part)} {smaller}"
    return f"{seconds:.0f} s"
