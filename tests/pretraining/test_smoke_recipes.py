"""Every objective and architecture in miniature: a run whose loss falls, its export, and what loads it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from bioclinical.checkpoints.export import export
from bioclinical.pretraining.training.progress import read_metrics
from bioclinical.pretraining.training.run import run


@pytest.fixture
def train(miniature, tmp_path):
    """Runs a miniature for some steps; returns its folder."""

    def go(name, family, steps=30, folder=None, **changes):
        folder = folder or tmp_path / name
        durations = dict.fromkeys(("max_duration", "eval_interval", "save_interval"), f"{steps}ba")
        run(miniature(name, family, folder, **durations | changes))
        return folder

    return go


@pytest.fixture
def fine_tuned(run_main, sample, tmp_path):
    """Fine-tunes a folder on a few examples for an epoch; the task's headline scores."""

    def go(model, dataset="ChemProt"):
        code, out, err = run_main("--dataset", dataset, "--model", model, "--epochs", 1, "--limit", 16, "--batch_size", 8,
                                  "--data_dir", sample / "raw", "--output_dir", tmp_path / "outputs")  # fmt: skip
        assert code == 0, err
        result = json.loads(Path(out.splitlines()[-1]).read_text())
        assert result["status"] == "finished" and result["best_epoch"] == 1
        return result["metrics"]["test"]

    return go


def losses(folder, name="loss/train/total"):
    values = [record[name] for record in read_metrics(folder) if name in record]
    return values[0], sum(values[-5:]) / 5


def test_roberta_with_a_vocabulary_of_its_own(train, fine_tuned, tmp_path):
    folder = train("roberta", "roberta")
    first, last = losses(folder)
    assert last < first
    export(folder / "latest-rank0.pt", tmp_path / "out", None, None, False)
    assert "f1" in fine_tuned(tmp_path / "out", "COS")


def test_gpt2(train, fine_tuned, tmp_path):
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
    assert batch_is_unpadded(tmp_path / "out") and "accuracy" in fine_tuned(tmp_path / "out")


def batch_is_unpadded(folder):
    """As BioMedLM's folder: a tokenizer without a padding token."""
    return AutoTokenizer.from_pretrained(folder).pad_token is None


def test_gpt2_goes_on_from_a_folder_without_a_padding_token(train, tmp_path, capsys):
    """BioMedLM's layout: vocabulary up to the end of a text, which is the last entry; no padding, no other specials."""
    first = train("gpt2", "gpt2", steps=6, folder=tmp_path / "first")
    export(first / "latest-rank0.pt", tmp_path / "out", None, None, False)
    assert batch_is_unpadded(tmp_path / "out")
    changes = {"load_path": tmp_path / "out", "tokenizer_name": tmp_path / "out", "scheduler.t_warmup": "0ba"}
    second = train("gpt2", "gpt2", steps=2, **changes)
    assert f"phase start from '{tmp_path / 'out'}'" in capsys.readouterr().out
    values = [record["loss/train/total"] for folder in (first, second) for record in read_metrics(folder)
              if "loss/train/total" in record]  # fmt: skip
    assert values[6] < values[0]  # the same documents, before the first step and after the sixth


def test_electra_has_two_folders(train, fine_tuned, tmp_path, capsys):
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
    assert "accuracy" in fine_tuned(tmp_path / "out")
    goes_on_from_the_folders(train, folder, tmp_path, capsys)


def goes_on_from_the_folders(train, folder, tmp_path, capsys):
    """Both networks come back; without the generator's folder it begins with random weights, and that is said."""
    trained = torch.load(folder / "latest-rank0.pt", weights_only=False)["state"]["model"]
    still = {"load_path": tmp_path / "out", "optimizer.lr": 1e-12}
    again = train("electra", "electra", steps=1, folder=tmp_path / "again", **still)
    state = torch.load(again / "latest-rank0.pt", weights_only=False)["state"]["model"]
    assert all(torch.allclose(tensor, state[name], atol=1e-6) for name, tensor in trained.items())
    shutil.move(tmp_path / "out-generator", tmp_path / "elsewhere")
    capsys.readouterr()
    alone = train("electra", "electra", steps=1, folder=tmp_path / "alone", **still)
    assert "generator: not in the checkpoint, random weights" in capsys.readouterr().out
    state = torch.load(alone / "latest-rank0.pt", weights_only=False)["state"]["model"]
    assert all(
        torch.allclose(tensor, state[name], atol=1e-6) for name, tensor in trained.items() if name.startswith("model.")
    )


def test_albert_with_whole_words_and_lamb(train, fine_tuned, tmp_path):
    folder = train("albert", "albert")
    first, last = losses(folder)
    assert last < first
    export(folder / "latest-rank0.pt", tmp_path / "out", None, None, False)
    assert "accuracy" in fine_tuned(tmp_path / "out")


def test_distillation(train, fine_tuned, tmp_path):
    teacher = train("roberta", "roberta", steps=2)
    export(teacher / "latest-rank0.pt", tmp_path / "teacher", None, None, False)
    folder = train("distillation", "roberta", **{"objective.teacher": tmp_path / "teacher"})
    first, last = losses(folder)
    assert last < first and losses(folder, "loss/train/kl")[0] > 0 and losses(folder, "loss/train/cosine")[0] > 0
    content = torch.load(folder / "latest-rank0.pt", weights_only=False)["state"]["model"]
    assert {name.split(".")[0] for name in content} == {"model", "projection"}
    export(folder / "latest-rank0.pt", tmp_path / "student", None, None, False)
    assert AutoModelForMaskedLM.from_pretrained(tmp_path / "student").config.hidden_size == 32
    assert "accuracy" in fine_tuned(tmp_path / "student")
