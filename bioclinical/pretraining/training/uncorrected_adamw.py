"""AdamW without bias correction, as ELECTRA and BERT were trained, and LAMB, its layer-wise form, as ALBERT was."""

from collections.abc import Iterable

import torch
from torch import Tensor

from bioclinical.pretraining.training.foreach_adam import ForeachAdam


class UncorrectedAdamW(ForeachAdam):
    """m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  u = m / (sqrt(v) + eps) + decay p;  p <- p - lr r u.

    r is 1, or with `trust` |p| / |u| of the tensor (1 where either is 0, and in groups without weight decay): LAMB.
    A tensor that several layers share has one ratio. Sources: Clark et al. 2020 (arXiv:2003.10555) and You et al. 2019
    (arXiv:1904.00962) as in Google's ALBERT.
    """

    def __init__(
        self, params: Iterable, lr: float, betas: tuple[float, float], eps: float, weight_decay: float,
        trust: bool = False,
    ):  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay, trust=trust)

    def step_group(self, group: dict, parameters: list[Tensor]) -> None:
        means, squares = self.averages(parameters, group["betas"])
        roots = torch._foreach_sqrt(squares)
        torch._foreach_add_(roots, group["eps"])
        updates = torch._foreach_div(means, roots)
        if group["weight_decay"]:
            torch._foreach_add_(updates, parameters, alpha=group["weight_decay"])
        if group["trust"] and group["weight_decay"]:
            sizes = torch.stack(torch._foreach_norm(parameters)), torch.stack(torch._foreach_norm(updates))
            ratios = torch.where((sizes[0] > 0) & (sizes[1] > 0), sizes[0] / sizes[1], 1.0)
            torch._foreach_mul_(updates, list(ratios.unbind()))
        torch._foreach_add_(parameters, updates, alpha=-group["lr"])
