"""New vocabularies: the same bit for bit wherever they are trained, in their family's form, as large as they say."""

import json
import os
import subprocess
import sys
from collections import Counter

import pytest
from repository import ROOT
from transformers import AutoTokenizer

from bioclinical.errors import UserError
from bioclinical.text import train_tokenizer as module
from bioclinical.text.tokenizer_families import ALGORITHMS, FAMILIES
from bioclinical.text.train_tokenizer import PROVENANCE_FILE, TokenizerSettings, save_tokenizer, train_tokenizer

# What each family's published models have at these places (negative: from the end).
PLACES = {
    "bert": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4},
    "electra": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4},
    "roberta": {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": -1},
    "gpt2": {"<|endoftext|>": -1},
    "albert": {"<pad>": 0, "<unk>": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4},
    "deberta-v2": {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3, "[MASK]": -1},
    "modernbert": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4},
}
SIZE = 390


@pytest.fixture(scope="module")
def trained(notes, tmp_path_factory):
    """family -> its folder, trained on notes with its own algorithm."""
    folders = {}
    for name in FAMILIES:
        settings = TokenizerSettings(name, SIZE)
        folders[name] = tmp_path_factory.mktemp("vocabularies") / name
        save_tokenizer(train_tokenizer(settings, lambda: notes[:200]), settings, folders[name], [])
    return folders


@pytest.mark.parametrize("name", FAMILIES)
def test_the_folder_has_its_familys_form(trained, name):
    tokenizer = AutoTokenizer.from_pretrained(trained[name])
    family = FAMILIES[name]
    assert type(tokenizer).__name__ == family.tokenizer_class
    assert tokenizer.model_max_length == family.max_length
    assert len(tokenizer) == SIZE == json.loads((trained[name] / PROVENANCE_FILE).read_text())["entries"]
    places = {token: place % SIZE for token, place in PLACES[name].items()}
    assert {token: tokenizer.convert_tokens_to_ids(token) for token in places} == places
    assert set(tokenizer.all_special_ids) == set(places.values())
    assert sorted(tokenizer.get_vocab().values()) == list(range(SIZE))


@pytest.mark.parametrize("name", FAMILIES)
def test_special_tokens_stand_around_one_text_and_two(trained, name):
    tokenizer = AutoTokenizer.from_pretrained(trained[name])
    one, other = (tokenizer(text, add_special_tokens=False).input_ids for text in ("chest pain", "no fever"))
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    if name == "gpt2":
        assert tokenizer("chest pain").input_ids == one
        return
    assert tokenizer("chest pain").input_ids == [cls, *one, sep]
    between = [sep, sep] if name == "roberta" else [sep]
    pair = tokenizer("chest pain", "no fever")
    assert pair.input_ids == [cls, *one, *between, *other, sep]
    if "token_type_ids" in pair:
        assert pair.token_type_ids == [0] * (len(one) + 2) + [1] * (len(other) + 1)


@pytest.mark.parametrize("name", ["roberta", "gpt2"])
def test_byte_bpe_writes_any_text_and_reads_it_back(trained, name):
    tokenizer = AutoTokenizer.from_pretrained(trained[name])
    text = "  two\nlines\t12.5 \u00b5g, na\u00efve \u6f22 \U0001f642 e\u0301"
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids) == text


def test_modernbert_composes_characters(trained):
    tokenizer = AutoTokenizer.from_pretrained(trained["modernbert"])
    assert tokenizer("e\u0301").input_ids == tokenizer("\u00e9").input_ids


@pytest.mark.parametrize("name", ["bert", "albert"])
def test_case_and_accents_do_not_matter_to_the_uncased(trained, name):
    tokenizer = AutoTokenizer.from_pretrained(trained[name])
    assert tokenizer("PAIN Caf\u00e9").input_ids == tokenizer("pain cafe").input_ids
    assert tokenizer("two\n\n  lines").input_ids == tokenizer("two lines").input_ids


def test_every_word_of_known_characters_is_written_by_wordpiece(trained, notes):
    tokenizer = AutoTokenizer.from_pretrained(trained["bert"])
    for text in notes[:200]:
        assert tokenizer.unk_token_id not in tokenizer(text).input_ids


def test_mask_takes_the_blank_before_it(trained):
    tokenizer = AutoTokenizer.from_pretrained(trained["roberta"])
    assert tokenizer("pain <mask>").input_ids == tokenizer("pain<mask>").input_ids


def test_albert_never_joins_its_separate_symbols(notes):
    texts = [f"({text}) 1.5-2.5" for text in notes[:100]]
    backend = train_tokenizer(TokenizerSettings("albert", 300), lambda: texts)
    assert [piece for piece in backend.get_vocab() if len(piece) > 1 and set(piece) & set("().-")] == []


@pytest.mark.parametrize("name", ["bert", "modernbert"])
def test_another_algorithm_takes_the_general_class(notes, tmp_path, name):
    other = "bytebpe" if name == "bert" else "unigram"
    settings = TokenizerSettings(name, 400, algorithm=other, max_length=128)
    save_tokenizer(train_tokenizer(settings, lambda: notes[:50]), settings, tmp_path / "t", [])
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "t")
    assert type(tokenizer).__name__ == "PreTrainedTokenizerFast" and tokenizer.model_max_length == 128
    assert tokenizer.convert_ids_to_tokens(tokenizer("pain").input_ids)[0] == "[CLS]"


TRAIN_AND_PRINT = """
import hashlib, sys
from bioclinical.text.train_tokenizer import TokenizerSettings, train_tokenizer
texts = open(sys.argv[2]).read().split("\\x1e")
if sys.argv[3] == "reversed":
    texts.reverse()
settings = TokenizerSettings("bert", 900, algorithm=sys.argv[1])
print(hashlib.sha256(train_tokenizer(settings, lambda: texts).to_str().encode()).hexdigest())
"""


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_other_processes_cores_and_order_of_texts_give_the_same_vocabulary(notes, tmp_path, algorithm):
    (tmp_path / "texts").write_text("\x1e".join(notes[:300]))
    hashes = set()
    for threads, seed, order in (("1", "1", "given"), ("2", "2", "given"), ("3", "3", "reversed")):
        environment = os.environ | {"RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", TRAIN_AND_PRINT, algorithm, str(tmp_path / "texts"), order]
        hashes.add(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    assert len(hashes) == 1


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_small_corpus_gives_fewer_entries(algorithm):
    settings = TokenizerSettings("bert", 5000, algorithm=algorithm)
    backend = train_tokenizer(settings, lambda: ["chest pain and fever"] * 10)
    assert 5 < backend.get_vocab_size() < 600


def test_sentencepiece_gets_a_proportional_sample_of_a_large_corpus(monkeypatch):
    monkeypatch.setattr(module, "MOST_OCCURRENCES", 100)
    assert module.sampled(Counter({"often": 900, "rare": 99, "once": 1})) == {"often": 90, "rare": 10}
    assert module.sampled(Counter({"often": 90, "once": 1})) == {"often": 90, "once": 1}


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"family": "t5"}, "--family t5 is unknown; one of bert"),
        ({"algorithm": "words"}, "--algorithm words is unknown; one of bytebpe"),
        ({"vocab_size": 100}, "--vocab_size 100 is too small; 261 or more"),
        ({"min_frequency": 0}, "--min_frequency 0 is not allowed"),
    ],
)
def test_settings_that_are_not_allowed(changed, message):
    with pytest.raises(UserError, match=message):
        TokenizerSettings(**{"family": "roberta", "vocab_size": 1000} | changed).resolved()
