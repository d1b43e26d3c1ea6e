"""Operations of an encoder's forward pass: what model FLOPs utilisation counts, in training and in inference.

2 per weight of a matrix and token, 4 x hidden per layer and pair of tokens that see each other: the forward part of
PaLM's count (arXiv 2204.02311, appendix B). A backward pass takes twice as much. Padding does not count.
"""

import numpy as np
from torch import nn
from transformers import PretrainedConfig

from bioclinical.modeling.modernbert import layer_kinds
from bioclinical.modeling.window import WHOLE_DOCUMENT, Window, causal

# Families that the formula describes; others share weights, attend sparsely or have further products.
COUNTED = ("bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert", "modernbert")


def matrix_weights(module: nn.Module) -> int:
    """Weights of its linear layers."""
    return sum(part.weight.numel() for part in module.modules() if isinstance(part, nn.Linear))


def forward_flops(
    config: PretrainedConfig,
    weights: int,
    lengths: np.ndarray,
    head: int = 0,
    predicted: int = 0,
    is_causal: bool = False,
) -> float:
    """For documents of these lengths: `weights` of the layers' matrices, and `head` for `predicted` tokens only."""
    dense = 2.0 * (weights * float(lengths.sum()) + head * predicted)
    return dense + attention_flops(config, lengths, is_causal)


def attention_flops(config: PretrainedConfig, lengths: np.ndarray, is_causal: bool = False) -> float:
    """Of all layers, for documents of these lengths in tokens."""
    lengths, layers = lengths.astype(float), config.num_hidden_layers
    is_modernbert = config.model_type == "modernbert"
    windows = [kind.window for kind in layer_kinds(config)] if is_modernbert else [WHOLE_DOCUMENT] * layers
    seen = [causal(window) for window in windows] if is_causal else windows
    pairs = sum((lengths * tokens_seen(lengths, window)).sum() for window in seen)
    return 4.0 * config.hidden_size * float(pairs)


def tokens_seen(lengths: np.ndarray, window: Window) -> np.ndarray:
    """How many tokens each token of a document sees: all, those up to itself (in the mean), or its window (whose parts
    beyond the ends count as well)."""
    left, right = window
    if left is None and right == 0:
        return (lengths + 1) / 2
    return lengths if left is None or right is None else np.minimum(lengths, left + right + 1)
