"""What decides a run's scores, as hashes, and the path that follows from them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioclinical.files import sha256_of_json


@dataclass(frozen=True)
class Identity:
    """What decides a run's scores, as hashes: the same identity is the same run."""

    dataset: str
    model: str
    model_sha256: str
    raw_sha256: str
    protocol: str
    settings: dict[str, Any]
    seed: int

    @property
    def model_name(self) -> str:
        """A folder's own name, or the hub id."""
        return Path(self.model).resolve().name if Path(self.model).is_dir() else self.model

    @property
    def group(self) -> str:
        """Common to runs that differ only in their seed."""
        return sha256_of_json(
            [self.dataset, self.model_sha256, self.raw_sha256, self.protocol, {**self.settings, "seed": None}]
        )

    def path(self, output_dir: Path) -> Path:
        """`<output_dir>/<dataset>/<model>-<8 hex>/seed=<n>_<8 hex>.json`."""
        model = self.model_name.replace("/", "--")
        run = sha256_of_json([self.group, self.seed])
        return output_dir / self.dataset / f"{model}-{self.model_sha256[:8]}" / f"seed={self.seed}_{run[:8]}.json"
