"""How every script of the repository ends: a user's mistake is one sentence and exit code 2, never a traceback."""

import contextlib
import errno
import os
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from types import FrameType


class UserError(Exception):
    """The input, the arguments or the machine do not allow the work; the message names the value and the way out."""


class RunFailed(Exception):
    """The work itself went wrong (a non-finite loss, a failed seed); exit code 1."""


class Terminated(KeyboardInterrupt):
    """SIGTERM: the work unwinds as it does at Ctrl-C, so that no process and no temporary file of it is left."""


DISK_FULL_HINT = (
    "the disk is full; nothing half-written was kept as a result. Free some space and run the command again"
)
# torch and safetensors report a full disk in their own words instead of raising OSError(ENOSPC).
DISK_FULL_WORDS = (
    "No space left",
    "StorageFull",
    "PytorchStreamWriter failed writing",
    "Disk quota exceeded",
    "unexpected pos",
)
# What a path given by the user may be wrong in.
UNUSABLE_PATH = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EBUSY,
)


def is_disk_full(error: BaseException) -> bool:
    """True where the error, whatever its class, says that no space was left."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return any(words in str(error) for words in DISK_FULL_WORDS)


def run_cli(main: Callable[[], object]) -> None:
    """Runs a script's `main` and ends the process.

    Exit codes: 0, 1 (RunFailed), 2 (UserError, unusable disk), 130 (Ctrl-C), 141 (the reader of our output went away),
    143 (SIGTERM). Any other exception is a fault of this repository and keeps its traceback.
    """
    try:
        with sigterm_unwinds():
            main()
    except UserError as error:
        end(2, str(error))
    except RunFailed as error:
        end(1, str(error))
    except Terminated:
        end(143, "stopped by SIGTERM")
    except KeyboardInterrupt:
        end(130, "stopped by Ctrl-C")
    except BrokenPipeError:
        # The reader of our output (head, less) went away: end as other programs do, without a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        if is_disk_full(error):
            end(2, DISK_FULL_HINT)
        if isinstance(error, OSError) and error.errno in UNUSABLE_PATH:
            end(2, f"cannot use '{error.filename}' ({error.strerror}); choose another place or change its permissions")
        raise


@contextlib.contextmanager
def sigterm_unwinds() -> Iterator[None]:
    """SIGTERM raises Terminated in the main thread; a second one does not disturb the tidying up of the first."""
    if threading.current_thread() is not threading.main_thread():  # only that one may set handlers
        yield
        return
    owner = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a forked child has nothing of its own to tidy up: it ends at once, as without us
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
            return
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def end(code: int, message: str) -> None:
    """Prints the one sentence on stderr and exits with `code`."""
    print(f"error: {message}", file=sys.stderr, flush=True)
    sys.exit(code)


def first_line(error: BaseException, longest: int = 200) -> str:
    """The beginning of an error's message on one line, for one-sentence reports."""
    lines = str(error).strip().splitlines()
    return textwrap.shorten(" ".join(lines[:2]).rstrip(". "), longest, placeholder=" ...") or type(error).__name__
