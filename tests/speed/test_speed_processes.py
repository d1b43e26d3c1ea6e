"""Every way in which a process can end is a message, and none makes the parent wait."""

import multiprocessing
import os
import signal
import sys
import time

import pytest

from bioclinical.errors import UserError
from bioclinical.speed.processes import messages_of


def work(how, send):
    send({"row": how})
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "exits":
        sys.exit(3)
    if how == "user":
        raise UserError("a sentence for the user")
    if how == "fault":
        raise RuntimeError("CUDA error: device-side assert triggered")
    if how == "hangs":
        time.sleep(600)


@pytest.mark.parametrize(
    "how, failure",
    [
        ("well", None),
        ("killed", "killed by SIGKILL"),
        ("exits", "exit code 3"),
        ("user", "a sentence for the user"),
        ("fault", "RuntimeError: CUDA error: device-side assert triggered"),
    ],
)
def test_an_ending_is_a_message(how, failure):
    received = list(messages_of(work, how))
    assert received[0] == {"row": how} and len(received) == (2 if failure else 1)
    assert failure is None or failure in received[1]["failed"]


def test_a_hanging_process_is_killed_at_the_deadline():
    started = time.monotonic()
    received = list(messages_of(work, "hangs", deadline=started + 8))
    assert received == [{"row": "hangs"}, {"failed": "the time budget is over"}] and time.monotonic() - started < 30
    assert not multiprocessing.active_children()


def test_closing_the_iterator_kills_the_process():
    messages = messages_of(work, "hangs")
    next(messages)
    assert multiprocessing.active_children()
    messages.close()
    assert not multiprocessing.active_children()
