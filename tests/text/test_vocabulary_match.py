"""Two vocabularies side by side: same texts found under other marks, the rest cut into old pieces."""

import numpy as np
import pytest

from bioclinical.errors import UserError
from bioclinical.text.tokenization import load_tokenizer
from bioclinical.text.tokenizer_families import FAMILIES
from bioclinical.text.train_tokenizer import TokenizerSettings, save_tokenizer, train_tokenizer
from bioclinical.text.vocabulary_match import (
    Entry,
    entries_of,
    entry_of,
    match_by_focus,
    match_by_pieces,
    match_exactly,
    sparsemax,
)


@pytest.fixture(scope="module")
def tokenizers(notes, tmp_path_factory):
    """family -> tokenizer of 380 entries."""
    loaded = {}
    for name in FAMILIES:
        settings, folder = TokenizerSettings(name, 380), tmp_path_factory.mktemp("match") / name
        save_tokenizer(train_tokenizer(settings, lambda: notes[:200]), settings, folder, [])
        loaded[name] = load_tokenizer(folder)
    return loaded


def test_entries_without_their_marks():
    assert entry_of("\u0120pain", "bytes") == Entry("pain", True)
    assert entry_of("\u00c3\u00a9", "bytes") == Entry("\u00e9", False)
    assert entry_of("\u0120\u00c3", "bytes") == Entry("\u00c3", True, is_bytes=True)
    assert entry_of("##pain", "wordpiece") == Entry("pain", False)
    assert entry_of("\u2581pain", "metaspace") == Entry("pain", True)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_vocabulary_matches_itself_entry_by_entry(tokenizers, name):
    match = match_exactly(tokenizers[name], tokenizers[name])
    assert match.sources == {i: [(i, 1.0)] for i in range(len(tokenizers[name]))}


@pytest.mark.parametrize("old", ["roberta", "bert", "deberta-v2"])
@pytest.mark.parametrize("new", ["modernbert", "electra", "albert"])
def test_the_old_pieces_write_the_new_entrys_text(tokenizers, old, new):
    match = match_by_pieces(tokenizers[old], tokenizers[new])
    old_entries, entries = entries_of(tokenizers[old]), entries_of(tokenizers[new])
    normalizer = tokenizers[old].backend_tokenizer.normalizer
    for i, entry in entries.items():
        if i in match.sources and not entry.is_bytes:
            found = [old_entries[source] for source, _ in match.sources[i]]
            if any(one.is_bytes for one in found):
                continue
            written = "".join(one.text for one in found)
            expected = normalizer.normalize_str(entry.text) if normalizer and i not in match.copied else entry.text
            assert written.strip() == expected.strip()
            assert sum(weight for _, weight in match.sources[i]) == pytest.approx(1)
    assert match.sources[tokenizers[new].mask_token_id] == [(tokenizers[old].mask_token_id, 1.0)]


def test_gpt2s_end_of_text_stands_in_for_the_roles_it_lacks(tokenizers):
    match = match_exactly(tokenizers["gpt2"], tokenizers["bert"])
    end = [(tokenizers["gpt2"].eos_token_id, 1.0)]
    assert match.sources[tokenizers["bert"].cls_token_id] == match.sources[tokenizers["bert"].sep_token_id] == end
    assert tokenizers["bert"].mask_token_id not in match.sources


def test_focus_mixes_shared_entries_and_repeats_itself(tokenizers, notes):
    old, new = tokenizers["roberta"], tokenizers["albert"]
    match = match_by_focus(old, new, notes[:200])
    mixed = [i for i in match.sources if i not in match.copied]
    exact = {sources[0][0] for sources in match_exactly(old, new).sources.values()}
    assert mixed
    for i in mixed:
        assert sum(weight for _, weight in match.sources[i]) == pytest.approx(1, abs=1e-5)
        assert {source for source, _ in match.sources[i]} <= exact
    again = match_by_focus(old, new, notes[:200])
    for i in mixed:
        assert dict(again.sources[i]) == pytest.approx(dict(match.sources[i]), abs=1e-5)
    with pytest.raises(UserError, match="too little for focus"):
        match_by_focus(old, new, ["pain"])


def test_sparsemax_is_the_nearest_point_of_the_simplex():
    scores = np.random.default_rng(0).normal(size=(20, 6))
    weights = sparsemax(scores)
    assert np.allclose(weights.sum(-1), 1) and (weights >= 0).all() and (weights == 0).any()
    assert np.allclose(sparsemax(np.array([[0.0, 0.0], [5.0, 0.0]])), [[0.5, 0.5], [1, 0]])
    distance = ((weights - scores) ** 2).sum(-1)
    for other in np.random.default_rng(1).dirichlet(np.ones(6), size=500):
        assert (distance <= ((other - scores) ** 2).sum(-1) + 1e-12).all()
