"""The batch size of a measurement: the largest that fits a GPU, or where a CPU gains nothing more by a larger one."""

from collections.abc import Callable
from pathlib import Path

import psutil
import torch

from bioclinical.runtime.choice import Choice

MOST_TRIES, FIRST_TRY = 14, 16
WORTHWHILE = 1.05  # a doubled batch must raise the throughput by this factor
# How libraries word it where they do not raise torch's own class.
OUT_OF_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was short; any other RuntimeError is a fault to report."""
    if isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY_WORDS)


def largest_that_fits(fits: Callable[[int], bool], most: int) -> tuple[int, int]:
    """The largest n <= most with fits(n), by doubling and bisection, and the number of tries (at most 14).

    Where the tries run out it is the largest that was seen to fit; 0 if not even one sample fits.
    """
    good, bad, tries = 0, most + 1, 0
    while tries < MOST_TRIES and bad - good > 1:
        has_failed = bad <= most
        n = (good + bad) // 2 if has_failed else min(max(2 * good, FIRST_TRY), most)
        if fits(n):
            good = n
        else:
            bad = n
        tries += 1
    return good, tries


def largest_worthwhile(
    throughput: Callable[[int], float], has_room: Callable[[], bool], most: int
) -> tuple[Choice, int]:
    """Doubles n from 1 while it raises throughput(n) by 5 % and has_room() for it, asked before; and the tries."""
    best, rate, tries = 1, throughput(1), 1
    while best < most:
        if not has_room():
            return Choice(str(best), "a larger batch might take more than half of the free memory"), tries
        n = min(2 * best, most)
        next_rate = throughput(n)
        tries += 1
        if next_rate < WORTHWHILE * rate:
            return Choice(str(best), "doubling it gains less than 5 %"), tries
        best, rate = n, next_rate
    return Choice(str(best), "all samples in one batch"), tries


def free_memory_bytes() -> int:
    """RAM that this process may still take: the machine's, or its container's where that is less."""
    free, group = psutil.virtual_memory().available, Path("/sys/fs/cgroup")
    try:
        return min(free, int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    except (OSError, ValueError):  # no control group, or one without a limit ("max")
        return free
