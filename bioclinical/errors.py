"""How every script of the repository ends: a user's mistake is one sentence and exit code 2, never a traceback."""

import errno
import os
import sys
import textwrap
from collections.abc import Callable


class UserError(Exception):
    """The input, the arguments or the machine do not allow the work; the message names the value and the way out."""


class RunFailed(Exception):
    """The work itself went wrong (a non-finite loss, a failed seed); exit code 1."""


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
    """Runs a script's `main` and ends the process: 0, 1 (RunFailed), 2 (UserError, unusable disk), 130 (Ctrl-C), 141.

    Any other exception is a fault of this repository and keeps its traceback.
    """
    try:
        main()
    except UserError as error:
        end(2, str(error))
    except RunFailed as error:
        end(1, str(error))
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


def end(code: int, message: str) -> None:
    """Prints the one sentence on stderr and exits with `code`."""
    print(f"error: {message}", file=sys.stderr, flush=True)
    sys.exit(code)


def first_line(error: BaseException, longest: int = 200) -> str:
    """The beginning of an error's message on one line, for one-sentence reports."""
    lines = str(error).strip().splitlines()
    return textwrap.shorten(" ".join(lines[:2]).rstrip(". "), longest, placeholder=" ...") or type(error).__name__
