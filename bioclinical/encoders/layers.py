"""Which layer of a network a weight belongs to, by its name: embeddings, numbered layers, or what follows them."""

import re
from collections.abc import Iterable

from bioclinical.errors import UserError

EMBEDDINGS = -1
# BERT's, ELECTRA's and DeBERTa's `layer.N`, ModernBERT's `layers.N`, GPT-2's `h.N`, T5's `block.N`, ALBERT's groups.
NUMBERED = re.compile(r"(?:^|\.)(?:layer|layers|h|block|albert_layer_groups)\.(\d+)\.")
# DeBERTa normalises its relative positions by `encoder.LayerNorm`, and its convolution reads the embeddings.
EMBEDDING = re.compile(r"(?:^|\.)(?:\w*embedding\w*|shared|wte|wpe)\.|(?:^|\.)encoder\.(?:LayerNorm|conv)\.")


def layer_numbers(names: Iterable[str]) -> dict[str, int]:
    """Each weight's layer: 0 to n - 1, EMBEDDINGS, or n for the head and what else follows the last layer (poolers,
    final norms). ALBERT shares one layer's weights, so that its n is the number of groups.

    Raises UserError for a network without numbered layers.
    """
    names = list(names)
    numbers = {name: int(found[1]) for name in names if (found := NUMBERED.search(name))}
    if not numbers:
        raise UserError("this network's layers are not known by name (layer.N, layers.N, h.N, block.N)")
    after_last = max(numbers.values()) + 1
    return {name: numbers.get(name, EMBEDDINGS if EMBEDDING.search(name) else after_last) for name in names}
