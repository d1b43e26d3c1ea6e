"""Documents that are left out before conversion: duplicates, and what overlaps with test sets."""

import csv
import itertools
import json
import random
import shutil
import sys

import numpy as np
import pytest

import dataloader
from bioclinical.errors import run_cli
from bioclinical.mds.contamination import overlaps
from bioclinical.mds.duplicates import Documents, Signer, equal_pairs
from bioclinical.mds.wanted import METHODS, OVERLAP_WORDS
from bioclinical.text.ngrams import NGramIndex, ngram_hashes, words_of

WORDS = [f"word{number}" for number in range(500)]


def random_text(generator: random.Random, length: int) -> str:
    return " ".join(generator.choices(WORDS, k=length))


def changed(text: str, generator: random.Random, count: int) -> str:
    """The text with `count` of its words replaced."""
    words = text.split()
    for place in generator.sample(range(len(words)), count):
        words[place] = "changed"
    return " ".join(words)


def write_notes(path, texts, column="notes"):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([column])
        writer.writerows([text] for text in texts)
    return path


def clusters_of(texts, method):
    signer = Signer(method)
    documents = Documents(signer.keys_per_document)
    for text in texts:
        documents.add(signer.keys(text))
    return documents.clusters()


# --- n-grams ----------------------------------------------------------------------------------------------------------


def test_hashes_are_equal_where_the_ngrams_are():
    generator = random.Random(0)
    words = generator.choices(["a", "b", "c"], k=300)
    for n in (1, 2, 5):
        hashes = ngram_hashes(words, n).tolist()
        ngrams = [tuple(words[place : place + n]) for place in range(len(words) - n + 1)]
        assert len(hashes) == len(ngrams)
        assert len(set(zip(hashes, ngrams))) == len(set(hashes)) == len(set(ngrams))


def test_index_finds_what_shares_a_run_of_words():
    generator = random.Random(1)
    texts = [random_text(generator, length) for length in (12, 13, 40)]
    index = NGramIndex(texts, 13)
    assert (index.text_count, index.too_short) == (3, 1)
    assert not index.overlaps(texts[0])  # too short to be looked for
    assert index.overlaps(f"{random_text(generator, 30)}: {texts[1].upper()}!")  # neither case nor signs count
    assert index.overlaps(" ".join(texts[2].split()[5:18]))
    assert not index.overlaps(" ".join(texts[2].split()[5:17]))
    assert not NGramIndex([], 13).overlaps(texts[2])


# --- Clusters ---------------------------------------------------------------------------------------------------------


def test_pairs_join_all_places_with_the_same_key():
    keys = np.random.default_rng(0).integers(0, 40, 200).astype(np.uint64)
    joined = {place: {place} for place in range(200)}
    for a, b in equal_pairs(keys).T:
        union = joined[a] | joined[b]
        for place in union:
            joined[place] = union
    for a, b in itertools.product(range(200), repeat=2):
        assert (b in joined[a]) == (keys[a] == keys[b])


@pytest.mark.parametrize("method", METHODS)
def test_same_words_are_duplicates_and_the_first_is_kept(method):
    texts = ["One note.", "another note", "ONE   note", "...", "!!!", "...", "one note"]
    clusters = clusters_of(texts, method)
    assert clusters.repeats().tolist() == [False, False, True, False, False, True, True]
    assert clusters.first.tolist() == [0, 1, 0, 3, 4, 3, 0]


def test_near_duplicates_are_found_at_the_stated_rate():
    """1 - (1 - s^8)^14 of the pairs at similarity s: nearly all at 0.9, few at 0.4."""
    generator = random.Random(2)
    originals = [random_text(generator, 200) for _ in range(150)]
    for changes, low, high in ((2, 0.97, 1.0), (40, 0.0, 0.15)):
        copies = [changed(text, generator, changes) for text in originals]
        clusters = clusters_of([text for pair in zip(originals, copies) for text in pair], "minhash")
        repeats = clusters.repeats()
        assert not repeats[::2].any()
        assert low <= repeats[1::2].mean() <= high
        assert not clusters.repeats_exactly().any()


def test_near_duplicates_by_way_of_others_are_one_cluster():
    generator = random.Random(3)
    chain = [random_text(generator, 300)]
    for _ in range(8):
        chain.append(changed(chain[-1], generator, 3))
    assert clusters_of(chain, "minhash").first.tolist() == [0] * 9


def test_long_documents_are_signed_in_pieces(monkeypatch):
    text = random_text(random.Random(4), 700)
    whole = Signer("minhash").keys(text)
    monkeypatch.setattr("bioclinical.mds.duplicates.SHINGLES_AT_ONCE", 50)
    assert Signer("minhash").keys(text) == whole


# --- The converter ----------------------------------------------------------------------------------------------------


def stats(folder, stem):
    return json.loads((folder / f"{stem}.stats.json").read_text(encoding="utf-8"))


@pytest.fixture
def corpus(tmp_path):
    """Two files with an exact copy within the first, another across both, a near copy, and a test text inside one."""
    generator = random.Random(5)
    texts = [random_text(generator, 120) for _ in range(12)]
    test_text = " ".join(texts[7].split()[20:50])
    first = [*texts[:8], texts[2].upper()]
    second = [*texts[8:], changed(texts[3], generator, 2), f"{texts[4]} ."]
    write_notes(tmp_path / "test.csv", [test_text, "a short one"], "text")
    kept = [*texts[:7]], texts[8:]
    return write_notes(tmp_path / "a.csv", first), write_notes(tmp_path / "b.csv", second), kept


def test_the_rest_is_converted_as_if_the_rows_were_not_there(convert, corpus, tmp_path):
    first, second, kept = corpus
    arguments = ("--dedup", "minhash", "--exclude", tmp_path / "test.csv")
    code, output, _ = convert([first, second], *arguments)
    assert code == 0
    assert "a.csv: of 9 documents 1 duplicate (11.1%), 0 near_duplicate (0.0%), 1 overlaps_evaluation (11.1%)" in output
    assert "b.csv: of 6 documents 1 duplicate (16.7%), 1 near_duplicate (16.7%), 0 overlaps_evaluation" in output
    assert "2, of which 1 have fewer than 13 words" in output
    assert stats(tmp_path / "out", "b")["skipped_rows"] == {"duplicate": 1, "near_duplicate": 1}
    (tmp_path / "clean").mkdir()
    clean = [write_notes(tmp_path / "clean" / f"{stem}.csv", texts) for stem, texts in zip("ab", kept)]
    assert convert(clean, out="expected")[0] == 0
    for stem in "ab":
        for path in (tmp_path / "expected" / stem).iterdir():
            assert (tmp_path / "out" / stem / path.name).read_bytes() == path.read_bytes()


def test_a_second_run_is_finished_and_other_rules_are_refused(convert, corpus):
    first, second, _ = corpus
    assert convert([first, second], "--dedup", "exact")[0] == 0
    code, output, _ = convert([first, second], "--dedup", "exact")
    assert code == 0 and output.count("was finished already") == 2
    code, _, errors = convert([first, second])
    assert code == 2 and "left_out_sha256" in errors


def test_report_alone_writes_rows_and_no_text(run_script, corpus, tmp_path):
    first, second, _ = corpus
    report = tmp_path / "report.json"
    code, output, _ = run_script(
        "convert_dataset_to_mds", "--dataset", first, second, "--dedup", "minhash", "--dedup_report", report
    )
    assert code == 0 and "clusters of two or more documents: 3, the largest of 2" in output
    content = json.loads(report.read_text(encoding="utf-8"))
    assert content["rows"] == {str(first): {"8": "duplicate"}, str(second): {"4": "near_duplicate", "5": "duplicate"}}
    assert content["report"]["repeats"] == [
        [str(first), 8, str(first), 2],
        [str(second), 4, str(first), 3],
        [str(second), 5, str(first), 4],
    ]
    assert not set(WORDS) & set(words_of(report.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--dedup_report", "r.json"), "has nothing to report"),
        (("--exclude", "absent.csv"), "--exclude 'absent.csv' matches no file"),
        (("--exclude", "{test}", "--exclude_column", "body"), "has no column 'body'"),
    ],
)
def test_bad_arguments_are_one_sentence(convert, corpus, tmp_path, arguments, sentence):
    arguments = [argument.replace("{test}", str(tmp_path / "test.csv")) for argument in arguments]
    code, _, errors = convert(corpus[0], *arguments)
    assert code == 2 and sentence in errors and "Traceback" not in errors
    assert not (tmp_path / "out").exists()


# --- Contamination ----------------------------------------------------------------------------------------------------


def test_overlap_counts_texts_and_runs():
    generator = random.Random(6)
    seen, unseen = random_text(generator, 30), random_text(generator, 40)
    half = " ".join(seen.split()[:20]) + " " + random_text(generator, 10)
    found = overlaps({"A": [seen, unseen, "short"], "B": [half], "C": ["short"]}, [f"before {seen} after", "short"])
    runs_seen, runs_unseen = 30 - OVERLAP_WORDS + 1, 40 - OVERLAP_WORDS + 1
    assert (found["A"].texts, found["A"].long_enough, found["A"].overlapping) == (3, 2, 1)
    assert found["A"].share_of_runs == pytest.approx(runs_seen / (runs_seen + runs_unseen))
    assert found["B"].overlapping == 1 and found["B"].share_of_runs == pytest.approx(8 / 18)
    assert (found["C"].texts, found["C"].long_enough, found["C"].overlapping, found["C"].share_of_runs) == (1, 0, 0, 0)


@pytest.fixture
def run_dataloader(monkeypatch, capsys):
    """Runs dataloader.py's command line in this process; returns (exit code, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["dataloader.py", *map(str, arguments)])
        code = 0
        try:
            run_cli(dataloader.main)
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return run


def test_test_texts_are_found_in_a_corpus_made_of_them(convert, run_dataloader, sample, tmp_path):
    raw = tmp_path / "data" / "raw"
    for task in ("Phenotype", "DEID"):
        shutil.copytree(sample / "raw" / dataloader.get_task(task).folder, raw / dataloader.get_task(task).folder)
    code, output, _ = run_dataloader("--test_texts", tmp_path / "texts.jsonl", "--data_dir", raw)
    assert code == 0 and "test texts of Phenotype, DEID" in output
    assert convert(tmp_path / "texts.jsonl", "--text_column", "text", "--concat_tokens", 8192)[0] == 0
    folder = tmp_path / "out" / "texts"
    code, output, _ = run_dataloader("--contamination", folder, "--data_dir", raw)
    assert code == 0 and len(output.splitlines()) == 2
    assert output.count("100.00% of their runs of 13 words occur") == len(output.splitlines())
    code, _, errors = run_dataloader("--contamination", folder, "--data_dir", tmp_path)
    assert code == 2 and "holds the files of no task" in errors
