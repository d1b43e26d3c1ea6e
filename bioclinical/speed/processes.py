"""Work in a process of its own, whose death in whatever way is a message like any other."""

import multiprocessing
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

from bioclinical.errors import UserError, first_line

Message = dict[str, Any]


def messages_of(
    work: Callable[[Any, Callable[[Message], None]], None], job: Any, deadline: float | None = None
) -> Iterator[Message]:
    """Runs work(job, send) in a fresh process and yields what it sends.

    Where it does not end well the last message is {"failed": sentence}. deadline: of time.monotonic(); the process is
    killed then. Closing the iterator kills it too.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=enter, args=(work, job, theirs), daemon=True)
    process.start()
    theirs.close()  # else the pipe would stay open after the process is gone, and we would wait for ever
    try:
        while ours.poll(None if deadline is None else max(0.0, deadline - time.monotonic())):
            yield ours.recv()
        yield {"failed": "the time budget is over"}
    except (EOFError, OSError):  # OSError: killed in the middle of a message
        process.join()
        if process.exitcode:
            yield {"failed": death(process.exitcode)}
    finally:
        process.kill()
        process.join()
        ours.close()


def enter(work: Callable[[Any, Callable[[Message], None]], None], job: Any, connection: Connection) -> None:
    """The process's main function."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        work(job, connection.send)
    except BrokenPipeError:  # the parent is gone
        return
    except UserError as error:
        connection.send({"failed": str(error)})
    except Exception as error:
        traceback.print_exc()
        connection.send({"failed": f"{type(error).__name__}: {first_line(error)}"})


def death(exitcode: int) -> str:
    """How a process ended, in words."""
    if exitcode == -signal.SIGKILL:
        return "its process was killed (SIGKILL), most often by the system for want of memory"
    if exitcode < 0:
        return f"its process died of {signal.Signals(-exitcode).name}"
    return f"its process ended with exit code {exitcode}"
