"""AdamW without bias correction, and LAMB, against their formulas written out; ELECTRA's schedule."""

import pytest
import torch

from bioclinical.pretraining.recipe.duration import Duration
from bioclinical.pretraining.recipe.schema import LinearDecayTimesWarmup
from bioclinical.pretraining.training.schedules import build_schedule
from bioclinical.pretraining.training.uncorrected_adamw import UncorrectedAdamW


@pytest.mark.parametrize("trust", [False, True])
def test_the_formula_step_by_step(trust):
    torch.manual_seed(0)
    decayed, plain = torch.nn.Parameter(torch.randn(4, 3)), torch.nn.Parameter(torch.randn(3))
    groups = [{"params": [decayed]}, {"params": [plain], "weight_decay": 0.0}]
    optimizer = UncorrectedAdamW(groups, lr=0.1, betas=(0.9, 0.99), eps=1e-6, weight_decay=0.01, trust=trust)
    values = [decayed.detach().clone(), plain.detach().clone()]
    moments = [[torch.zeros_like(one), torch.zeros_like(one)] for one in values]
    for _ in range(3):
        gradients = [torch.randn_like(one) for one in values]
        for number, (decay, gradient) in enumerate(zip((0.01, 0.0), gradients)):
            m, v = moments[number]
            m, v = 0.9 * m + 0.1 * gradient, 0.99 * v + 0.01 * gradient**2
            moments[number] = [m, v]
            update = m / (v.sqrt() + 1e-6) + decay * values[number]
            ratio = values[number].norm() / update.norm() if trust and decay else 1.0
            values[number] = values[number] - 0.1 * ratio * update
        decayed.grad, plain.grad = gradients
        optimizer.step()
    torch.testing.assert_close(decayed.detach(), values[0])
    torch.testing.assert_close(plain.detach(), values[1])


def test_lamb_moves_a_tensor_of_zeros_as_adam_would():
    one = torch.nn.Parameter(torch.zeros(2, 2))
    optimizer = UncorrectedAdamW([one], lr=0.1, betas=(0.9, 0.99), eps=1e-6, weight_decay=0.01, trust=True)
    one.grad = torch.ones(2, 2)
    optimizer.step()
    torch.testing.assert_close(one.detach(), torch.full((2, 2), -0.1 * 0.1 / (0.1 + 1e-6)))


def test_electras_warmup_multiplies_the_decay():
    warmup, whole = (Duration(value, "ba", f"{value}ba") for value in (10, 100))
    schedule = build_schedule(LinearDecayTimesWarmup(name="linear_decay_times_warmup", t_warmup=warmup), whole)
    for now in (0, 5, 10, 55, 100):
        assert schedule(now) == pytest.approx((1 - now / 100) * min(1, now / 10))
