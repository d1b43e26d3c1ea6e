"""What a user asks to have measured; importing this imports no torch."""

from dataclasses import dataclass
from pathlib import Path

DTYPES = ("auto", "fp32", "tf32", "bf16", "fp16")
DEVICES = ("auto", "cuda", "mps", "cpu")
PLOT_SUFFIXES = (".png", ".pdf", ".svg")
# Published sets: tokens that a sample is padded to; mean and standard deviation of the lengths, None: all that long.
PUBLISHED = {
    "fixed_short": (512, None),
    "variable_short": (512, (256.0, 64.0)),
    "fixed_medium": (4096, None),
    "variable_medium": (4096, (2048.0, 512.0)),
    "fixed_long": (8192, None),
    "variable_long": (8192, (4096.0, 1024.0)),
}


@dataclass(frozen=True)
class Request:
    """A run of the benchmark.

    datasets: of PUBLISHED; None: all that a model's context holds, or none where there is a text_file.
    batch_size: samples; None: searched for.  time_budget_min: minutes; None: no limit.
    """

    models: tuple[str, ...]
    num_samples: int
    n_iters: int
    datasets: tuple[str, ...] | None = None
    text_file: Path | None = None
    device: str = "auto"
    gpu: int = 0
    dtype: str = "auto"
    attn: str = "auto"
    batch_size: int | None = None
    compile: bool = False
    time_budget_min: float | None = None
    trust_remote_code: bool = False
    output: Path | None = None
    resume: bool = False
    plot: Path | None = None
