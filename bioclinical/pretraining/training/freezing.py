"""Layers that a phase leaves as they are, as in the ablation of arXiv 2605.12438."""

from collections.abc import Sequence

from torch import nn

from bioclinical.errors import UserError


def freeze_layers(layers: Sequence[nn.Module], span: list[int]) -> str:
    """Takes the layers [first, end) of a model's out of training; what to tell about it.

    The recipe's `freeze_layers: [0, 8]` are the eight layers next to the input. Embeddings, head and the other layers
    are trained. Raises UserError where the two numbers are no part of the layers, or all of them.
    """
    whole = [one for one in span if isinstance(one, int) and not isinstance(one, bool)]
    if len(span) != 2 or len(whole) != 2 or not 0 <= span[0] < span[1] <= len(layers):
        raise UserError(
            f"freeze_layers: '{span}' must be two numbers [first, end] with 0 <= first < end <= {len(layers)}, the "
            "number of layers"
        )
    for layer in layers[span[0] : span[1]]:
        layer.requires_grad_(False)
    return f"frozen: layers {span[0]} to {span[1] - 1} of {len(layers)}"
