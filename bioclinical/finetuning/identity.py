"""What decides a fine-tuning run's scores, and so its name."""

from bioclinical.finetuning.settings import Settings
from bioclinical.results.identity import Identity
from bioclinical.tasks.task import TaskData


def identify(model: str, model_sha256: str, data: TaskData, settings: Settings, max_length: int) -> Identity:
    """The identity of a run. model: as named by the user; max_length: in tokens, as chosen."""
    return Identity(
        dataset=data.task.name,
        model=model,
        model_sha256=model_sha256,
        raw_sha256=data.raw_sha256,
        protocol=data.protocol,
        settings=settings.identity() | {"max_length": max_length},
        seed=settings.seed,
    )
