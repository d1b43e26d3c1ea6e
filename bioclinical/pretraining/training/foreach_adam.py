"""What optimizers of Adam's kind share here: steps over groups, and both running averages of all tensors at once."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class ForeachAdam(torch.optim.Optimizer):
    """A group counts its own steps; a subclass says in `step_group` how its parameters move."""

    def __init__(
        self, params: Iterable, lr: float, betas: tuple[float, float], eps: float, weight_decay: float, **own: Any
    ):
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, **own, "step": 0}
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
        raise NotImplementedError

    def averages(self, parameters: list[Tensor], betas: tuple[float, float]) -> tuple[list[Tensor], list[Tensor]]:
        """The running averages m of the gradients and v of their squares, with this step's: m <- b1 m + (1 - b1) g;
        v <- b2 v + (1 - b2) g^2.
        """
        gradients = [parameter.grad for parameter in parameters]
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter] = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
        means = [self.state[parameter]["exp_avg"] for parameter in parameters]
        squares = [self.state[parameter]["exp_avg_sq"] for parameter in parameters]
        torch._foreach_lerp_(means, gradients, 1 - betas[0])
        torch._foreach_mul_(squares, betas[1])
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - betas[1])
        return means, squares
