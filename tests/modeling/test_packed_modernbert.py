"""The packed forward against transformers' own eager attention: hidden states, logits, losses, every gradient."""

import copy

import pytest
import torch
from transformers import (
    ModernBertConfig,
    ModernBertForMaskedLM,
    ModernBertForSequenceClassification,
    ModernBertForTokenClassification,
    ModernBertModel,
)

from bioclinical.errors import UserError
from bioclinical.modeling import encode, mlm_loss, pack, set_output_dropout, use_packed_forward, why_not_packed
from bioclinical.modeling.modernbert import layer_kinds

# Largest difference, as a part of the largest value: rounding in another order, at positions up to 2,000.
FP32_BOUND = 2e-6
FP32_GRADIENT_BOUND = 5e-6
BF16_BOUND = 2e-2
VOCABULARY = 300
LENGTHS = {
    "window edges": [63, 64, 65, 66, 127, 128, 129, 130],
    "single tokens": [1, 1, 2, 1],
    "one long with many short": [2000, 3, 1, 65],
    "long": [700, 1300],
    "one length": [96] * 5,
}
HEADS = {
    ModernBertForSequenceClassification: lambda ids, mask: torch.arange(len(ids)) % 3,
    ModernBertForTokenClassification: lambda ids, mask: (ids % 3).masked_fill(mask == 0, -100),
    ModernBertForMaskedLM: lambda ids, mask: ids.masked_fill((mask == 0) | (ids % 3 > 0), -100),
}


def config(**changes) -> ModernBertConfig:
    """Five small layers (two global) whose weights are large enough for attention to be far from uniform."""
    ids = {"pad_token_id": 0, "bos_token_id": 1, "cls_token_id": 1, "eos_token_id": 2, "sep_token_id": 2}
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_hidden_layers": 5}
    values = {"vocab_size": VOCABULARY, "max_position_embeddings": 2048, "initializer_range": 0.1, "num_labels": 3}
    return ModernBertConfig(**{**ids, **sizes, **values, "attn_implementation": "eager", **changes})


def build(model_class: type, seed: int = 0, **changes):
    torch.manual_seed(seed)
    return model_class(config(**changes))


def batch(lengths: list[int], seed: int = 0) -> dict[str, torch.Tensor]:
    """A padded batch of random tokens."""
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    return {"input_ids": torch.randint(3, VOCABULARY, mask.shape, generator=generator) * mask, "attention_mask": mask}


def assert_close(ours: torch.Tensor, theirs: torch.Tensor, bound: float, name: str = "") -> None:
    difference = (ours - theirs).abs().max().item()
    assert torch.isfinite(ours).all(), name
    assert difference <= bound * theirs.abs().max().item(), f"{name}: {difference} of {theirs.abs().max().item()}"


def packed_copy(model):
    ours = copy.deepcopy(model)
    use_packed_forward(ours, "banded_sdpa")
    return ours


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_hidden_states(lengths):
    model, inputs = build(ModernBertModel), batch(lengths)
    mask = inputs["attention_mask"][..., None]
    with torch.no_grad():
        theirs = model(**inputs).last_hidden_state * mask
        ours = packed_copy(model)(**inputs).last_hidden_state
    assert_close(ours, theirs, FP32_BOUND)
    assert (ours * (1 - mask) == 0).all()


@pytest.mark.parametrize("model_class", HEADS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("lengths", [LENGTHS["window edges"], [600, 1, 30, 129]], ids=["window edges", "mixed"])
def test_logits_loss_and_every_gradient(model_class, lengths):
    model, inputs = build(model_class), batch(lengths)
    labels = HEADS[model_class](ids=inputs["input_ids"], mask=inputs["attention_mask"])
    ours = packed_copy(model)
    expected, got = model(**inputs, labels=labels), ours(**inputs, labels=labels)
    assert type(got) is type(expected)
    tokens = inputs["attention_mask"].bool() if expected.logits.ndim == 3 else slice(None)
    assert_close(got.logits[tokens], expected.logits[tokens], FP32_BOUND, "logits")
    assert_close(got.loss, expected.loss, FP32_BOUND, "loss")
    expected.loss.backward(), got.loss.backward()
    gradients = dict(ours.named_parameters())
    for name, parameter in model.named_parameters():
        assert_close(gradients[name].grad, parameter.grad, FP32_GRADIENT_BOUND, name)


@pytest.mark.parametrize("autocast", [True, False], ids=["autocast", "bf16 weights"])
def test_bf16(autocast):
    inputs = batch([600, 1, 30, 129])
    labels = HEADS[ModernBertForTokenClassification](inputs["input_ids"], inputs["attention_mask"])
    exact = build(ModernBertForTokenClassification, initializer_range=0.02)
    model = packed_copy(exact if autocast else copy.deepcopy(exact).bfloat16())
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        out = model(**inputs, labels=labels)
    out.loss.backward()
    expected = exact(**inputs, labels=labels)
    tokens = inputs["attention_mask"].bool()
    assert_close(out.logits[tokens].float(), expected.logits[tokens], BF16_BOUND)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def encode_documents(encoder, documents: list[torch.Tensor], **options) -> list[torch.Tensor]:
    lengths = [len(document) for document in documents]
    cu_seqlens = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    with torch.no_grad():
        return encode(encoder, torch.cat(documents), cu_seqlens, max(lengths), "banded_sdpa", **options).split(lengths)


def random_documents(lengths: list[int], seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(3, VOCABULARY, (length,), generator=generator) for length in lengths]


def test_a_replaced_document_changes_no_other():
    encoder, documents = build(ModernBertModel), random_documents([5, 130, 300, 64, 1, 128], seed=1)
    before = encode_documents(encoder, documents)
    for place, other in enumerate(random_documents([5, 130, 300, 64, 1, 128], seed=2)):
        after = encode_documents(encoder, documents[:place] + [other] + documents[place + 1 :])
        assert not torch.equal(before[place], after[place])
        for i in range(len(documents)):
            assert i == place or torch.equal(before[i], after[i])


def test_permuted_documents_give_permuted_outputs():
    encoder, documents = build(ModernBertModel), random_documents([5, 130, 0, 300, 64, 1, 128], seed=1)
    order = [3, 0, 6, 2, 5, 1, 4]
    straight, permuted = encode_documents(encoder, documents), encode_documents(encoder, [documents[i] for i in order])
    for place, i in enumerate(order):
        torch.testing.assert_close(permuted[place], straight[i], rtol=0, atol=1e-5)


def test_empty_documents_take_no_part():
    encoder, documents = build(ModernBertModel), random_documents([5, 130, 40], seed=1)
    empty = torch.empty(0, dtype=torch.long)
    with_empty = encode_documents(encoder, [empty, documents[0], empty, empty, *documents[1:], empty])
    assert torch.equal(torch.cat(with_empty), torch.cat(encode_documents(encoder, documents)))


def test_mlm_loss_of_a_pack_is_the_dense_loss():
    model, inputs = build(ModernBertForMaskedLM), batch([200, 30, 129])
    labels = HEADS[ModernBertForMaskedLM](inputs["input_ids"], inputs["attention_mask"])
    expected = model(**inputs, labels=labels).loss
    packed = pack(**inputs)
    hidden = encode(model.model, packed.input_ids, packed.cu_seqlens, packed.max_seqlen, "banded_sdpa")
    loss_sum, count = mlm_loss(model, hidden, labels.flatten()[packed.indices])
    assert count == (labels != -100).sum() and loss_sum.dtype == torch.float32
    assert_close(loss_sum / count, expected, FP32_BOUND)


def test_mlm_loss_without_any_masked_position_is_zero_with_a_gradient():
    model = build(ModernBertForMaskedLM)
    hidden = torch.randn(7, 64, requires_grad=True)
    loss_sum, count = mlm_loss(model, hidden, torch.full((7,), -100))
    loss_sum.backward()
    assert loss_sum.item() == 0 and count == 0 and (hidden.grad == 0).all()
    assert (model.decoder.weight.grad == 0).all()


def test_documents_longer_than_the_models_positions_are_refused():
    encoder = build(ModernBertModel, max_position_embeddings=128)
    encode_documents(encoder, random_documents([128, 3], seed=1))
    with pytest.raises(UserError, match="a document of 129 tokens is longer than the model's 128 positions"):
        encode_documents(encoder, random_documents([3, 129], seed=1))


def test_an_empty_pack_is_refused():
    with pytest.raises(UserError, match="no tokens"):
        encode_documents(build(ModernBertModel), [torch.empty(0, dtype=torch.long)])


def test_gradient_checkpointing_changes_nothing():
    model, inputs = build(ModernBertForMaskedLM).train(), batch([100, 30])
    labels = HEADS[ModernBertForMaskedLM](inputs["input_ids"], inputs["attention_mask"])
    plain, checkpointed = packed_copy(model), packed_copy(model)
    checkpointed.gradient_checkpointing_enable()
    for each in (plain, checkpointed):
        each(**inputs, labels=labels).loss.backward()
    for a, b in zip(plain.parameters(), checkpointed.parameters()):
        assert torch.equal(a.grad, b.grad)


def test_attention_dropout_acts_in_training_only():
    model, inputs = packed_copy(build(ModernBertModel, attention_dropout=0.3)), batch([100, 30])
    model.eval()
    assert torch.equal(model(**inputs).last_hidden_state, model(**inputs).last_hidden_state)
    model.train()
    assert not torch.equal(model(**inputs).last_hidden_state, model(**inputs).last_hidden_state)


def test_output_dropout_is_there_only_where_asked_for():
    model, inputs = packed_copy(build(ModernBertModel)).train(), batch([100, 30])
    assert torch.equal(model(**inputs).last_hidden_state, model(**inputs).last_hidden_state)
    set_output_dropout(model, 0.1)
    assert not torch.equal(model(**inputs).last_hidden_state, model(**inputs).last_hidden_state)
    assert all(layer.attn.out_drop.p == 0.1 and layer.attn.attention_dropout == 0 for layer in model.layers)


def test_layer_kinds_from_either_config_layout():
    old = config(global_rope_theta=50_000.0, local_rope_theta=700.0, global_attn_every_n_layers=2)
    new = config()
    new.layer_types = [("sliding_attention" if i % 2 else "full_attention") for i in range(5)]
    new.rope_parameters = {
        "full_attention": {"rope_type": "default", "rope_theta": 50_000.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 700.0},
    }
    kinds = layer_kinds(new)
    assert layer_kinds(old) == kinds
    assert [(kind.window, kind.rope_theta) for kind in kinds[:2]] == [((None, None), 50_000.0), ((64, 64), 700.0)]


def test_other_thetas_reach_the_layers():
    thetas = {"global_rope_theta": 500.0, "local_rope_theta": 30.0}
    model, inputs = build(ModernBertModel, **thetas), batch([90, 200])
    with torch.no_grad():
        theirs = model(**inputs).last_hidden_state * inputs["attention_mask"][..., None]
        assert_close(packed_copy(model)(**inputs).last_hidden_state, theirs, FP32_BOUND)


def test_scaled_rotary_embeddings_are_refused():
    scaled = config()
    scaled.rope_parameters = {"full_attention": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0}}
    assert "type 'yarn'" in why_not_packed(ModernBertModel, scaled)


def test_arguments_of_the_loss_are_let_through():
    model, inputs = packed_copy(build(ModernBertForMaskedLM)), batch([40, 30])
    labels = HEADS[ModernBertForMaskedLM](inputs["input_ids"], inputs["attention_mask"])
    mean, count = model(**inputs, labels=labels).loss, (labels != -100).sum()
    halved = model(**inputs, labels=labels, num_items_in_batch=2 * count).loss
    torch.testing.assert_close(halved, mean / 2)
    model.base_model(**inputs, num_items_in_batch=2 * count)


def test_a_config_that_asks_for_more_outputs_is_refused():
    assert "output_hidden_states" in why_not_packed(ModernBertModel, config(output_hidden_states=True))


def test_other_inputs_are_refused_by_name():
    model, inputs = packed_copy(build(ModernBertForMaskedLM)), batch([4, 3])
    with pytest.raises(UserError, match="output_hidden_states"):
        model(**inputs, output_hidden_states=True)
    with pytest.raises(UserError, match="inputs_embeds"):
        model(inputs_embeds=torch.zeros(1, 3, 64))


def test_the_packed_model_is_saved_like_any_other(tmp_path):
    model, inputs = packed_copy(build(ModernBertForSequenceClassification)).eval(), batch([40, 3])
    model.save_pretrained(tmp_path)
    loaded = ModernBertForSequenceClassification.from_pretrained(tmp_path, attn_implementation="eager").eval()
    assert loaded.config.architectures == ["ModernBertForSequenceClassification"]
    with torch.no_grad():
        assert_close(model(**inputs).logits, loaded(**inputs).logits, FP32_BOUND)


def test_causal_hidden_states_equal_those_under_causal_masks():
    """Oracle: transformers' eager attention, its two masks replaced by written-out causal ones."""
    model, (document,) = build(ModernBertModel), random_documents([300], seed=1)
    before = torch.arange(300)[:, None] - torch.arange(300)
    masks = [torch.zeros(300, 300).masked_fill((before < 0) | (before > reach), -torch.inf) for reach in (300, 64)]
    model._update_attention_mask = lambda *_, **__: [mask[None, None] for mask in masks]
    with torch.no_grad():
        expected = model(input_ids=document[None]).last_hidden_state[0]
    (ours,) = encode_documents(model, [document], is_causal=True)
    assert_close(ours, expected, FP32_BOUND)
    keys_seen = [int((masks[1][query] == 0).sum()) for query in (0, 64, 65, 200)]
    assert keys_seen == [1, 65, 65, 65]


def test_causal_hidden_states_depend_on_nothing_later():
    model = build(ModernBertModel)
    documents = random_documents([200, 1, 130], seed=2)
    changed = [torch.cat((document[:-1], (document[-1:] + 1) % 100 + 3)) for document in documents]
    for one, other in zip(*(encode_documents(model, given, is_causal=True) for given in (documents, changed))):
        assert torch.equal(one[:-1], other[:-1]) and not torch.equal(one[-1], other[-1])
