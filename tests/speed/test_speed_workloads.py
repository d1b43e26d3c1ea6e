"""The published sets, a user's lengths, and how samples become batches."""

import numpy as np
import pytest
import torch
from transformers import AutoModel

from bioclinical.errors import UserError
from bioclinical.modeling import encode
from bioclinical.speed.layouts import make_batch, make_batches
from bioclinical.speed.workloads import PUBLISHED, Workload, choose_published, draw_ids, from_texts, published
from bioclinical.text.tokenization import load_tokenizer

# Mean lengths of the published script's own draw with seed 42, 4096 samples (run once, recorded).
REAL_MEANS = {
    "variable_short": 255.430908203125,
    "variable_medium": 2046.950439453125,
    "variable_long": 4094.396240234375,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_lengths_are_the_published_ones(name):
    workload = published(name, 4096)
    assert len(workload.lengths) == 4096 and workload.lengths.max() <= workload.longest
    assert workload.lengths.mean() == REAL_MEANS.get(name, workload.longest)


@pytest.mark.parametrize("vocab_size, highest", [(50_368, 15_999), (500, 499), (60, 59)])
def test_ids_stay_in_the_published_range_and_the_vocabulary(vocab_size, highest):
    workload = Workload("own", 64, np.array([64, 3] * 200))
    ids = draw_ids(workload, vocab_size, pad_id=7)
    true = ids[::2]
    assert true.min() >= min(100, vocab_size // 2) and true.max() <= highest and (ids[1::2, 3:] == 7).all()
    assert ids.dtype == torch.int32 and torch.equal(ids, draw_ids(workload, vocab_size, pad_id=7))


def test_sets_are_chosen_by_the_models_context():
    assert choose_published(None, 2048, "m") == ["fixed_short", "variable_short"]
    assert choose_published(None, 8192, "m") == list(PUBLISHED)
    assert choose_published(["fixed_long"], None, "m") == ["fixed_long"]
    for requested, limit, message in [
        (["fixed_tiny"], 512, "unknown 'fixed_tiny'; known: fixed_short"),
        (None, None, "states no context limit"),
        (["fixed_long"], 512, "takes 512 tokens"),
        (None, 128, "takes 128 tokens"),
    ]:
        with pytest.raises(UserError, match=message):
            choose_published(requested, limit, "m")


def test_own_texts_give_lengths_of_the_models_tokenizer(tiny_model, sample, notes, tmp_path):
    tokenizer = load_tokenizer(tiny_model("bert"))
    lengths = {min(len(tokenizer(note)["input_ids"]), 90) for note in notes if note.strip()}
    workload = from_texts(sample / "notes.csv", tokenizer, 90, 30)
    assert len(workload.lengths) == 30 and set(workload.lengths) <= lengths and workload.longest <= 90
    lines = tmp_path / "lines.txt"
    lines.write_text("a short line\n\nanother, longer line\n")
    drawn = from_texts(lines, tokenizer, None, 50).lengths
    assert set(drawn) == {len(tokenizer(t)["input_ids"]) for t in ("a short line", "another, longer line")}
    for content, message in ((b"\n \n", "holds no text"), (b"\xff\n", "not valid UTF-8")):
        lines.write_bytes(content)
        with pytest.raises(UserError, match=message):
            from_texts(lines, tokenizer, None, 5)
    with pytest.raises(UserError, match="cannot be read|no such file|absent"):
        from_texts(tmp_path / "absent.txt", tokenizer, None, 5)


def test_every_layout_holds_every_token_once():
    workload = Workload("own", 20, np.array([5, 20, 1, 9, 9]))
    ids = draw_ids(workload, 1000, 0)
    counts = {}
    for layout in ("padded", "sorted", "packed"):
        batches = make_batches(layout, ids, workload.lengths, 2)
        assert len(batches) == 3
        counts[layout] = sum(batch["input_ids"].numel() for batch in batches)
        kept = [b["input_ids"][b["attention_mask"]] if layout != "packed" else b["input_ids"] for b in batches]
        assert torch.equal(torch.cat(kept).sort().values, ids[ids != 0].sort().values)
    assert counts == {"padded": 5 * 20, "sorted": 2 * 20 + 2 * 9 + 1, "packed": 44}


def test_packed_and_padded_batches_are_the_same_samples_to_the_model(tiny_model):
    model = AutoModel.from_pretrained(tiny_model("modernbert"), attn_implementation="sdpa").eval()
    workload, rows = Workload("own", 40, np.array([40, 7, 23])), np.arange(3)
    ids = draw_ids(workload, model.config.vocab_size, model.config.pad_token_id)
    padded, packed = (make_batch(layout, ids, workload.lengths, rows) for layout in ("padded", "packed"))
    with torch.inference_mode():
        expected = model(padded["input_ids"].long(), padded["attention_mask"].long()).last_hidden_state
        hidden = encode(model, packed["input_ids"].long(), packed["cu_seqlens"], packed["max_seqlen"], "banded_sdpa")
    assert torch.allclose(hidden, expected[padded["attention_mask"]], atol=1e-5)
