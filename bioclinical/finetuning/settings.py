"""Everything about a fine-tuning run that can change its scores."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from bioclinical.problems.operating_point import Aim

SEED_SCOPES = ("all", "head")
PUBLISHED_TRAINING_SEED = 42  # the published procedure passes no seed to its trainer, whose default this is


def always_in_identity(default: Any) -> Any:
    """A setting of the first release: stated in a run's identity whatever its value."""
    return field(default=default, metadata={"always_in_identity": True})


# What a run without training can be asked for.
UNTRAINED = ("zero_shot", "shots", "batch_size", "max_length", "precision", "attn", "limit", "options")


@dataclass(frozen=True)
class Settings:
    """Defaults are the published recipe.

    lr: peak learning rate; wd: AdamW weight decay; batch_size: examples per device and step; max_length: tokens,
    special tokens included, None for the published rule; limit: first N examples of each split, None for all; pooling:
    what a sequence task's test takes of longer texts, the `head` or the mean of the logits of all `windows`; warmup: of
    the learning rate, below 1 the share of all steps, else steps; eval_steps: steps between evaluations, None for one
    an epoch; options: `NAME=VALUE` of the problem's own settings, sorted; layer_decay: the learning rate of a layer by
    that of the next; seed_scope: what the seed decides, `all` that is random, or as published the new `head` alone;
    loss: a name of bioclinical/problems/losses.py; patience: evaluations without a better score after which training
    ends, None for never; calibrate: whether the test is made with a temperature and thresholds chosen on validation;
    operating_point: what the thresholds are chosen for, None for the best F1; zero_shot: how a causal model is
    asked without training, None for training; shots: training examples that stand before each question then; lora:
    adapters (LoraSpec) that are trained in place of the weights; freeze: parts that are not trained.

    A setting added later has a plain default and is part of a run's identity only where it differs from that, so that
    runs that finished before still count as finished.
    """

    lr: float = always_in_identity(2e-5)
    wd: float = always_in_identity(0.01)
    epochs: int = always_in_identity(3)
    seed: int = always_in_identity(42)
    batch_size: int = always_in_identity(16)
    accumulation_steps: int = always_in_identity(1)
    max_length: int | None = always_in_identity(None)
    precision: str = always_in_identity("fp32")
    attn: str = always_in_identity("auto")
    group_by_length: bool = always_in_identity(False)
    limit: int | None = always_in_identity(None)
    pooling: str = "head"
    warmup: float = 0.0
    eval_steps: int | None = None
    options: tuple[str, ...] = ()
    layer_decay: float = 1.0
    seed_scope: str = "all"
    loss: str = "plain"
    patience: int | None = None
    calibrate: bool = False
    operating_point: str | None = None
    zero_shot: str | None = None
    shots: int = 0
    lora: str | None = None
    freeze: str | None = None

    @property
    def training_seed(self) -> int:
        """Of shuffling and dropout, once the model with its new head is there."""
        return self.seed if self.seed_scope == "all" else PUBLISHED_TRAINING_SEED

    @property
    def aim(self) -> Aim | None:
        """What thresholds are chosen for. Raises UserError for an unreadable one."""
        return Aim.parse(self.operating_point) if self.operating_point else None

    @property
    def of_training(self) -> list[str]:
        """The settings of training that are not at their default, which a run without training cannot have."""
        return [f.name for f in fields(self) if f.name not in UNTRAINED and getattr(self, f.name) != f.default]

    def identity(self) -> dict[str, Any]:
        """The settings that name a run: the same ones, hashed, are the same run."""
        stated = {f.name for f in fields(self) if f.metadata or getattr(self, f.name) != f.default}
        return {name: value for name, value in asdict(self).items() if name in stated}
