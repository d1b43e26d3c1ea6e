"""Losses for rare labels: against written-out formulas, against the plain loss, and independent of micro-batches."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight

from bioclinical import problems
from bioclinical.problems import losses

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(12, 3, generator=GENERATOR)
GOLD = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 1, 0])


def test_balanced_weights_are_those_of_scikit_learn():
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 2]), y=GOLD.numpy())
    assert losses.balanced_weights([8, 3, 1]) == pytest.approx(expected)
    assert losses.balanced_weights([8, 0, 4]) == pytest.approx([0.75, 1, 1.5])  # one that does not occur
    assert (losses.balanced_weights([8, 3, 1]) * [8, 3, 1]).sum() == pytest.approx(12)
    assert losses.positive_weights([2, 0, 10], 10) == pytest.approx([4, 1, 1])


def test_weighted_and_focal_terms():
    weights = losses.balanced_weights([8, 3, 1])
    shares = LOGITS.softmax(-1)[range(12), GOLD]
    weighted = losses.weighted_cross_entropy(weights)({"logits": LOGITS}, GOLD)
    assert weighted.item() == pytest.approx(np.mean([-weights[g] * p.log().item() for g, p in zip(GOLD, shares)]))
    focal = losses.focal_cross_entropy({"logits": LOGITS}, GOLD)
    assert focal.item() == pytest.approx((-((1 - shares) ** 2) * shares.log()).mean().item())
    alike = losses.weighted_cross_entropy(losses.balanced_weights([4, 4, 4]))({"logits": LOGITS}, GOLD)
    assert alike.item() == pytest.approx(F.cross_entropy(LOGITS, GOLD).item())


def test_several_labels():
    targets = (torch.rand(12, 3, generator=GENERATOR) < 0.4).float()
    shares = torch.where(targets == 1, LOGITS.sigmoid(), 1 - LOGITS.sigmoid())
    focal = losses.focal_binary({"logits": LOGITS}, targets)
    assert focal.item() == pytest.approx((-((1 - shares) ** 2) * shares.log()).mean().item(), rel=1e-5)
    own = torch.tensor([4.0, 1.0, 2.0])
    terms = -torch.where(targets == 1, own, torch.ones(3)) * shares.log()
    assert losses.weighted_binary(own.numpy())({"logits": LOGITS}, targets).item() == pytest.approx(terms.mean().item())


def test_ignored_words_do_not_count():
    logits, gold = LOGITS.view(2, 6, 3), GOLD.view(2, 6).clone()
    gold[0, 3:] = -100
    kept = gold.flatten() != -100
    for loss in (losses.focal_cross_entropy, losses.weighted_cross_entropy(np.array([1.0, 2.0, 4.0]))):
        assert loss({"logits": logits}, gold).item() == pytest.approx(loss({"logits": LOGITS[kept]}, GOLD[kept]).item())


def test_kinds_without_rare_labels_have_the_plain_loss_alone():
    for name in ("regression", "span_qa", "multiple_choice"):
        assert problems.get(name).losses == ("plain",)
