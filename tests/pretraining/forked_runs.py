"""Runs in processes of their own, forked from this one: a new process would import torch and Composer first, which
takes longer than the runs.
"""

import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess

import torch

from bioclinical.pretraining.recipe.schema import Recipe
from bioclinical.pretraining.training.composer_model import TrainedModel
from bioclinical.pretraining.training.run import run


def run_in_two_processes(recipes: Sequence[Recipe]) -> None:
    """The runs, one after the other, in the same two processes, as Composer's launcher would start them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = []
    for rank in range(2):
        environment = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "NODE_RANK": 0,
                       "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}  # fmt: skip
        processes.append(fork(run_all, recipes, {name: str(value) for name, value in environment.items()}))
    assert ended(processes) == [0, 0], "their messages are above"


def run_until_killed(recipe: Recipe, micro_batch: int) -> None:
    """The run in a process that is killed (-9) while it computes this micro-batch."""
    assert ended([fork(run_and_die, recipe, micro_batch)]) == [-signal.SIGKILL]


def fork(function: Callable[..., None], *arguments: object) -> BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    process.start()
    return process


def ended(processes: list[BaseProcess]) -> list[int | None]:
    """Exit codes; after one failure the others, which would wait for it, are ended."""
    for process in processes:
        process.join(300)
        if process.exitcode:
            break
    for process in processes:
        process.kill()
        process.join()
    return [process.exitcode for process in processes]


def run_all(recipes: Sequence[Recipe], environment: dict[str, str]) -> None:
    """In the forked process: as one of the processes that `environment` tells of."""
    os.environ.update(environment)
    begin_anew()
    for recipe in recipes:
        run(recipe)


def run_in_session(recipe: Recipe) -> None:
    """In the forked process: a run whose workers are a group with it, which can be signalled together."""
    os.setsid()
    begin_anew()
    run(recipe)


def run_and_die(recipe: Recipe, micro_batch: int) -> None:
    forward, numbers = TrainedModel.forward, iter(range(micro_batch + 1))

    def counted(model: TrainedModel, batch: dict) -> object:
        if next(numbers) == micro_batch:
            os.kill(os.getpid(), signal.SIGKILL)
        return forward(model, batch)

    TrainedModel.forward = counted
    begin_anew()
    run(recipe)


def begin_anew() -> None:
    torch.set_num_threads(1)  # the threads of the process that was forked are not in this one
    if torch.distributed.is_initialized():  # by an earlier run of that process
        torch.distributed.destroy_process_group()
