"""Operations that a forward pass needs for its true tokens: the numerator of the model FLOPs utilisation."""

import numpy as np
from torch import nn
from transformers import PreTrainedModel

from bioclinical.modeling.modernbert import layer_kinds
from bioclinical.modeling.window import WHOLE_DOCUMENT, Window

# Families that the formula describes; others share weights, attend sparsely or have further products.
COUNTED = ("bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert", "modernbert")


def forward_flops(encoder: PreTrainedModel, lengths: np.ndarray) -> float | None:
    """2 per weight of a linear layer and token, 4 x hidden per layer and pair of tokens that see each other.

    (The forward part of PaLM's count, arXiv 2204.02311, appendix B.) Padding does not count. None: not in COUNTED.
    """
    config, lengths = encoder.config, lengths.astype(float)
    if config.model_type not in COUNTED:
        return None
    layers = config.num_hidden_layers
    linear = {name: module for name, module in encoder.named_modules() if isinstance(module, nn.Linear)}
    weights = sum(module.weight.numel() for name, module in linear.items() if "pooler" not in name)
    is_modernbert = config.model_type == "modernbert"
    windows = [kind.window for kind in layer_kinds(config)] if is_modernbert else [WHOLE_DOCUMENT] * layers
    pairs = sum((lengths * tokens_seen(lengths, window)).sum() for window in windows)
    return float(2 * weights * lengths.sum() + 4 * config.hidden_size * pairs)


def tokens_seen(lengths: np.ndarray, window: Window) -> np.ndarray:
    """How many tokens each token of a document sees: all, or its window (whose parts beyond the ends count as well)."""
    left, right = window
    return lengths if left is None or right is None else np.minimum(lengths, left + right + 1)
