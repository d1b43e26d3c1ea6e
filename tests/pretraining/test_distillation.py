"""Distillation: nothing to learn from oneself, the formula's gradient, the teacher outside of all that is trained."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoConfig, AutoModelForMaskedLM

from bioclinical.errors import UserError
from bioclinical.modeling import chunks
from bioclinical.pretraining.architectures import stored_architecture
from bioclinical.pretraining.compute import Compute
from bioclinical.pretraining.data.rows import RowReader
from bioclinical.pretraining.objectives.distillation import Distillation, softened_divergence
from bioclinical.pretraining.recipe.schema import Dataset
from bioclinical.pretraining.recipe.schema import Distillation as Keys
from bioclinical.pretraining.training.composer_model import TrainedModel
from bioclinical.text.labels import IGNORED_LABEL
from bioclinical.text.tokenization import load_tokenizer

DATASET = Dataset(local="", split="train", max_seq_len=64, mlm_probability=0.15, shuffle_seed=5)


class Texts:
    def __init__(self, tokenizer):
        rng = np.random.default_rng(0)
        ids = [rng.integers(10, 400, length) for length in (30, 50, 12)]
        self.ids = [np.r_[tokenizer.cls_token_id, one, tokenizer.sep_token_id] for one in ids]

    def read(self, unit):
        return self.ids[unit], unit, 0


@pytest.fixture
def parts(tiny_model):
    """parts(family, ...) -> objective with a tiny teacher of the family, its networks without dropout, and a row."""

    def get(family="roberta", **keys):
        folder = tiny_model(family)
        tokenizer = load_tokenizer(folder)
        architecture = stored_architecture(AutoConfig.from_pretrained(folder).to_dict(), Compute())
        options = {"name": "distillation", "teacher": str(folder), "cosine_weight": 1.0} | keys
        objective = Distillation(Keys(**options), architecture, tokenizer)
        networks = {name: network.eval() for name, network in objective.networks(0).items()}
        row = RowReader(Texts(tokenizer), objective.examples(DATASET)).read_row(
            [(0, n) for n in range(3)], silent=False
        )
        return objective, networks, row

    return get


@pytest.mark.parametrize("family", ["roberta", "modernbert"])
def test_a_student_like_its_teacher_has_nothing_to_learn_from_it(parts, family):
    objective, networks, row = parts(family)
    networks["model"].load_state_dict(objective.teacher.state_dict())
    torch.nn.init.eye_(networks["projection"].weight)
    torch.nn.init.zeros_(networks["projection"].bias)
    sums = objective.loss_sums(networks, row)
    assert abs(float(sums["kl"])) < 1e-4 and abs(float(sums["cosine"])) < 1e-4
    sums["kl"].backward()
    gradients = [one.grad.abs().max() for one in networks["model"].parameters() if one.grad is not None]
    assert gradients and max(gradients) < 1e-4


def test_the_gradient_is_the_formulas():
    student, teacher = torch.randn(7, 11, requires_grad=True), torch.randn(7, 11)
    softened_divergence(student, teacher, 2.0).backward()
    expected = 2.0 * ((student / 2).softmax(-1) - (teacher / 2).softmax(-1))
    torch.testing.assert_close(student.grad, expected.detach(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("positions", ["all", "masked"])
def test_terms_against_a_plain_computation(parts, positions, monkeypatch):
    monkeypatch.setattr(chunks, "POSITIONS_AT_ONCE", 7)
    objective, networks, row = parts(kl_positions=positions, temperature=3.0)
    sums = objective.loss_sums(networks, row)
    entries, bounds = len(objective.tokenizer), row["cu_seqlens"].tolist()
    expected = dict.fromkeys(sums, 0.0)
    for start, end in itertools.pairwise(bounds):
        ids, labels = row["input_ids"][None, start:end], row["targets"]["labels"][start:end]
        ours = networks["model"](input_ids=ids, output_hidden_states=True)
        theirs = objective.teacher(input_ids=ids, output_hidden_states=True)
        expected["masked_tokens"] += F.cross_entropy(
            ours.logits[0], labels, reduction="sum", ignore_index=IGNORED_LABEL
        )
        where = labels != IGNORED_LABEL if positions == "masked" else torch.ones(end - start, dtype=torch.bool)
        p, q = ((one.logits[0, where, :entries] / 3).softmax(-1) for one in (theirs, ours))
        expected["kl"] += 9 * (p * (p / q).log()).sum()
        projected = networks["projection"](ours.hidden_states[-1][0])
        expected["cosine"] += (1 - F.cosine_similarity(projected, theirs.hidden_states[-1][0], dim=-1)).sum()
    for name, value in expected.items():
        torch.testing.assert_close(sums[name], value, atol=1e-4, rtol=1e-5)
    masked = int((row["targets"]["labels"] != IGNORED_LABEL).sum())
    assert row["weights"] == {"masked_tokens": masked, "kl": 98 if positions == "all" else masked, "cosine": 98}


def test_the_teacher_is_in_no_checkpoint_and_no_optimizer(parts):
    objective, networks, row = parts()
    model = TrainedModel(objective, networks)
    trained = {id(one) for one in model.parameters()}
    assert not trained & {id(one) for one in objective.teacher.parameters()}
    assert {name.split(".")[0] for name in model.state_dict()} == {"model", "projection"}
    model.train()
    loss = model({"rows": [row]})
    loss["total"].backward()
    assert all(one.grad is None for one in objective.teacher.parameters()) and not objective.teacher.training
    expected = 5 * loss["masked_tokens"] + 2 * loss["kl"] + loss["cosine"]
    torch.testing.assert_close(loss["total"], expected)


def test_no_projection_without_the_cosine(parts):
    objective, networks, _ = parts(cosine_weight=0.0)
    assert list(networks) == ["model"] and objective.terms["cosine"] == 0


def test_a_teacher_of_another_vocabulary_is_refused(tiny_model):
    folder = tiny_model("roberta")
    architecture = stored_architecture(AutoConfig.from_pretrained(folder).to_dict(), Compute())
    with pytest.raises(UserError, match="has another vocabulary than"):
        keys = Keys(name="distillation", teacher=str(tiny_model("bert")))
        Distillation(keys, architecture, load_tokenizer(folder))
    with pytest.raises(UserError, match="all weights of the distillation are 0"):
        keys = Keys(name="distillation", teacher=str(folder), masked_tokens_weight=0, kl_weight=0)
        Distillation(keys, architecture, load_tokenizer(folder))
    assert AutoModelForMaskedLM.from_pretrained(folder).config.model_type == "roberta"
