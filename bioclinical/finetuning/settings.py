"""Everything about a fine-tuning run that can change its scores; its hash is part of the result's identity."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Settings:
    """Defaults are the published recipe. lr: peak learning rate; wd: AdamW weight decay; batch_size: examples per
    device and step; max_length: tokens, special tokens included, None for the published rule; limit: first N
    examples of each split, None for all; pooling: what a sequence task's test takes of longer texts, the `head` or the
    mean of the logits of all `windows`."""

    lr: float = 2e-5
    wd: float = 0.01
    epochs: int = 3
    seed: int = 42
    batch_size: int = 16
    accumulation_steps: int = 1
    max_length: int | None = None
    precision: str = "fp32"
    attn: str = "auto"
    group_by_length: bool = False
    limit: int | None = None
    pooling: str = "head"

    def without_seed(self) -> dict[str, object]:
        """What runs over several seeds have in common."""
        return {name: value for name, value in asdict(self).items() if name != "seed"}
