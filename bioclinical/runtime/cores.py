"""How many CPU cores this process may use; more threads than that only wait for each other."""

import os
import sys


def usable_cores() -> int:
    """The cores that the system lets this process run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def at_most_the_cores(count: int, flag: str) -> int:
    """`count`, or the number of cores where that is less; then a sentence on stderr names the flag and the number."""
    cores = usable_cores()
    if count > cores:
        print(
            f"{flag} {count}: this machine has {cores} usable cores, so {cores}; more would only wait", file=sys.stderr
        )
    return min(count, cores)
