import pytest
from tokenizers import Regex, pre_tokenizers
from transformers import AutoConfig, PreTrainedTokenizerFast

from bioclinical.errors import UserError
from bioclinical.text.lengths import context_limit, stated_length
from bioclinical.text.tokenization import choose_max_length, load_tokenizer
from bioclinical.tiny_models import FAMILIES


@pytest.mark.parametrize("family", FAMILIES)
def test_first_word_is_tokenised_like_any_other(tiny_model, family):
    tokenizer = load_tokenizer(tiny_model(family))
    ids = [
        tokenizer(["pain"], is_split_into_words=True, add_special_tokens=False).input_ids,
        tokenizer("pain", add_special_tokens=False).input_ids,
        tokenizer("x pain", add_special_tokens=False).input_ids[
            len(tokenizer("x", add_special_tokens=False).input_ids) :
        ],
    ]
    assert ids[0] == ids[1] == ids[2]


def test_prefix_space_nested_in_a_sequence_is_found(tiny_model, tmp_path):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tiny_model("modernbert"))
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\d| ?[^\s\d]+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.save_pretrained(tmp_path)
    loaded = load_tokenizer(tmp_path)
    for text in ("pain", "patient, 12-3 mg. pain"):
        wanted = tokenizer.encode(" " + text, add_special_tokens=False)
        assert (
            loaded.encode(text, add_special_tokens=False)
            == loaded.encode(" " + text, add_special_tokens=False)
            == wanted
        )
    assert loaded(["pain"], is_split_into_words=True).word_ids().count(0) >= 1


def test_modernbert_real_tokenizer(real_data):
    tokenizer = load_tokenizer(real_data / "tokenizers" / "modernbert")
    assert (
        tokenizer.tokenize("patient has") == ["\u0120patient", "\u0120has"]
        and stated_length(tokenizer.model_max_length) == 8192
    )


def test_length_rule(tiny_model):
    tokenizer, config = load_tokenizer(tiny_model("bert")), AutoConfig.from_pretrained(tiny_model("bert"))
    assert choose_max_length(None, tokenizer, config)[0] == 512
    tokenizer.model_max_length = int(1e30)
    assert stated_length(tokenizer.model_max_length) == 512
    config.max_position_embeddings = 128
    assert choose_max_length(None, tokenizer, config) == (
        128,
        "the model has 128 positions, fewer than its tokenizer states (512)",
    )
    assert choose_max_length(100, tokenizer, config)[0] == 100
    for wrong in (129, 2):
        with pytest.raises(UserError, match=f"--max_length {wrong} does not fit this model; allowed: 3 to 128"):
            choose_max_length(wrong, tokenizer, config)


def test_context_limits(tiny_model):
    limits = {family: context_limit(AutoConfig.from_pretrained(tiny_model(family))) for family in FAMILIES}
    assert limits.pop("deberta-v2") is None and limits.pop("t5") is None  # relative positions
    assert set(limits.values()) == {512}


def test_missing_tokenizer_is_one_sentence(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    for name in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match="no tokenizer could be loaded from") as caught:
            load_tokenizer(name)
        assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)
