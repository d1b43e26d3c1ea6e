"""One piece of work for a process of its own."""

import math
from dataclasses import dataclass

from bioclinical.encoders.source import Source
from bioclinical.runtime.choice import Choice, Device
from bioclinical.speed.workloads import Workload


@dataclass(frozen=True)
class Job:
    """One model, one workload, the layouts wanted, and how.

    attention: by layout.  batch_size: None searches for it.  seconds: passes stop early so that about as much is used.
    """

    source: Source
    workload: Workload
    attention: dict[str, Choice]
    device: Device
    dtype: str
    pad_id: int
    n_iters: int
    batch_size: int | None = None
    compile: bool = False
    seconds: float = math.inf
