"""What runs through a model: the published sets of random tokens, or sets as long as the user's own texts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from bioclinical.errors import UserError
from bioclinical.files import read_utf8
from bioclinical.speed.request import PUBLISHED
from bioclinical.text.tables import TextReader

# As published: the seed of the lengths and the ids, the range of the ids, the shortest sample.
SEED = 42
IDS = (100, 16_000)
SHORTEST = 16


@dataclass(frozen=True)
class Workload:
    """Samples of random tokens: only their lengths are held; the ids are drawn where they are needed."""

    name: str
    longest: int  # tokens that every sample is padded to
    lengths: np.ndarray  # (samples,)
    nominal_length: float | None = None  # tokens that the published figures count for each sample


def published(name: str, num_samples: int) -> Workload:
    """One of the published sets; its lengths are the published script's own draw."""
    longest, normal = PUBLISHED[name]
    if normal is None:
        return Workload(name, longest, np.full(num_samples, longest), float(longest))
    drawn = torch.normal(*normal, (num_samples,), generator=torch.Generator().manual_seed(SEED))
    return Workload(name, longest, drawn.int().clamp(SHORTEST, longest).numpy(), normal[0])


def choose_published(requested: Sequence[str] | None, limit: int | None, model: str) -> list[str]:
    """The sets that the model's context (tokens; None: unknown) holds. Raises UserError where none can be run."""
    if unknown := [name for name in requested or [] if name not in PUBLISHED]:
        raise UserError(f"--datasets: unknown '{unknown[0]}'; known: {', '.join(PUBLISHED)}")
    if requested is None and limit is None:
        raise UserError(f"the config of '{model}' states no context limit; name sets, e.g. --datasets fixed_short")
    names = [name for name in requested or PUBLISHED if limit is None or PUBLISHED[name][0] <= limit]
    if not names:
        raise UserError(
            f"'{model}' takes {limit:,} tokens, less than the sets asked for; use shorter ones or --text_file"
        )
    return names


def from_texts(path: Path, tokenizer: PreTrainedTokenizerFast, limit: int | None, num_samples: int) -> Workload:
    """Lengths drawn from those of a user's texts, cut at the model's limit; no text is kept.

    A .txt file has a text per line; .csv, .tsv and .jsonl files have a column `notes`.
    """
    try:
        texts = read_utf8(path).split("\n") if path.suffix == ".txt" else texts_in(path)
        lengths = [len(tokenizer(text, verbose=False)["input_ids"]) for text in texts if text.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--text_file: '{path}' cannot be read as UTF-8 text ({type(error).__name__})") from error
    if not lengths:
        raise UserError(f"--text_file: '{path}' holds no text")
    drawn = np.random.default_rng(SEED).choice(lengths, num_samples, replace=num_samples > len(lengths))
    drawn = np.minimum(drawn, limit or drawn.max())
    return Workload("text_file", int(drawn.max()), drawn)


def texts_in(path: Path) -> Iterator[str]:
    """The column `notes` of a table."""
    return (row.text for row in TextReader(path).texts())


def draw_ids(workload: Workload, vocab_size: int, pad_id: int) -> Tensor:
    """(samples, longest) int32: uniform ids of the published range, within the vocabulary; padding at the end."""
    high, shape = min(IDS[1], vocab_size), (len(workload.lengths), workload.longest)
    generator = torch.Generator().manual_seed(SEED)
    ids = torch.randint(min(IDS[0], high // 2), high, shape, dtype=torch.int32, generator=generator)
    return ids.masked_fill_(torch.arange(workload.longest) >= torch.from_numpy(workload.lengths)[:, None], pad_id)
