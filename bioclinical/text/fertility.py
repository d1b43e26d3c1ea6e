"""Fertility: into how many pieces a tokenizer cuts the words of a corpus.

Words stand between white space and are encoded as inside a running text (a blank before them), without special tokens.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

# Of the BioMedLM paper: one piece each in a vocabulary learned on biomedical text, several in GPT-2's.
EXAMPLE_WORDS = (
    "chromatography",
    "cytotoxicity",
    "Immunohistochemistry",
    "photosynthesis",
    "probiotic",
    "thrombin",
)
ENCODED_AT_ONCE = 50_000


@dataclass(frozen=True)
class Fertility:
    """Sums over words, each counted as often as its weight says."""

    words: int = 0
    tokens: int = 0
    whole: int = 0
    characters: int = 0
    unknown: int = 0

    @property
    def tokens_per_word(self) -> float:
        return self.tokens / self.words

    @property
    def whole_share(self) -> float:
        """Words that are one token (the rest is cut into two or more)."""
        return self.whole / self.words

    @property
    def characters_per_token(self) -> float:
        return self.characters / self.tokens

    @property
    def unknown_share(self) -> float:
        """Tokens that stand for something the tokenizer cannot write."""
        return self.unknown / self.tokens

    def to_json(self) -> dict[str, float]:
        shares = ("tokens_per_word", "whole_share", "characters_per_token", "unknown_share")
        return asdict(self) | {name: round(getattr(self, name), 6) for name in shares}


def fertility(tokenizer: "PreTrainedTokenizerFast", words: Mapping[str, int]) -> tuple[Fertility, Fertility]:
    """(over running text, over distinct words) of words with their counts, read by `load_tokenizer`'s tokenizer.

    Raises ValueError where there is no word.
    """
    if not words:
        raise ValueError("no words to measure")
    text, distinct = [0] * 5, [0] * 5
    backend = plain_backend(tokenizer)
    entries = list(words.items())
    for at in range(0, len(entries), ENCODED_AT_ONCE):
        part = entries[at : at + ENCODED_AT_ONCE]
        encoded = backend.encode_batch_fast([word for word, _ in part], add_special_tokens=False)
        for (word, count), encoding in zip(part, encoded):
            tokens = len(encoding.ids)
            unknown = 0 if tokenizer.unk_token_id is None else encoding.ids.count(tokenizer.unk_token_id)
            measures = (1, tokens, int(tokens == 1 and not unknown), len(word), unknown)
            for index, measure in enumerate(measures):
                text[index] += count * measure
                distinct[index] += measure
    return Fertility(*text), Fertility(*distinct)


def pieces_of_words(tokenizer: "PreTrainedTokenizerFast", words: Iterable[str]) -> dict[str, int]:
    """The number of tokens of each word."""
    backend = plain_backend(tokenizer)
    return {word: len(backend.encode(word, add_special_tokens=False).ids) for word in words}


def plain_backend(tokenizer: "PreTrainedTokenizerFast") -> "Tokenizer":
    """The backend without the padding and truncation that a tokenizer.json may carry."""
    backend = tokenizer.backend_tokenizer
    backend.no_padding()
    backend.no_truncation()
    return backend
