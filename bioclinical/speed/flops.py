"""Floating-point operations that a forward pass needs for its true tokens: the numerator of the utilisation."""

import numpy as np
from torch import nn
from transformers import PreTrainedModel

from bioclinical.modeling.modernbert import layer_kinds

# Families whose work the formula describes; others share weights, attend sparsely or have further products.
COUNTED = ("bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert", "modernbert")


def forward_flops(encoder: PreTrainedModel, lengths: np.ndarray) -> float | None:
    """2 per weight of a linear layer and token, and 4 x hidden per layer and pair of tokens that see each other.

    (PaLM, arXiv 2204.02311, appendix B, forward part.) Padding is not counted. None for families not in COUNTED.
    """
    config = encoder.config
    if config.model_type not in COUNTED:
        return None
    linear = sum(
        module.weight.numel()
        for name, module in encoder.named_modules()
        if isinstance(module, nn.Linear) and "pooler" not in name
    )
    windows = [None] * config.num_hidden_layers
    if config.model_type == "modernbert":
        windows = [kind.window for kind in layer_kinds(config)]
    lengths = lengths.astype(float)
    pairs = sum((lengths * (lengths if w is None else np.minimum(lengths, 2 * w + 1))).sum() for w in windows)
    return float(2 * linear * lengths.sum() + 4 * config.hidden_size * pairs)
