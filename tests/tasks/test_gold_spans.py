"""Gold spans that a tag per word cannot give back: counted by reason, and the ceiling that follows."""

import json
import random
import shutil
import subprocess
import sys
from collections import Counter

import pytest
from invented_results import run_results
from seqeval.metrics.sequence_labeling import get_entities

import dataloader
from bioclinical.tasks.corpora.cos import read_snippets
from bioclinical.tasks.gold_spans import GoldSpan, best_f1, count_spans, gold_span, kept_share, summed
from bioclinical.tasks.readers.brat import BratReader, tag_covered_spans, tag_tokens
from bioclinical.tasks.readers.spans import tagged_lines
from bioclinical.text.words import WHITESPACE_TOKENS, WORD_AND_PUNCTUATION_TOKENS, token_offsets

TEXT = "acute left and right lung disease of smokers, mild"


def counted(tmp_path, annotations, strict=False, token_pattern=WORD_AND_PUNCTUATION_TOKENS):
    (tmp_path / "a.txt").write_text(TEXT)
    lines = []
    for number, (fragments, kind) in enumerate(annotations, start=1):
        surface = " ".join(TEXT[start:end] for start, end in fragments)
        lines.append(f"T{number}\t{kind} {';'.join(f'{s} {e}' for s, e in fragments)}\t{surface}\n")
    (tmp_path / "a.ann").write_text("".join(lines))
    reader = BratReader(token_pattern)
    read = reader.read_strict_document if strict else reader.read_document
    return read(tmp_path / "a.txt", Counter())["gold_spans"]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    "annotations, lost",
    [
        ([([(0, 5)], "X"), ([(21, 33)], "Y")], {}),
        ([([(0, 5)], "X"), ([(0, 5)], "X")], {}),  # the same span twice is one
        ([([(6, 10), (21, 25)], "X")], {"discontinuous": 1}),
        ([([(37, 43)], "X")], {"ending inside a word": 1}),  # "smoker" of "smokers"
        ([([(0, 5)], "X"), ([(0, 5)], "Y")], {"same offsets as another": 1}),
        ([([(21, 33)], "X"), ([(21, 25)], "Y")], {"nested": 1}),
        ([([(15, 25)], "X"), ([(21, 33)], "Y")], {"crossing": 1}),
        ([([(5, 6)], "X")], {"without a word": 1}),
    ],
)
def test_each_reason_is_counted(tmp_path, annotations, lost, strict):
    found = counted(tmp_path, annotations, strict=strict)
    assert found["gold"] == len({(str(pieces), kind) for pieces, kind in annotations})
    assert found["lost"] == lost


def test_white_space_words_lose_what_touches_punctuation(tmp_path):
    smokers = [([(37, 44)], "X")]
    assert counted(tmp_path, smokers)["lost"] == {}
    assert counted(tmp_path, smokers, token_pattern=WHITESPACE_TOKENS)["lost"] == {"ending inside a word": 1}


@pytest.mark.parametrize("pattern", [WHITESPACE_TOKENS, WORD_AND_PUNCTUATION_TOKENS])
@pytest.mark.parametrize("is_strict", [False, True])
def test_the_ceiling_is_what_a_perfect_tagger_reaches(pattern, is_strict):
    """Oracle: the tags' entities as character spans, held against all annotations."""
    rng = random.Random(3)
    for _ in range(300):
        text = "".join(rng.choice("ab ,") for _ in range(30))
        spans = []
        for _ in range(rng.randint(0, 6)):
            ends = sorted(rng.sample(range(31), rng.choice((2, 2, 2, 4))))
            pieces = tuple(zip(ends[::2], ends[1::2]))
            if all(text[s] not in " " and text[e - 1] not in " " for s, e in pieces):
                spans.append(GoldSpan(pieces, rng.choice("XY")))
        words = token_offsets(text, pattern)
        if is_strict:
            tags = tag_covered_spans(words, [(*piece, span.type) for span in spans for piece in span.pieces])
        else:
            tags = tag_tokens(words, [(*span.pieces[0], span.type) for span in spans if len(span.pieces) == 1])
        predicted = {(((words[i][0], words[j][1]),), kind) for kind, i, j in get_entities(tags)}
        gold = {(span.pieces, span.type) for span in spans}
        right = len(gold & predicted)
        found = count_spans(words, spans, tags)
        assert found["gold"] == len(gold) and found["gold"] - sum(found["lost"].values()) == right
        if gold:
            assert kept_share(found) == pytest.approx(right / len(gold))
            assert best_f1(found) == pytest.approx(2 * right / (len(gold) + len(predicted)))


def test_a_span_over_two_lines_is_in_pieces(tmp_path):
    text = "one two\nthree four\n"
    lines = tagged_lines(tmp_path, "d", text, [(4, 13, "X"), (14, 18, "Y")], WHITESPACE_TOKENS)
    assert [line["tags"] for line in lines] == [["O", "B-X"], ["B-X", "B-Y"]]
    assert summed(lines) == {"gold": 2, "tagged": 3, "lost": {"discontinuous": 1}}


def test_left_out_spans_of_snippets_are_gold(tmp_path):
    (tmp_path / "r.ann").write_text(
        "T1\tSnippet 10 22\tmild edema ok\nT2\tVal 10 14;20 22\tmild ok\nT3\tAttr 15 20\tedema\nT4\tRef 30 33\tnow\n"
    )
    for strict in (False, True):
        (example,) = read_snippets(tmp_path / "r.ann", Counter(), strict)
        assert example["gold_spans"]["gold"] == 2 and example["gold_spans"]["lost"] == {"discontinuous": 1}


def test_examples_without_spans_have_no_ceiling():
    assert summed([{"id": "1"}]) is None
    assert best_f1(count_spans([(0, 3)], [], ["O"])) == 1.0
    assert count_spans([(0, 3)], [gold_span(0, 3, "X")], ["B-X"])["lost"] == {}


def test_ceilings_are_shown_and_stored(sample, tiny_model, run_main, tmp_path, monkeypatch, capsys):
    """From the raw files to dataloader.py, the result and its table; the dump does not hold them."""
    shutil.copytree(sample / "raw" / "SocialHistory", tmp_path / "raw" / "SocialHistory")
    for path in (tmp_path / "raw" / "SocialHistory").glob("*.ann"):
        first = path.read_text().splitlines()[0].split("\t")
        _, start, end = first[1].split()
        path.write_text(path.read_text() + f"T99\tOther {start} {end}\t{first[2]}\n")
    dump = tmp_path / "dump.jsonl"
    arguments = ("--dataset", "SocialHistory", "--protocol", "strict", "--data_dir", tmp_path / "raw")
    monkeypatch.setattr(sys, "argv", ["dataloader.py", *map(str, arguments), "--dump", str(dump)])
    dataloader.main()
    shown = capsys.readouterr().out
    assert "gold spans" in shown and "lost: same offsets as another" in shown and "best F1 against all gold, %" in shown
    assert all("gold_spans" not in json.loads(line) for line in dump.read_text().splitlines())

    short = ("--limit", 2, "--epochs", 1, "--output_dir", tmp_path / "out")
    code, out, err = run_main(*arguments, "--model", tiny_model("bert"), *short)
    assert code == 0 and "ceiling: " in out, err
    stored = json.loads((tmp_path / out.splitlines()[-1]).read_text())["gold_spans"]
    assert stored["test"]["lost"] == {"same offsets as another": 2}
    _, shown, _ = run_results(monkeypatch, capsys, tmp_path / "out")
    assert "gold spans of the test cannot be tagged (2 same offsets as another)" in shown


def test_spans_of_real_case_reports(real_data, tmp_path):
    """MACCROBAT 2020: every annotation is counted, 44 of them discontinuous."""
    archive = real_data / "brat" / "maccrobat2020.tar.zst"
    if not archive.exists() or shutil.which("zstd") is None:
        pytest.skip("no MACCROBAT, or no zstd to unpack it")
    subprocess.run(["tar", "--zstd", "-xf", archive, "-C", tmp_path], check=True)
    folder = next(tmp_path.rglob("*.ann")).parent
    found = summed(
        BratReader().read_strict_document(path.with_suffix(".txt"), Counter()) for path in folder.glob("*.ann")
    )
    assert found["gold"] == 25_189 and found["lost"]["discontinuous"] == 44
    assert 0.97 < kept_share(found) < 0.99 and best_f1(found) > kept_share(found)
