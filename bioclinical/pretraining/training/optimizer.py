"""Optimizers of pre-training: StableAdamW with and without fully decoupled weight decay, two AdamWs, those of ELECTRA
and ALBERT.
"""

from collections.abc import Iterable

import torch
from composer.optim import DecoupledAdamW
from torch import Tensor, nn

from bioclinical.pretraining.recipe.schema import Optimizer
from bioclinical.pretraining.training.foreach_adam import ForeachAdam
from bioclinical.pretraining.training.uncorrected_adamw import UncorrectedAdamW


def build_optimizer(model: nn.Module, section: Optimizer) -> torch.optim.Optimizer:
    """The optimizer of a recipe's section, over one or two parameter groups."""
    groups = parameter_groups(model, section.weight_decay, section.filter_bias_norm_wd)
    common = {"lr": section.lr, "betas": section.betas, "eps": section.eps, "weight_decay": section.weight_decay}
    if section.name == "decoupled_adamw":
        return DecoupledAdamW(groups, **common)
    if section.name in ("uncorrected_adamw", "lamb"):
        return UncorrectedAdamW(groups, **common, trust=section.name == "lamb")
    if section.name == "adamw":
        return torch.optim.AdamW(groups, **common)
    return StableAdamW(groups, **common, max_lr=section.lr if section.name == "decoupled_stableadamw" else None)


def parameter_groups(model: nn.Module, weight_decay: float, filter_bias_norm: bool) -> list[dict]:
    """All parameters, or first those without weight decay (biases, norms: one dimension), then the others."""
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if not filter_bias_norm:
        return [{"params": [parameter for _, parameter in named]}]
    plain = [parameter.ndim <= 1 or name.endswith(".bias") for name, parameter in named]
    return [
        {"params": [parameter for (_, parameter), is_plain in zip(named, plain) if is_plain], "weight_decay": 0.0},
        {"params": [parameter for (_, parameter), is_plain in zip(named, plain) if not is_plain]},
    ]


class StableAdamW(ForeachAdam):
    """AdamW whose learning rate shrinks, per tensor, where the update would be unusually large.

    With debiased b1', b2' (b' = b (1 - b^(t-1)) / (1 - b^t)):  m <- b1' m + (1 - b1') g;  v <- b2' v + (1 - b2') g^2;
    lr_p = lr / max(1, sqrt(mean(g^2 / max(v, eps^2))));  p <- p (1 - decay);  p <- p - lr_p m / (sqrt(v) + eps), where
    decay is lr_p weight_decay, or (lr_p / max_lr) weight_decay if max_lr is given (fully decoupled weight decay).
    Source: Wortsman et al. 2023 (arXiv:2304.13013), as torch-optimi's StableAdamW computes it. No step waits for the
    device, and gradients are left as they are.
    """

    def __init__(
        self, params: Iterable, lr: float, betas: tuple[float, float], eps: float, weight_decay: float,
        max_lr: float | None = None,
    ):  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay, max_lr=max_lr)

    def step_group(self, group: dict, parameters: list[Tensor]) -> None:
        betas = tuple(debiased(beta, group["step"]) for beta in group["betas"])
        means, squares = self.averages(parameters, betas)
        gradients = [parameter.grad for parameter in parameters]
        roots = torch._foreach_sqrt(squares)
        # |g| / max(sqrt(v), eps) is the square root of g^2 / max(v, eps^2): its root mean square is the norm over
        # sqrt(n).
        scaled = torch._foreach_div(gradients, torch._foreach_maximum(roots, group["eps"]))
        sizes = torch.tensor([parameter.numel() for parameter in parameters], dtype=torch.float32).sqrt()
        rms = torch.stack(torch._foreach_norm(scaled)).float() / sizes.to(parameters[0].device, non_blocking=True)
        rates = group["lr"] / rms.clamp(min=1.0)

        torch._foreach_add_(roots, group["eps"])
        updates = torch._foreach_div(means, roots)
        torch._foreach_mul_(updates, list(rates.unbind()))
        if group["weight_decay"]:
            kept = 1 - rates * (group["weight_decay"] / (group["max_lr"] or 1.0))
            torch._foreach_mul_(parameters, list(kept.unbind()))
        torch._foreach_sub_(parameters, updates)


def debiased(beta: float, step: int) -> float:
    """The beta that makes a running average, begun at zero, an unbiased one at step 1, 2, ..."""
    return beta * (1 - beta ** (step - 1)) / (1 - beta**step)
