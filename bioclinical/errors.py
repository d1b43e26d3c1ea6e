"""How every script of the repository ends: a user's mistake is one sentence and exit code 2, never a traceback."""

import errno
import os
import sys
from typing import Callable


class UserError(Exception):
    """The input, the arguments or the machine do not allow the work; the message names the value and the way out."""


class RunFailed(Exception):
    """The work itself went wrong (a non-finite loss, a failed seed); exit code 1."""


DISK_FULL_HINT = (
    "the disk is full; nothing half-written was kept as a result. Free some space and run the command again"
)
# torch and safetensors report a full disk in their own words instead of raising OSError(ENOSPC).
DISK_FULL_WORDS = ("No space left", "StorageFull", "PytorchStreamWriter failed writing", "Disk quota exceeded")


def is_disk_full(error: BaseException) -> bool:
    """True where the error, whatever its class, says that no space was left."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return any(words in str(error) for words in DISK_FULL_WORDS)


def run_cli(main: Callable[[], object]) -> None:
    """Runs a script's `main` and ends the process: 0, 1 (RunFailed), 2 (UserError, full disk, no access), 130 (Ctrl-C).

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
        # The reader of our output (head, less) went away; what was asked for has been delivered.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except PermissionError as error:
        end(2, f"no permission to access '{error.filename}'; choose another folder or change its permissions")
    except Exception as error:
        if is_disk_full(error):
            end(2, DISK_FULL_HINT)
        raise


def end(code: int, message: str) -> None:
    """Prints the one sentence on stderr and exits with `code`."""
    print(f"error: {message}", file=sys.stderr, flush=True)
    sys.exit(code)
