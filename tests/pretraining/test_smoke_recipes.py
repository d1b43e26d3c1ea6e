"""Every objective and architecture in miniature: a run whose loss falls, its export, and what loads it."""

import numpy as np
import pytest
import torch
from pretraining_setup import CONFIGS, write_mds
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from bioclinical.checkpoints.export import export
from bioclinical.pretraining.recipe.load import load_recipe
from bioclinical.pretraining.training.progress import read_metrics
from bioclinical.pretraining.training.run import run
from bioclinical.text.tokenization import load_tokenizer
from bioclinical.text.train_tokenizer import TokenizerSettings, save_tokenizer, train_tokenizer


@pytest.fixture(scope="module")
def prepared(notes, tmp_path_factory):
    """family -> (tokenizer's folder, MDS with train/ and eval/) of the sample notes."""
    made = {}

    def get(family):
        if family not in made:
            root = tmp_path_factory.mktemp(family)
            settings = TokenizerSettings(family, 390)
            save_tokenizer(train_tokenizer(settings, lambda: notes[:100]), settings, root / "vocabulary", [])
            tokenizer = load_tokenizer(root / "vocabulary")
            end = [] if tokenizer.cls_token_id is not None else [tokenizer.eos_token_id]
            ids = [np.array(one[:126] + end, np.uint16) for one in tokenizer(notes[:100])["input_ids"]]
            for split, part in (("train", ids[:80]), ("eval", ids[80:])):
                samples = [{"input_ids": one} for one in part]
                write_mds(root / "mds" / split, {"input_ids": "ndarray:uint16"}, samples)
            made[family] = root
        return made[family]

    return get


@pytest.fixture
def train(prepared, tmp_path):
    """Runs a miniature for some steps; returns its folder."""

    def go(recipe, family, steps=30, **changes):
        root = prepared(family)
        values = {
            "data_local": root / "mds", "tokenizer_name": root / "vocabulary", "save_folder": tmp_path / recipe,
            "max_duration": f"{steps}ba", "eval_interval": f"{steps}ba", "save_interval": f"{steps}ba",
            "model.model_config.vocab_size": 448, "global_train_batch_size": 8, "log_to_console": "false", **changes,
        }  # fmt: skip
        run(load_recipe(CONFIGS / "smoke" / f"{recipe}.yaml", [f"{key}={value}" for key, value in values.items()]))
        return tmp_path / recipe

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


def test_distillation(train, prepared, tmp_path):
    teacher = train("roberta", "roberta", steps=2)
    export(teacher / "latest-rank0.pt", tmp_path / "teacher", None, None, False)
    folder = train("distillation", "roberta", **{"objective.teacher": tmp_path / "teacher"})
    first, last = losses(folder)
    assert last < first and losses(folder, "loss/train/kl")[0] > 0 and losses(folder, "loss/train/cosine")[0] > 0
    content = torch.load(folder / "latest-rank0.pt", weights_only=False)["state"]["model"]
    assert {name.split(".")[0] for name in content} == {"model", "projection"}
    export(folder / "latest-rank0.pt", tmp_path / "student", None, None, False)
    assert AutoModelForMaskedLM.from_pretrained(tmp_path / "student").config.hidden_size == 32


@pytest.mark.parametrize("recipe", ["electra", "gpt2"])
def test_stopped_and_resumed_equals_not_stopped(train, tmp_path, recipe):
    """Masks, fillings, dropout and the optimizer go on where they stood."""
    every = {"save_interval": "3ba", "autoresume": "true"}
    folder = train(recipe, recipe, steps=6, **every)
    last = next(folder.glob("*-ba6-rank0.pt"))
    whole = torch.load(last, weights_only=False)["state"]["model"]
    last.unlink()
    (folder / "latest-rank0.pt").unlink()
    (folder / "latest-rank0.pt").symlink_to(next(folder.glob("*-ba3-rank0.pt")).name)
    train(recipe, recipe, steps=6, **every)
    resumed = torch.load(next(folder.glob("*-ba6-rank0.pt")), weights_only=False)["state"]["model"]
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())
