"""What --lora and --freeze ask for, read without torch."""

import re
from dataclasses import dataclass

from bioclinical.errors import UserError

EXAMPLE = "--lora r=8,alpha=16,dropout=0.05,targets=query+value"


@dataclass(frozen=True)
class LoraSpec:
    """Low-rank adapters (Hu et al. 2021): rank, scale (alpha / r), dropout before them, and the linear layers that get
    one, by the last part of their names; none named: all of the numbered layers."""

    r: int
    alpha: float
    dropout: float = 0.0
    targets: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "LoraSpec":
        """`r=8[,alpha=16][,dropout=0.05][,targets=query+value]`; alpha is 2 r unless given. Raises UserError."""
        given: dict[str, str] = {}
        for part in text.split(","):
            name, _, value = part.partition("=")
            if name not in ("r", "alpha", "dropout", "targets") or not value or name in given:
                raise UserError(f"--lora: '{part}' is not understood; write e.g. {EXAMPLE}")
            given[name] = value
        if not re.fullmatch(r"[1-9]\d{0,3}", given.get("r", "")):
            raise UserError(f"--lora needs a rank of 1 to 9999; write e.g. {EXAMPLE}")
        rank = int(given["r"])
        alpha, dropout = (
            number(given.get(name), name, default) for name, default in (("alpha", 2 * rank), ("dropout", 0))
        )
        if not 0 < alpha <= 10_000 or not 0 <= dropout < 1:
            raise UserError(f"--lora: alpha must be above 0 and dropout from 0 to below 1; write e.g. {EXAMPLE}")
        return cls(rank, alpha, dropout, tuple(sorted(set(filter(None, given.get("targets", "").split("+"))))))

    def __str__(self) -> str:
        """The same adapters in the same words, whatever the user left to the defaults."""
        targets = f",targets={'+'.join(self.targets)}" if self.targets else ""
        return f"r={self.r},alpha={self.alpha:g},dropout={self.dropout:g}{targets}"


def number(text: str | None, name: str, default: float) -> float:
    try:
        return default if text is None else float(text)
    except ValueError as error:
        raise UserError(f"--lora: {name}={text} is not a number") from error


def frozen_layers(text: str) -> tuple[bool, set[int]]:
    """(whether the embeddings are frozen, the numbers of the layers that are). Raises UserError."""
    embeddings, layers = False, set()
    for part in text.split(","):
        found = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part)
        if part == "embeddings":
            embeddings = True
        elif found and int(found[1]) <= int(found[2] or found[1]):
            layers |= set(range(int(found[1]), int(found[2] or found[1]) + 1))
        else:
            raise UserError(f"--freeze: '{part}' is not understood; write e.g. --freeze embeddings,0-11")
    return embeddings, layers
