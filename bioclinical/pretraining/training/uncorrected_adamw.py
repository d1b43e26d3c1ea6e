"""AdamW without bias correction, as ELECTRA and BERT were trained, and LAMB, its layer-wise form, as ALBERT was."""

from collections.abc import Iterable

import torch
from torch import Tensor


class UncorrectedAdamW(torch.optim.Optimizer):
    """m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  u = m / (sqrt(v) + eps) + decay p;  p <- p - lr r u.

    r is 1, or with `trust` |p| / |u| of the tensor (1 where either is 0, and in groups without weight decay): LAMB.
    A tensor that several layers share has one ratio. Sources: Clark et al. 2020 (arXiv:2003.10555) and You et al. 2019
    (arXiv:1904.00962) as in Google's ALBERT.
    """

    def __init__(
        self, params: Iterable, lr: float, betas: tuple[float, float], eps: float, weight_decay: float,
        trust: bool = False,
    ):  # fmt: skip
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "trust": trust, "step": 0}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure=None) -> Tensor | None:
        """One step over all groups; a closure, if given, computes the gradients first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                group["step"] += 1
                self.step_group(group, parameters)
        return loss

    def step_group(self, group: dict, parameters: list[Tensor]) -> None:
        gradients = [parameter.grad for parameter in parameters]
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter] = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
        means = [self.state[parameter]["exp_avg"] for parameter in parameters]
        squares = [self.state[parameter]["exp_avg_sq"] for parameter in parameters]
        beta1, beta2 = group["betas"]
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
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
