"""One piece of work for a process of its own, and what that process sends back."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict

from bioclinical.encoders.source import Source
from bioclinical.runtime.choice import Choice, Device
from bioclinical.speed.document import Row
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


class Message(TypedDict, total=False):
    """One of: what the process is doing, passes done since the last message, a finished row, why it failed."""

    state: str
    passes: int
    row: Row
    failed: str


Send = Callable[[Message], None]
