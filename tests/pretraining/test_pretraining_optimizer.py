"""StableAdamW against its formula in fp64 and against torch-optimi; parameter groups."""

import copy
import math

import optimi
import pytest
import torch
from torch import nn

from bioclinical.pretraining.recipe import schema
from bioclinical.pretraining.training.optimizer import StableAdamW, build_optimizer, parameter_groups


def reference_step(p, g, m, v, t, lr, b1, b2, eps, decay, max_lr):
    """The published formula, one tensor, in fp64."""
    b1, b2 = (b * (1 - b ** (t - 1)) / (1 - b**t) for b in (b1, b2))
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
    rms = math.sqrt((g * g / torch.clamp(v, min=eps * eps)).mean())
    rate = lr / max(1, rms)
    p = p * (1 - rate * decay / (max_lr or 1)) - rate * m / (v.sqrt() + eps)
    return p, m, v


@pytest.mark.parametrize("max_lr", [None, 1e-2])
@pytest.mark.filterwarnings("ignore:You are using weight_decay")
def test_stable_adamw(max_lr):
    torch.manual_seed(0)
    shapes = [(30, 20), (7,), (5, 4, 3)]
    ours = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    theirs = [nn.Parameter(one.detach().clone()) for one in ours]
    exact = [(one.detach().double(), 0.0, 0.0) for one in ours]
    optimizer = StableAdamW(ours, lr=1e-2, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.1, max_lr=max_lr)
    other = optimi.StableAdamW(theirs, lr=1e-2, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.1, foreach=False, triton=False,
                               decouple_lr=max_lr is not None, max_lr=max_lr)  # fmt: skip
    for step in range(1, 31):
        lr = 1e-2 * 0.95**step
        for number, (one, two) in enumerate(zip(ours, theirs)):
            one.grad = torch.randn_like(one) * (20 if step % 7 == 0 else 0.1)
            two.grad = one.grad.clone()
            exact[number] = reference_step(exact[number][0], one.grad.double(), *exact[number][1:], step, lr, 0.9, 0.98,
                                           1e-6, 0.1, max_lr)  # fmt: skip
        for group in (*optimizer.param_groups, *other.param_groups):
            group["lr"] = lr
        gradients = [one.grad.clone() for one in ours]
        optimizer.step()
        other.step()
        assert all(torch.equal(one.grad, kept) for one, kept in zip(ours, gradients))
    for one, two, (three, *_) in zip(ours, theirs, exact):
        torch.testing.assert_close(one.double(), three, atol=2e-6, rtol=0)
        torch.testing.assert_close(one, two, atol=2e-6, rtol=0)


def test_state_restores_exactly():
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    optimizer = StableAdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.0)
    step = lambda m, o: (o.zero_grad(), m(torch.ones(2, 4)).square().sum().backward(), o.step())  # noqa: E731
    for _ in range(3):
        step(model, optimizer)
    twin = copy.deepcopy(model)
    other = StableAdamW(twin.parameters(), lr=1.0, betas=(0.5, 0.5), eps=1e-3, weight_decay=0.0)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for _ in range(3):
        step(model, optimizer)
        step(twin, other)
    assert torch.equal(model.weight, twin.weight)


@pytest.mark.parametrize("name", ["decoupled_stableadamw", "stableadamw", "decoupled_adamw", "adamw"])
def test_optimizers_of_the_schema_learn(name):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 1))
    section = schema.Optimizer(
        name=name, lr=1e-2, betas=(0.9, 0.98), eps=1e-6, weight_decay=1e-5, filter_bias_norm_wd=True, log_grad_norm=None
    )
    optimizer = build_optimizer(model, section)
    inputs = torch.randn(64, 4)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = (model(inputs).squeeze() - inputs.sum(1)).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_groups():
    model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8))
    groups = parameter_groups(model, 0.1, True)
    assert [sorted(p.ndim for p in group["params"]) for group in groups] == [[1, 1, 1], [2]]
    assert len(parameter_groups(model, 0.1, False)) == 1
