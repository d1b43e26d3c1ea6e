"""Learning rates that fall towards the input, as ELECTRA is fine-tuned (Clark et al. 2020, appendix B)."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from torch import nn

from bioclinical.encoders.layers import layer_numbers


def layer_rates(names: Collection[str], lr: float, decay: float) -> dict[str, float]:
    """Each weight's peak learning rate: lr * decay ** (n + 2 - depth) of a network with n layers.

    Depths are ELECTRA's: 0 of embeddings, i + 1 of layer i, n + 2 of the head, which keeps the whole rate; the last
    layer has decay ** 2. Raises UserError for a network without numbered layers.
    """
    layers = layer_numbers(names)
    after_last = max(layers.values())
    head = after_last + 2
    depths = {name: head if layer == after_last else layer + 1 for name, layer in layers.items()}
    return {name: lr * decay ** (head - depth) for name, depth in depths.items()}


def parameter_groups(
    model: nn.Module, lr: float, decay: float, wd: float, decayed: Collection[str]
) -> list[dict[str, Any]]:
    """The optimizer's groups, one for each learning rate with and without weight decay.

    decayed: names of the weights with weight decay.
    """
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    rates = layer_rates([name for name, _ in model.named_parameters()], lr, decay)
    groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    for name, weight in trained.items():
        groups[rates[name], wd if name in decayed else 0.0].append(weight)
    return [{"params": weights, "lr": rate, "weight_decay": own} for (rate, own), weights in groups.items()]
