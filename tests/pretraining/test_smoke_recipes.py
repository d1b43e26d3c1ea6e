"""Every objective and architecture in miniature: a run whose loss falls, its export, and what loads it."""

import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from bioclinical.checkpoints.export import export
from bioclinical.pretraining.training.progress import read_metrics
from bioclinical.pretraining.training.run import run


@pytest.fixture
def train(miniature, tmp_path):
    """Runs a miniature for some steps; returns its folder."""

    def go(name, family, steps=30, **changes):
        durations = dict.fromkeys(("max_duration", "eval_interval", "save_interval"), f"{steps}ba")
        run(miniature(name, family, tmp_path / name, **durations | changes))
        return tmp_path / name

    return go


def losses(folder, name="loss/train/total"):
    values = [record[name] for record in read_metrics(folder) if name in record]
    return values[0], sum(values[-5:]) / 5


def test_gpt2(train, tmp_path):
    folder = train("gpt2", "gpt2")
    first, last = losses(folder)
    assert last < first - 0.3
    measured = next(record for record in read_metrics(folder) if "metrics/eval/BitsPerByte" in record)
    assert 0 < measured["metrics/eval/BitsPerByte"] < 8
    assert export(folder / "latest-rank0.pt", tmp_path / "out", None, None, False) < 1e-4
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    batch = AutoTokenizer.from_pretrained(tmp_path / "out")("chest pain", return_tensors="pt")
    assert (
        model.generate(**batch, max_new_tokens=3, do_sample=False, pad_token_id=0).shape[1]
        == len(batch.input_ids[0]) + 3
    )


def test_electra_has_two_folders(train, tmp_path):
    folder = train("electra", "electra")
    first, last = losses(folder)
    assert last < first
    assert any("metrics/eval/ReplacedAUROC" in record for record in read_metrics(folder))
    export(folder / "latest-rank0.pt", tmp_path / "out", None, None, False)
    discriminator = AutoModel.from_pretrained(tmp_path / "out")
    generator = AutoModelForMaskedLM.from_pretrained(tmp_path / "out-generator")
    assert (discriminator.config.hidden_size, generator.config.hidden_size) == (64, 16)
    shared = generator.get_input_embeddings().weight
    assert torch.equal(shared, discriminator.get_input_embeddings().weight)
    assert AutoTokenizer.from_pretrained(tmp_path / "out-generator").mask_token == "[MASK]"


def test_albert_with_whole_words_and_lamb(train, tmp_path):
    first, last = losses(train("albert", "albert"))
    assert last < first


def test_distillation(train, tmp_path):
    teacher = train("roberta", "roberta", steps=2)
    export(teacher / "latest-rank0.pt", tmp_path / "teacher", None, None, False)
    folder = train("distillation", "roberta", **{"objective.teacher": tmp_path / "teacher"})
    first, last = losses(folder)
    assert last < first and losses(folder, "loss/train/kl")[0] > 0 and losses(folder, "loss/train/cosine")[0] > 0
    content = torch.load(folder / "latest-rank0.pt", weights_only=False)["state"]["model"]
    assert {name.split(".")[0] for name in content} == {"model", "projection"}
    export(folder / "latest-rank0.pt", tmp_path / "student", None, None, False)
    assert AutoModelForMaskedLM.from_pretrained(tmp_path / "student").config.hidden_size == 32
