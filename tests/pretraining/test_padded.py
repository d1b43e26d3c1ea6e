"""Padded Hugging Face encoders: the same packer, masks, checkpoints and export as ModernBERT."""

import itertools

import numpy as np
import pytest
import torch
from pretraining_setup import CONFIGS, write_mds
from transformers import AutoModelForMaskedLM, AutoTokenizer

from bioclinical.checkpoints.export import export
from bioclinical.checkpoints.read import load_checkpoint
from bioclinical.errors import UserError
from bioclinical.pretraining.architectures.padded import SIMILAR, similar_lengths
from bioclinical.pretraining.recipe.load import load_recipe
from bioclinical.pretraining.training.composer_model import total_of
from bioclinical.pretraining.training.evaluation import evaluate
from bioclinical.pretraining.training.metrics_file import read_metrics
from bioclinical.pretraining.training.run import build, run
from bioclinical.text.tokenization import load_tokenizer

FAMILIES = ("bert", "roberta", "electra", "albert", "deberta-v2")
NO_DROPOUT = {"model.model_config.hidden_dropout_prob": 0.0, "model.model_config.attention_probs_dropout_prob": 0.0}


@pytest.fixture(scope="module")
def data(notes, tiny_model, tmp_path_factory):
    """family -> MDS of 80 training and 12 evaluation notes, tokenised by its tiny tokenizer."""
    made = {}

    def get(family: str):
        if family not in made:
            root = tmp_path_factory.mktemp(f"mds-{family}")
            tokenizer = load_tokenizer(tiny_model(family))
            ids = [np.array(one, np.uint16) for one in tokenizer([note[:250] for note in notes[:92]])["input_ids"]]
            for split, part in (("train", ids[:80]), ("eval", ids[80:])):
                write_mds(root / split, {"input_ids": "ndarray:uint16"}, [{"input_ids": one} for one in part])
            made[family] = root
        return made[family]

    return get


@pytest.fixture
def overrides(data, tiny_model, tmp_path):
    """overrides(family, name, key=value): the smoke recipe of RoBERTa still smaller, for another family too."""

    def get(family: str = "roberta", name: str = "run", **changes: object) -> list[str]:
        small = {"electra", "albert"}
        merged = {
            "data_local": data(family), "tokenizer_name": tiny_model(family), "model.architecture": family,
            "model.model_config.vocab_size": 504, "model.model_config.hidden_size": 32,
            "model.model_config.intermediate_size": 48, "model.model_config.num_hidden_layers": 2,
            "model.model_config.max_position_embeddings": "null",
            **({"model.model_config.embedding_size": 16} if family in small else {}),
            "run_name": name, "save_folder": tmp_path / name, "max_duration": "6ba", "eval_interval": "100ba",
            "save_interval": "3ba", "scheduler.t_warmup": "2ba", "log_to_console": "false",
            "save_num_checkpoints_to_keep": -1, "global_train_batch_size": 8, "device_train_microbatch_size": 4,
            **{key.replace("__", "."): value for key, value in changes.items()},
        }  # fmt: skip
        return [f"{key}={value}" for key, value in merged.items()]

    return get


@pytest.fixture
def recipe(overrides):
    def get(*arguments, **changes):
        return load_recipe(CONFIGS / "smoke/roberta.yaml", overrides(*arguments, **changes))

    return get


def test_groups_hold_similar_lengths():
    lengths = np.random.default_rng(0).integers(1, 512, 200).tolist()
    groups = similar_lengths(lengths)
    assert sorted(number for group in groups for number in group) == list(range(200))
    for group in groups:
        assert lengths[group[0]] == max(lengths[number] for number in group)
        assert min(lengths[number] for number in group) >= SIMILAR * lengths[group[0]]


@pytest.mark.parametrize("family", FAMILIES)
def test_loss_is_hugging_faces_own(family, recipe):
    """The mean over masked tokens that its ForMaskedLM computes on the padded documents of the row, and its gradient."""
    parts = build(recipe(family, **NO_DROPOUT))
    row = next(iter(parts.train.loader))["rows"][0]
    model = parts.model.model.train()
    loss = total_of(parts.model({"rows": [row]}))
    loss.backward()
    ours = {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}
    model.zero_grad()
    bounds = row["cu_seqlens"].tolist()
    documents = [slice(start, end) for start, end in itertools.pairwise(bounds)]
    assert len({part.stop - part.start for part in documents}) > 3
    pad = lambda values, fill: torch.nn.utils.rnn.pad_sequence(values, batch_first=True, padding_value=fill)  # noqa: E731
    ids = pad([row["input_ids"][one] for one in documents], parts.architecture.config.pad_token_id)
    mask = pad([torch.ones(one.stop - one.start, dtype=torch.long) for one in documents], 0)
    labels = pad([row["targets"]["labels"][one] for one in documents], -100)
    theirs = model(input_ids=ids, attention_mask=mask, labels=labels).loss
    theirs.backward()
    assert loss.item() == pytest.approx(theirs.item(), abs=1e-6)
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(ours[name], parameter.grad, atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_of_each_family_and_its_folder(family, recipe, tmp_path, capsys):
    run(recipe(family, max_duration="3ba", log_to_console="true", console_log_interval="1ba"))
    assert "padding " in capsys.readouterr().out
    folder = tmp_path / "run"
    records = read_metrics(folder)
    assert 0 < next(one["trainer/padded_share"] for one in records if "trainer/padded_share" in one) < 1 - SIMILAR
    assert export(folder / "latest-rank0.pt", tmp_path / "hf", None, None, False) < 1e-4
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "hf")
    assert model.config.model_type == family and AutoTokenizer.from_pretrained(tmp_path / "hf").mask_token
    weights = load_checkpoint(folder / "latest-rank0.pt").weights
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    ours = recipe(family)
    scores = evaluate(ours, str(tmp_path / "hf"))
    assert scores == evaluate(ours, str(folder / "latest-rank0.pt"))
    last = [one for one in records if "metrics/eval/LanguageCrossEntropy" in one][-1]
    assert scores["LanguageCrossEntropy"] == pytest.approx(last["metrics/eval/LanguageCrossEntropy"], rel=1e-5)


def test_a_phase_starts_from_a_hugging_face_folder(recipe, tiny_model, capsys):
    """A folder of other positions than the recipe asks for does not fit; one of its own does."""
    sizes = {"intermediate_size": 64, "max_position_embeddings": 514, "type_vocab_size": 2}
    options = {f"model__model_config__{key}": value for key, value in sizes.items()}
    vocabulary = AutoTokenizer.from_pretrained(tiny_model("roberta")).vocab_size
    run(recipe(load_path=tiny_model("roberta"), model__model_config__vocab_size=vocabulary, **options))
    assert "phase start from" in capsys.readouterr().out
    with pytest.raises(
        UserError, match=r"roberta.embeddings.position_embeddings.weight has \(514, 32\) instead of \(130, 32\)"
    ):
        options["model__model_config__max_position_embeddings"] = "null"
        run(
            recipe(
                "roberta",
                "other",
                load_path=tiny_model("roberta"),
                model__model_config__vocab_size=vocabulary,
                **options,
            )
        )


def test_positions_must_hold_the_documents(recipe):
    with pytest.raises(
        UserError, match="max_position_embeddings: 100 is room for 98 tokens, .* up to 128; use 130 or null"
    ):
        build(recipe(model__model_config__max_position_embeddings=100))
