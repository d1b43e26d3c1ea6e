"""Schedules against values computed by hand."""

import pytest

from bioclinical.errors import UserError
from bioclinical.pretraining.recipe.duration import parse_duration
from bioclinical.pretraining.recipe.schema import SCHEDULERS
from bioclinical.pretraining.recipe.sections import read_section
from bioclinical.pretraining.training.schedules import build_schedule


def schedule(end: str = "1000tok", **config):
    section = read_section("scheduler.", config, SCHEDULERS[config["name"]])
    return build_schedule(section, parse_duration(end))


@pytest.mark.parametrize(("config", "expected"), [
    ({"name": "constant_with_warmup", "t_warmup": "100tok"}, {0: 0, 25: 0.25, 100: 1, 1000: 1}),
    ({"name": "constant_with_warmup", "t_warmup": "0tok"}, {0: 1, 1000: 1}),
    ({"name": "linear_decay_with_warmup", "t_warmup": "0.1dur", "alpha_f": 0.1}, {50: 0.5, 100: 1, 550: 0.55, 1000: 0.1}),
    ({"name": "cosine_with_warmup", "t_warmup": "200tok", "alpha_f": 0.2}, {100: 0.5, 200: 1, 600: 0.6, 1000: 0.2}),
    ({"name": "warmup_stable_decay", "t_warmup": "100tok", "t_decay": "400tok", "alpha_f": 0.5},
     {0: 1e-10, 50: 0.5, 100: 1, 600: 1, 800: 0.75, 1000: 0.5}),
    ({"name": "warmup_stable_decay", "t_warmup": "100tok", "t_decay": "0tok", "alpha_f": 0.0}, {500: 1, 1000: 1}),
    ({"name": "one_minus_sqrt", "t_decay": "1000tok", "t_max": "1000tok", "alpha_f": 0.001},
     {0: 1, 250: 0.5005, 640: 0.001 + 0.999 * 0.2, 1000: 0.001, 1010: 0.001}),
    ({"name": "one_minus_sqrt", "t_decay": "0.1dur", "t_max": "1dur", "alpha_f": 0.1}, {900: 1, 925: 0.55, 1000: 0.1}),
])  # fmt: skip
def test_by_hand(config, expected):
    multiplier = schedule(**config)
    assert {now: multiplier(now) for now in expected} == pytest.approx(expected)


def test_late_decay_of_phase2_large():
    """Two passes constant, the third decays; a quarter into it the rate is halved, whatever alpha_f leaves."""
    multiplier = schedule("8_247_337_000tok", name="one_minus_sqrt", t_decay="2_749_112_000tok", t_max="8_247_337_000tok",
                          alpha_f=0.001)  # fmt: skip
    assert multiplier(5_498_225_000) == 1
    assert multiplier(5_498_225_000 + 687_278_000) == pytest.approx(0.001 + 0.999 * 0.5)
    assert multiplier(8_247_337_000) == pytest.approx(0.001)


@pytest.mark.parametrize(("config", "message"), [
    ({"name": "constant_with_warmup", "t_warmup": "5ba"}, "must be in the unit of max_duration"),
    ({"name": "cosine_with_warmup", "t_warmup": "2000tok", "alpha_f": 0.0}, "longer than max_duration"),
    ({"name": "one_minus_sqrt", "t_decay": "900tok", "t_max": "800tok", "alpha_f": 0.0}, "longer than t_max"),
])  # fmt: skip
def test_times_that_do_not_fit(config, message):
    with pytest.raises(UserError, match=message):
        schedule(**config)
