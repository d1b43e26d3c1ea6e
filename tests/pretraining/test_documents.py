"""MDS in every form that is accepted, windows over long documents, and what damaged data say."""

import numpy as np
import pytest
from pretraining_setup import write_mds

from bioclinical.errors import UserError
from bioclinical.pretraining.data.documents import Documents, Windows, expect_ids, open_documents
from bioclinical.pretraining.data.id_check import ExpectedIds
from bioclinical.text.tokenization import load_tokenizer

VOCABULARY = 500


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    return load_tokenizer(tiny_model())


def some_ids(count: int = 30, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, VOCABULARY, length) for length in rng.integers(1, 400, count)]


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "int32", "int64"])
@pytest.mark.parametrize("compression", [None, "zstd"])
def test_token_columns(tmp_path, tokenizer, dtype, compression):
    ids = some_ids()
    folder = write_mds(tmp_path / "mds", {"input_ids": f"ndarray:{dtype}"},
                       [{"input_ids": one.astype(dtype)} for one in ids], compression=compression)  # fmt: skip
    documents = open_documents(folder, VOCABULARY, tokenizer)
    assert documents.lengths.tolist() == [len(one) for one in ids]
    for number, one in enumerate(ids):
        assert documents[number].dtype == np.int64
        np.testing.assert_array_equal(documents[number], one)


def test_columns_beside_the_tokens(tmp_path, tokenizer):
    ids = some_ids()
    columns = {"id": "str", "input_ids": "ndarray:uint16", "attention_mask": "ndarray:int64"}
    samples = [{"id": f"note {n}", "input_ids": one.astype(np.uint16), "attention_mask": np.ones_like(one)}
               for n, one in enumerate(ids)]  # fmt: skip
    documents = open_documents(write_mds(tmp_path / "mds", columns, samples), VOCABULARY, tokenizer)
    assert documents.lengths.tolist() == [len(one) for one in ids]
    np.testing.assert_array_equal(documents[7], ids[7])


def test_text_is_tokenised(tmp_path, tokenizer, notes):
    folder = write_mds(tmp_path / "mds", {"text": "str"}, [{"text": note} for note in notes[:9]])
    documents = open_documents(folder, VOCABULARY, tokenizer)
    assert [documents[n].tolist() for n in range(9)] == tokenizer(notes[:9])["input_ids"]
    assert documents.lengths.tolist() == [len(documents[n]) for n in range(9)]


@pytest.mark.parametrize(("columns", "content", "message"), [
    ({"input_ids": "bytes"}, {"input_ids": b"12345678"}, "stored as 'bytes'; needed: ndarray"),
    ({"input_ids": "ndarray:float32"}, {"input_ids": np.ones(3, np.float32)}, "stored as 'ndarray:float32'"),
    ({"tokens": "bytes"}, {"tokens": b"1"}, "has the columns tokens; needed: input_ids, or text"),
    ({"input_ids": "ndarray:uint16"}, {"input_ids": np.array([1, 600], np.uint16)}, "holds the id 600, but the vocabulary"),
])  # fmt: skip
def test_wrong_content(tmp_path, tokenizer, columns, content, message):
    folder = write_mds(tmp_path / "mds", columns, [content])
    with pytest.raises(UserError, match=message):
        open_documents(folder, VOCABULARY, tokenizer)[0]


def test_missing_cut_and_changed_shards(tmp_path, tokenizer):
    folder = write_mds(tmp_path / "mds", {"input_ids": "ndarray:uint16"},
                       [{"input_ids": one.astype(np.uint16)} for one in some_ids()], size_limit=1 << 12)  # fmt: skip
    shard = folder / "shard.00001.mds"
    content = shard.read_bytes()
    shard.write_bytes(content[:-9])
    with pytest.raises(UserError, match=r"shard.00001.mds' is damaged: [\d,]+ bytes instead of [\d,]+; copy"):
        open_documents(folder, VOCABULARY, tokenizer)
    shard.unlink()
    with pytest.raises(UserError, match="shard.00001.mds' is missing"):
        open_documents(folder, VOCABULARY, tokenizer)
    shard.write_bytes(content[:200] + b"\xff" * (len(content) - 200))
    documents = open_documents(folder, VOCABULARY, tokenizer)
    with pytest.raises(UserError, match="sample .* of '.*shard.00001.mds'"):
        [documents[n] for n in range(len(documents.lengths))]


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "int32", "int64"])
@pytest.mark.parametrize("beside", [{}, {"id": "str"}])
def test_unusable_ids_are_found_in_all_shards_before_they_are_read(tmp_path, tokenizer, dtype, beside):
    """Against looking at every document."""
    ids = [np.append(one, 3).astype(dtype) for one in some_ids(200, 3)]
    bad = {70: (0, VOCABULARY), 131: (-1, 7), 199: (0, 4)}  # document: (place, id)
    for number, (place, one) in bad.items():
        ids[number][place] = one
    samples = [{"input_ids": one, **dict.fromkeys(beside, "a")} for one in ids]
    folder = write_mds(tmp_path / "mds", beside | {"input_ids": f"ndarray:{dtype}"}, samples, size_limit=1 << 14)
    documents = open_documents(folder, VOCABULARY, tokenizer)
    assert len(documents.readers) > 2
    for rules in (
        ExpectedIds(VOCABULARY),
        ExpectedIds(VOCABULARY + 1, 3),
        ExpectedIds(VOCABULARY, 3, frozenset({4, 9})),
    ):
        wrong = [number for number, one in enumerate(ids) if len(one) and (
            one.max() >= rules.below or (rules.last is not None and one[-1] != rules.last) or rules.never & set(one.tolist()))]  # fmt: skip
        assert documents.refused(rules) == wrong and (not wrong or len(wrong) < 200)
        parts = [number for part in range(3) for number in documents.refused(rules, part, 3)]
        assert sorted(parts) == wrong


def test_what_unusable_ids_say(tmp_path, tokenizer):
    ids = [np.array([5, 6, 3], np.uint16)] * 3 + [np.array([5, 600, 3], np.uint16)]
    folder = write_mds(tmp_path / "mds", {"input_ids": "ndarray:uint16"}, [{"input_ids": one} for one in ids])
    documents = open_documents(folder, VOCABULARY, tokenizer)
    with pytest.raises(
        UserError, match=r"sample 3 of '.*shard.00000.mds' holds the id 600, but the vocabulary has 500"
    ):
        expect_ids(documents, ExpectedIds(VOCABULARY), 0, 1, show=False)
    with pytest.raises(
        UserError, match=r"sample 0 of .* \(and 3 more\) was not converted for next_token: .* the id 4 "
    ):
        expect_ids(documents, ExpectedIds(1000, last=4), 0, 1, show=False)


def test_no_index_and_no_samples(tmp_path, tokenizer):
    (tmp_path / "train").mkdir()
    with pytest.raises(UserError, match="python pretraining_resources/merge_mds.py"):
        open_documents(tmp_path / "train", VOCABULARY, tokenizer)
    (tmp_path / "train" / "index.json").write_text('{"version": 2, "shards": []}')
    with pytest.raises(UserError, match="holds no samples"):
        open_documents(tmp_path / "train", VOCABULARY, tokenizer)


class Listed(Documents):
    def __init__(self, lengths: list[int]):
        self.lengths = np.array(lengths)

    def __getitem__(self, index: int) -> np.ndarray:
        return np.concatenate([[0], np.arange(2, self.lengths[index]), [1]])[: self.lengths[index]]


def test_windows_hold_every_id_once_between_first_and_last():
    lengths = [5, 0, 10, 11, 12, 57, 100, 3]
    windows = Windows(Listed(lengths), 10)
    found = {document: [] for document in range(len(lengths))}
    for unit, length in enumerate(windows.lengths):
        ids, document, number = windows.read(unit)
        assert len(ids) == length <= 10
        if lengths[document] > 10:
            assert (ids[0], ids[-1]) == (0, 1) and number == len(found[document])
        found[document].append(ids)
    for document, length in enumerate(lengths):
        content = np.concatenate([ids[1:-1] for ids in found[document]]) if length else []
        np.testing.assert_array_equal(content, np.arange(2, length) if length else [])
    assert windows.windowed_documents == 4
