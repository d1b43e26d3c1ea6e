"""Keeping libraries' remarks off the terminal where this project says itself what a user must know."""

import contextlib
from collections.abc import Iterator

from transformers.utils import logging as transformers_logging


@contextlib.contextmanager
def only_errors_from_transformers() -> Iterator[None]:
    """Keeps transformers' warnings and its bars over weights (since version 5) off the terminal for a while."""
    verbosity, has_bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if has_bars:
            transformers_logging.enable_progress_bar()
