"""Operations that a forward pass needs for its true tokens: the numerator of the model FLOPs utilisation."""

import numpy as np
from transformers import PreTrainedModel

from bioclinical.modeling import flops


def encoder_flops(encoder: PreTrainedModel, lengths: np.ndarray) -> float | None:
    """Of an encoder for documents of these lengths; a pooler, which sees one token, does not count.

    None for a family that the formula does not describe.
    """
    if encoder.config.model_type not in flops.COUNTED:
        return None
    pooler = getattr(encoder, "pooler", None)
    weights = flops.matrix_weights(encoder) - (flops.matrix_weights(pooler) if pooler else 0)
    return flops.forward_flops(encoder.config, weights, lengths)
