"""Work in a process of its own, whose death in whatever way is a message like any other."""

import multiprocessing
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

from bioclinical.errors import UserError, first_line
from bioclinical.speed.messages import Message, Send

Work = Callable[[Any, Send], None]  # work(job, send)


def messages_of(work: Work, job: Any, method: str = "spawn", deadline: float | None = None) -> Iterator[Message]:
    """Runs work(job, send) in a fresh process and yields what it sends.

    Where it does not end well, the last message is {"failed": sentence}. deadline: of time.monotonic(), when the
    process is killed; closing the iterator kills it too. method: "forkserver" imports once for all processes, but
    must not be used with a GPU, whose driver does not survive a fork; "spawn" imports anew.
    """
    context = multiprocessing.get_context(method)
    context.set_forkserver_preload(["__main__", work.__module__])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=enter, args=(work, job, theirs), daemon=True)
    process.start()
    theirs.close()  # else the pipe would outlive the process, and we would wait for ever
    try:
        while ours.poll(None if deadline is None else max(0.0, deadline - time.monotonic())):
            yield ours.recv()
        yield {"failed": "the time budget is over"}
    except (EOFError, OSError):  # OSError: killed in the middle of a message
        process.join()
        if code := process.exitcode:
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            hint = " (most often the system is short of memory)" if code == -signal.SIGKILL else ""
            yield {"failed": f"its process {how}{hint}"}
    finally:
        process.kill()
        process.join()
        ours.close()


def enter(work: Work, job: Any, connection: Connection) -> None:
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
