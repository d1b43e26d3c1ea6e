"""Cross-entropy per byte of text, which models of different vocabularies can be compared by."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from transformers import PreTrainedTokenizerFast

from bioclinical.text.vocabulary_match import entries_of, kind_of


class BitsPerByte(Metric):
    """Sum of the cross-entropies in bits / sum of the predicted tokens' bytes.

    sizes: bytes of the text of every id, (vocabulary,).
    """

    full_state_update = False

    def __init__(self, sizes: Tensor):
        super().__init__()
        self.register_buffer("sizes", sizes, persistent=False)
        self.add_state("nats", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("bytes", torch.tensor(0, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """logits: (n, vocabulary); labels: (n,), none of them ignored."""
        self.nats += F.cross_entropy(logits.float(), labels, reduction="sum").double()
        self.bytes += self.sizes[labels].sum()

    def compute(self) -> Tensor:
        return self.nats / (math.log(2) * self.bytes)


def bytes_of_ids(tokenizer: PreTrainedTokenizerFast, vocabulary: int) -> Tensor:
    """(vocabulary,) int64: the UTF-8 bytes of every entry's text, with the blank of those that begin a word.

    Exact for byte-level vocabularies. Others have lost case, accents or the width of blanks: there it is the size of
    the text as the tokenizer normalises it. Special tokens and unused ids have none.
    """
    sizes = torch.zeros(vocabulary, dtype=torch.int64)
    is_bytes = kind_of(tokenizer) == "bytes"
    for i, entry in entries_of(tokenizer).items():
        # An incomplete character is kept in the byte alphabet, a letter per byte.
        own = len(entry.text) if entry.is_bytes else len(entry.text.encode("utf-8"))
        sizes[i] = own + int(entry.starts_word and (is_bytes or bool(entry.text)))
    return sizes
