"""The next token with ModernBERT: exactness of the packed causal loss, the published recipes, a detour and its return."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pretraining_setup import CONFIGS
from transformers import ModernBertConfig

from bioclinical.checkpoints.read import load_checkpoint
from bioclinical.errors import UserError
from bioclinical.modeling.flops import attention_flops
from bioclinical.pretraining.architectures.modernbert import PackedModernBert
from bioclinical.pretraining.compute import Compute
from bioclinical.pretraining.data.rows import RowReader
from bioclinical.pretraining.objectives.next_token import NextToken
from bioclinical.pretraining.recipe import schema
from bioclinical.pretraining.recipe.load import load_recipe
from bioclinical.pretraining.training.freezing import freeze_layers
from bioclinical.pretraining.training.metrics_file import read_metrics
from bioclinical.pretraining.training.run import build
from bioclinical.text.tokenization import load_tokenizer

OURS = "# not published: our default"
LENGTHS = (150, 2, 90)


@pytest.fixture(scope="module")
def architecture():
    config = ModernBertConfig(
        vocab_size=504, hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=2,
        global_attn_every_n_layers=3, local_attention=128, attention_dropout=0, pad_token_id=0,
    )  # fmt: skip
    return PackedModernBert(config, Compute())


@pytest.fixture(scope="module")
def row_and_texts(architecture, tiny_model):
    """A row of documents, (reader's row, their ids, objective)."""
    tokenizer = load_tokenizer(tiny_model())
    objective = NextToken(schema.NextToken(name="next_token", boundaries="isolated"), architecture, tokenizer)
    rng = np.random.default_rng(0)
    texts = [np.append(rng.integers(10, 400, length - 1), tokenizer.sep_token_id) for length in LENGTHS]

    class Texts:
        def read(self, unit):
            return texts[unit], unit, 0

    row = RowReader(Texts(), objective.examples(None)).read_row([(0, n) for n in range(len(texts))], silent=False)
    return objective, row, texts


def eager_causal_loss(model, ids: torch.Tensor) -> torch.Tensor:
    """Oracle: transformers' eager forward under written-out masks, labels shifted by hand."""
    distance = torch.arange(len(ids))[:, None] - torch.arange(len(ids))
    masks = [torch.zeros(len(ids), len(ids)).masked_fill((distance < 0) | (distance > reach), -torch.inf)
             for reach in (len(ids), 64)]  # fmt: skip
    model.config._attn_implementation = "eager"
    model.model._update_attention_mask = lambda *_, **__: [mask[None, None] for mask in masks]
    logits = model(input_ids=ids[None]).logits[0]
    return F.cross_entropy(logits[:-1], ids[1:], reduction="sum")


def test_the_packed_causal_loss_is_that_of_each_document_alone_in_eager_attention(architecture, row_and_texts):
    objective, row, texts = row_and_texts
    networks = objective.networks(3)
    loss = objective.loss_sums(networks, row)["next_token"]
    assert row["loss_weight"] == sum(LENGTHS) - len(LENGTHS)
    (gradient,) = torch.autograd.grad(loss, networks["model"].model.layers[1].attn.Wqkv.weight)
    alone = sum(eager_causal_loss(networks["model"], torch.tensor(ids)) for ids in texts)
    torch.testing.assert_close(loss, alone, atol=1e-3, rtol=1e-6)
    (expected,) = torch.autograd.grad(alone, networks["model"].model.layers[1].attn.Wqkv.weight)
    torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=1e-4)


def test_the_last_token_of_a_document_predicts_nothing_and_no_token_sees_a_later_one(architecture, row_and_texts):
    objective, row, _ = row_and_texts
    ends = row["cu_seqlens"][1:].long() - 1
    labels = row["targets"]["labels"]
    assert (labels[ends] == -100).all() and (labels != -100).sum() == len(labels) - len(ends)
    networks = objective.networks(3)
    before = architecture.encode(networks["model"], row, causal=True)
    changed = {**row, "input_ids": row["input_ids"].clone()}
    changed["input_ids"][100] = 9
    same = (before == architecture.encode(networks["model"], changed, causal=True)).all(-1)
    assert same[:100].all() and not same[100:150].any() and same[150:].all()


def test_flops_count_what_a_causal_token_sees(architecture):
    """Two global layers see (n + 1) / 2 tokens in the mean, two local ones 65 at most."""
    for length, local in ((1000, 65), (10, 10)):
        seen = 2 * (length + 1) / 2 + 2 * local
        assert attention_flops(architecture.config, np.array([length]), True) == 4 * 32 * length * seen


def losses(folder):
    return [record["loss/train/total"] for record in read_metrics(folder) if "loss/train/total" in record]


@pytest.fixture(scope="module")
def detour(mds, tiny_model, tmp_path_factory):
    """Both runs of the miniature, the low layer frozen during the detour: their folders."""
    from bioclinical.pretraining.training.run import run

    folders = {}
    for kind, steps in (("causal", 24), ("return", 8)):
        folders[kind] = tmp_path_factory.mktemp("detour") / kind
        values = {
            "data_local": mds, "tokenizer_name": tiny_model(), "save_folder": folders[kind], "max_seq_len": 128,
            "model.model_config.vocab_size": 504, "model.model_config.hidden_size": 32,
            "model.model_config.intermediate_size": 48, "max_duration": f"{steps}ba", "eval_interval": f"{steps}ba",
            "save_interval": f"{steps}ba", "log_to_console": "false", "optimizer.lr": 5e-3,
        }  # fmt: skip
        if kind == "causal":
            values |= {"load_path": "null", "scheduler.t_warmup": "2ba", "freeze_layers": "[0, 1]"}
        else:
            values |= {"load_path": folders["causal"] / "latest-rank0.pt"}
        run(load_recipe(CONFIGS / f"smoke/detour_{kind}.yaml", [f"{key}={value}" for key, value in values.items()]))
    return folders


def test_the_detour_learns_the_next_token_and_its_return_masked_ones(detour):
    assert losses(detour["causal"])[-1] < losses(detour["causal"])[0] - 0.3
    assert any("metrics/eval/BitsPerByte" in record for record in read_metrics(detour["causal"]))
    assert any("metrics/eval/MaskedAccuracy" in record for record in read_metrics(detour["return"]))


def test_the_return_keeps_moments_and_restarts_the_schedule(detour, tiny_model, mds):
    path = detour["causal"] / "latest-rank0.pt"
    causal, after = load_checkpoint(path), load_checkpoint(detour["return"] / "latest-rank0.pt")
    assert causal.clock["batch"] == 24 and after.clock["batch"] == 8
    embeddings = "model.model.embeddings.tok_embeddings.weight"
    assert float(causal.moments[embeddings]["exp_avg_sq"].sum()) > 0
    rates = [record["lr-DecoupledAdamW/group0"] for record in read_metrics(detour["return"])
             if "lr-DecoupledAdamW/group0" in record]  # fmt: skip
    assert rates[0] == pytest.approx(5e-3, rel=0.5) and rates[-1] < rates[0] / 2
    from bioclinical.checkpoints.start import start_from

    config = load_recipe(CONFIGS / "smoke/detour_return.yaml", [
        f"data_local={mds}", f"tokenizer_name={tiny_model()}", "max_seq_len=128", f"load_path={path}",
        "model.model_config.vocab_size=504", "model.model_config.hidden_size=32",
        "model.model_config.intermediate_size=48"])  # fmt: skip
    parts = build(config)
    start_from(config, parts.architecture, parts.model, parts.optimizer)
    names = dict(parts.model.named_parameters())
    moments = parts.optimizer.state[names[embeddings]]
    assert torch.equal(moments["exp_avg_sq"], causal.moments[embeddings]["exp_avg_sq"]) and float(moments["step"]) == 24
    frozen = [name for name, parameter in names.items() if not parts.optimizer.state.get(parameter)]
    assert frozen and all(".layers.0." in name for name in frozen)  # frozen so far: they begin anew


def test_frozen_layers_stay_as_they_are(tiny_config, detour, tiny_model):
    fresh = build(tiny_config(recipe="smoke/phase1")).model.state_dict()
    after = {
        f"model.{name}": tensor
        for name, tensor in load_checkpoint(detour["causal"] / "latest-rank0.pt").weights.items()
    }
    same = {name for name in fresh if torch.equal(fresh[name], after[name])}
    assert same == {name for name in fresh if ".layers.0." in name}


def test_layers_that_do_not_exist_are_refused(architecture):
    layers = architecture.layers(architecture.new_model(0))
    for span in ([0, 5], [2, 2], [-1, 2], [0], [0.0, 2.0], [True, 2]):
        with pytest.raises(UserError, match="must be two numbers .* <= 4, the number of layers"):
            freeze_layers(layers, span)


def test_a_resumed_run_cannot_freeze_other_layers(detour, tiny_config, mds, tiny_model):
    from bioclinical.checkpoints.read import read_checkpoint
    from bioclinical.checkpoints.resume import expect_same_model

    path = detour["causal"] / "latest-rank0.pt"
    with pytest.raises(UserError, match=r"was written with freeze_layers \[0, 1\], here it is None"):
        expect_same_model(read_checkpoint(path), torch.nn.Module(), {"freeze_layers": None, "model": {}}, path)


@pytest.mark.parametrize("kind, size", itertools.product(("causal", "return", "control"), ("base", "large")))
def test_published_values(kind, size):
    path = CONFIGS / f"beyond/detour_{size}_{kind}.yaml"
    recipe, text = load_recipe(path), path.read_text()
    assert recipe.objective.name == ("next_token" if kind == "causal" else "masked_tokens")
    assert recipe.max_duration.value == (5e9 if kind == "return" else 50e9)
    assert recipe.train_loader.dataset.mlm_probability == {"causal": None, "return": 0.15, "control": 0.3}[kind]
    assert (recipe.global_train_batch_size, recipe.train_loader.dataset.max_seq_len) == (384, 8192)
    shares = {name: stream.proportion for name, stream in recipe.train_loader.dataset.streams.items()}
    assert shares == {"biomed_enriched": 0.6, "instructions": 0.2, "mimic3": 0.2}
    optimizer = recipe.optimizer
    assert (optimizer.name, optimizer.lr, optimizer.betas) == ("decoupled_adamw", 2e-4, (0.9, 0.98))
    assert (optimizer.weight_decay, recipe.precision) == (1e-5, "amp_bf16")
    schedule = recipe.scheduler
    if kind == "return":
        assert (schedule.name, schedule.alpha_f, schedule.t_decay.value) == ("one_minus_sqrt", 0.1, 5e9)
        assert (recipe.load_path, recipe.load_weights_only) == (
            f"checkpoints/detour_{size}_causal/latest-rank0.pt",
            False,
        )
    else:
        assert (schedule.name, schedule.t_warmup.value) == ("constant_with_warmup", 100_000_000)
        assert recipe.load_path == f"answerdotai/ModernBERT-{size}"
    assert (recipe.reset_time, recipe.restart_override, recipe.freeze_layers) == (True, True, None)
    sizes = (recipe.model.model_config.num_hidden_layers, recipe.model.model_config.hidden_size)
    assert sizes == {"base": (22, 768), "large": (28, 1024)}[size]
    for key in ("  eps:", "  filter_bias_norm_wd:", "    attn_out_dropout_prob:", "seed:", "eval_interval:"):
        (line,) = [line for line in text.splitlines() if line.startswith(key)]
        assert OURS in line
