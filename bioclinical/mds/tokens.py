"""Documents -> token ids -> samples: whole documents are tokenised, then cut and wrapped."""

import hashlib
import os
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerFast

from bioclinical.errors import UserError


def use_threads(count: int) -> None:
    """Lets tokenizers encode with `count` threads; call before the first batch (its thread pool never changes)."""
    os.environ["RAYON_NUM_THREADS"] = str(count)
    os.environ["TOKENIZERS_PARALLELISM"] = "true"


def id_dtype(tokenizer: PreTrainedTokenizerFast) -> np.dtype:
    """uint16 where every id of the vocabulary fits, else uint32."""
    return np.dtype(np.uint16 if max(tokenizer.get_vocab().values()) < 2**16 else np.uint32)


def tokenizer_sha256(tokenizer: PreTrainedTokenizerFast) -> str:
    """Hash of everything that decides the ids: vocabulary, merges, added tokens, normalisation, prefix space."""
    return hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode("utf-8")).hexdigest()


@dataclass(frozen=True)
class Wrapping:
    """The ids put around every sample, and how many of the document's own ids fit between them."""

    bos: tuple[int, ...]
    eos: tuple[int, ...]
    body_length: int


def choose_wrapping(tokenizer: PreTrainedTokenizerFast, concat_tokens: int, bos_text: str, eos_text: str) -> Wrapping:
    """The wrapping of samples of at most `concat_tokens` ids; an empty text means none on that side.

    Raises UserError where the tokenizer lacks one of the tokens, or nothing fits between them.
    """
    bos, eos = (wrapping_ids(tokenizer, text, flag) for text, flag in ((bos_text, "bos"), (eos_text, "eos")))
    body_length = concat_tokens - len(bos) - len(eos)
    if body_length < 1:
        raise UserError(f"--concat_tokens {concat_tokens} leaves no room for text; {len(bos) + len(eos) + 1} or more")
    return Wrapping(bos, eos, body_length)


def wrapping_ids(tokenizer: PreTrainedTokenizerFast, text: str, flag: str) -> tuple[int, ...]:
    """The one id of a token given by its text; none for an empty text."""
    if not text:
        return ()
    vocabulary = tokenizer.get_vocab()
    if text not in vocabulary:
        known = " ".join(tokenizer.all_special_tokens)
        raise UserError(
            f"the tokenizer has no token '{text}'; its special tokens are: {known}. "
            f"Choose with --{flag}_text, or write without with --no_wrap"
        )
    return (vocabulary[text],)


class Encoder:
    """Turns texts into samples; safe to call from several threads."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, wrapping: Wrapping):
        self.dtype = id_dtype(tokenizer)
        self.wrapping = wrapping
        self.bos, self.eos = np.array(wrapping.bos, self.dtype), np.array(wrapping.eos, self.dtype)
        self.backend = tokenizer.backend_tokenizer
        # A tokenizer.json may carry both; a document is never truncated or padded.
        self.backend.no_truncation()
        self.backend.no_padding()

    def encode(self, texts: list[str]) -> list[list[np.ndarray]]:
        """The samples of each text: 1-D arrays of at most `concat_tokens` ids; none for a text without tokens."""
        # The "fast" call leaves out character offsets, which nobody reads here; the ids are the same.
        encodings = self.backend.encode_batch_fast(texts, add_special_tokens=False)
        return [self.cut(np.array(encoding.ids, dtype=self.dtype)) for encoding in encodings]

    def cut(self, ids: np.ndarray) -> list[np.ndarray]:
        """A document's ids (documents' own only, 1-D) as wrapped samples, full ones first."""
        step = self.wrapping.body_length
        return [np.concatenate((self.bos, ids[at : at + step], self.eos)) for at in range(0, len(ids), step)]

    def unwrap(self, samples: list[np.ndarray]) -> np.ndarray:
        """The inverse of `cut`: a document's ids from its samples."""
        return np.concatenate([sample[len(self.bos) : len(sample) - len(self.eos)] for sample in samples])
