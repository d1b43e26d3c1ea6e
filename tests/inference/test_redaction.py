"""Redaction: overlapping entities, stand-ins that agree within a patient and with nothing else, dates that keep their
intervals and their form, audits against marked notes."""

import functools
import itertools
import json
import random
import re
import sys
from datetime import date, timedelta

import numpy as np
import pytest

from bioclinical import predict
from bioclinical.finetuning.saved_model import TrainedFacts, save_model
from bioclinical.inference.audit import MarkedNote, audited, interval
from bioclinical.inference.documents import Document
from bioclinical.inference.predictor import Predictor
from bioclinical.inference.redact import redacted, stretches
from bioclinical.inference.redaction_files import Placeholders, write_redacted
from bioclinical.inference.shifted_dates import shifted
from bioclinical.inference.surrogates import Surrogates, kind_of


def entity(start, end, kind="name"):
    return {"start": start, "end": end, "type": kind}


# --- Overlapping, nested and touching entities ------------------------------------------------------------------------


def test_the_rule_for_overlapping_nested_and_touching_entities():
    text = "seen by Ann Lee 3/4 today"
    cases = [
        ([entity(8, 15), entity(8, 11)], "seen by [name] 3/4 today"),  # nested
        ([entity(8, 15), entity(12, 19, "date")], "seen by [name] today"),  # crossing: the first of equals
        ([entity(8, 11), entity(8, 15, "place")], "seen by [place] 3/4 today"),  # the longest
        ([entity(16, 17, "date"), entity(17, 19, "date")], "seen by Ann Lee [date] today"),  # touching, one type
        ([entity(8, 15), entity(15, 19, "date")], "seen by [name][date] today"),  # touching, two types
        ([entity(16, 19, "date"), entity(8, 15)], "seen by [name] [date] today"),  # in any order
        ([], text),
    ]
    for entities, expected in cases:
        assert redacted(text, entities) == expected
    for wrong in (entity(-1, 2), entity(3, 3), entity(20, 99)):
        with pytest.raises(ValueError, match="must be inside the text"):
            redacted(text, [wrong])


def test_nothing_inside_any_entity_is_left_whatever_they_are():
    """Random spans over letters that occur once each: what is inside one is gone, all else stands, in its order."""
    generator = random.Random(0)
    text = "".join(chr(0x4E00 + i) for i in range(60))
    for _ in range(300):
        spans = [sorted(generator.sample(range(61), 2)) for _ in range(generator.randrange(8))]
        entities = [entity(start, end, generator.choice("ab")) for start, end in spans]
        outside = [c for i, c in enumerate(text) if not any(start <= i < end for start, end in spans)]
        left = re.sub(r"\[[ab]\]", "", redacted(text, entities))
        assert left == "".join(outside)
        found = stretches(entities, 60)
        assert all(a["end"] <= b["start"] for a, b in itertools.pairwise(found))


# --- Dates ------------------------------------------------------------------------------------------------------------


def test_dates_move_by_the_same_days_and_keep_their_form():
    cases = {
        "2019-03-04": "2019-03-14", "2019/12/30": "2020/01/09", "03/04/2019": "03/14/2019", "3/4/19": "3/14/19",
        "12/25/98": "01/04/99", "3-4-2019": "3-14-2019", "25/12/2019": "04/01/2020", "March 4, 2019": "March 14, 2019",
        "MARCH 4, 2019": "MARCH 14, 2019", "Dec 30 2019": "Jan 9 2020", "4 March 2019": "14 March 2019",
        "21st of May 2019": "31st of May 2019", "23rd Feb. 2020": "4th Mar. 2020", "March 2019": "March 2019",
        "3/4": "3/14", "March 4": "March 14", "2019": "2019", "Monday": "Thursday", "SUN": "WED",
        "Monday 3/4/2019 at 10:30 am": "Thursday 3/14/2019 at 10:30 am", "3/4/19 - 3/9/19": "3/14/19 - 3/19/19",
    }  # fmt: skip
    assert {text: shifted(text, 10) for text in cases} == cases
    for unreadable in ("yesterday", "13/45/2019", "2/30/2019", "3/4/19 Ann", "", "12", "1/2/3/4", "room 7 3/4/19"):
        assert shifted(unreadable, 10) is None, unreadable


def test_intervals_between_whole_dates_are_exact():
    generator = random.Random(0)
    for _ in range(300):
        days = generator.randrange(-4000, 4000)
        first = date(2000, 1, 1) + timedelta(days=generator.randrange(9000))
        for form in ("%Y-%m-%d", "%m/%d/%Y", "%B %d, %Y"):
            moved = shifted(first.strftime(form), days)
            assert moved == (first + timedelta(days=days)).strftime(form) or "%B" in form
            assert shifted(moved, -days).replace(" 0", " ") == first.strftime(form).replace(" 0", " ")


# --- Stand-ins --------------------------------------------------------------------------------------------------------


@pytest.fixture
def surrogates():
    pytest.importorskip("faker")
    return Surrogates()


def test_kinds_of_types_of_several_corpora():
    kinds = {
        "name": "name", "phone_nb": "id", "LOCATION-OTHER": "place", "DOCTOR": "name", "MEDICALRECORD": "id",
        "date": "date", "AGE": "age", "HOSPITAL": "place", "other": None, "Dosage": None, "PROFESSION": None,
    }  # fmt: skip
    assert {name: kind_of(name) for name in kinds} == kinds


def test_names_agree_within_a_patient_in_every_form(surrogates):
    def name(surface, patient="1"):
        return surrogates.substitute(patient, "name", surface)

    whole = name("Dr. Ann Lee")
    title, first, last = whole.split()
    assert title == "Dr." and "Ann" not in whole and "Lee" not in whole
    assert name("Lee") == last and name("LEE") == last.upper() and name("Lee, Ann") == f"{last}, {first}"
    assert name("Lee's") == f"{last}'s" and re.fullmatch(r"[A-Z]\. " + last, name("A. Lee"))
    others = [name(f"Ann Lee{'x' * i}") for i in range(1, 30)]
    assert len({other.split()[1] for other in others} | {last}) == 30  # two people never become one
    assert name("Ann Lee", "2") != f"{first} {last}"


def test_ids_places_and_ages_keep_their_form(surrogates):
    def made(kind, surface, patient="1"):
        return surrogates.substitute(patient, kind, surface)

    phone = made("phone_nb", "(555) 123-4567")
    assert re.fullmatch(r"\(\d{3}\) \d{3}-\d{4}", phone) and phone != "(555) 123-4567" == "(555) 123-4567"
    assert made("phone_nb", "(555) 123-4567") == phone
    assert re.fullmatch(r"[A-Z]{2}\d{2}-[a-z]", made("MEDICALRECORD", "MR07-x"))
    assert made("HOSPITAL", "Saint Ann Hospital").endswith(" Hospital")
    assert re.fullmatch(r"\d{5}", made("location", "02139")) and made("location", "02139") != "02139"
    assert re.match(r"\d+ ", made("location", "12 Main St")) and re.fullmatch("[A-Z]{2}", made("STATE", "MA"))
    assert made("city", "BOSTON").isupper() and made("city", "BOSTON") != "BOSTON"
    ages = {"94": "90", "94-year-old": "90-year-old", "67": "67", "90": "90", "102 y/o": "90 y/o", "ninety": "[age]"}
    assert {surface: made("age", surface) for surface in ages} == ages
    assert made("other", "Acme Ltd") == "[other]" and made("date", "last spring") == "[date]"
    assert surrogates.report()["age"] == {"surrogate": 3, "placeholder": 1, "kept": 2}


def test_dates_of_a_patient_keep_their_intervals_and_those_of_two_move_differently(surrogates):
    def moved(patient, surface):
        return date.fromisoformat(surrogates.substitute(patient, "date", surface))

    first, second = moved("1", "2019-03-04"), moved("1", "2019-05-01")
    assert second - first == date(2019, 5, 1) - date(2019, 3, 4)
    assert 366 <= (date(2019, 3, 4) - first).days <= 3650
    offsets = {(date(2019, 3, 4) - moved(str(patient), "2019-03-04")).days for patient in range(40)}
    assert len(offsets) > 35


def test_two_runs_cannot_be_linked():
    pytest.importorskip("faker")
    runs = [Surrogates() for _ in range(12)]
    for kind, surface in (("name", "Ann Lee"), ("date", "2019-03-04"), ("phone_nb", "555-1234"), ("city", "Boston")):
        assert len({run.substitute("1", kind, surface) for run in runs}) >= 10, kind
    assert len({run.key for run in runs}) == 12


def test_files_agree_over_the_notes_of_a_patient_and_the_report_holds_counts_only(tmp_path):
    pytest.importorskip("faker")
    text = "Ann Lee seen 2019-03-04."
    found = {"entities": [entity(0, 7), entity(13, 23, "date")]}
    documents = [Document(str(i), text, patient=patient) for i, patient in enumerate(["p", "p", "q", ""])]
    write_redacted(tmp_path / "r.jsonl", documents, [found] * 4, Surrogates(), is_table=True)
    texts = [json.loads(line)["text"] for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert texts[0] == texts[1] and len(set(texts)) == 3
    assert not any("Lee" in text or "2019-03-04" in text for text in texts)
    assert all(re.fullmatch(r"\w+ \w+ seen \d{4}-\d\d-\d\d\.", text) for text in texts)
    report = json.loads((tmp_path / "r.jsonl.report.json").read_text())
    assert report["entities"] == 8 and report["types"]["name"] == {"surrogate": 4, "placeholder": 0, "kept": 0}
    assert set(report) == {"documents", "entities", "types"}
    write_redacted(tmp_path / "t", documents[:1], [found], Placeholders(), is_table=False)
    assert (tmp_path / "t").read_text() == "[name] seen [date]."


# --- Audit ------------------------------------------------------------------------------------------------------------


def test_recall_counts_what_is_wholly_covered_whatever_the_type():
    text = "Ann Lee was seen on 3/4"
    notes = [MarkedNote(Document(str(i), text), [(0, 7, "name"), (20, 23, "date")]) for i in range(4)]
    found = [
        [entity(0, 7), entity(20, 23, "date")],
        [entity(0, 3), entity(4, 7, "place"), entity(18, 23, "date")],  # in pieces, wrongly typed, too long: all hidden
        [entity(0, 3)],
        [],
    ]
    result = audited(notes, [{"entities": one} for one in found])
    name, when = result["recall"]["name"], result["recall"]["date"]
    assert (name["entities"], name["found"], name["exact"]) == (4, 2, 1) and when["recall"] == 0.5
    assert result["recall"]["all"]["found"] == 4
    assert result["misses"][0] == {"id": "2", "start": 0, "end": 7, "type": "name", "covered": round(4 / 7, 4)}
    assert len(result["misses"]) == 4 and "Ann" not in json.dumps(result)


def test_the_interval_covers_the_truth_with_dependent_entities():
    """Studies of 40 notes with 10 entities each, which are all found or all missed together in half of the notes."""
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        shared = generator.random(40) < 0.5
        found = np.where(shared[:, None], generator.random((40, 1)) < 0.8, generator.random((40, 10)) < 0.8)
        low, high = interval(found.ravel().astype(float), np.repeat(np.arange(40), 10))
        covered += low <= 0.8 <= high
    assert 0.91 <= covered / 400 <= 0.99
    low, high = interval(np.ones(100), np.repeat(np.arange(10), 10))
    assert high == pytest.approx(1) and low == pytest.approx(
        1 / (1 + 1.959964**2 / 10)
    )  # ten notes, not a hundred entities
    wilson = interval(np.array([1.0] * 81 + [0.0] * 182), np.arange(263))  # one a note: Newcombe 1998, table I
    assert wilson == pytest.approx((0.2553, 0.3662), abs=2e-3)


@pytest.fixture(scope="module")
def tagger(tiny_model, tmp_path_factory):
    import torch
    import transformers

    from bioclinical import problems
    from bioclinical.text.tokenization import load_tokenizer

    torch.manual_seed(0)
    problem, folder = problems.get("token_classification"), tmp_path_factory.mktemp("tagger") / "model"
    config = transformers.AutoConfig.from_pretrained(tiny_model("bert"), num_hidden_layers=1)
    problem.configure(config, ("O", "B-name", "I-name", "B-date"))
    model = transformers.AutoModelForTokenClassification.from_config(config)
    facts = TrainedFacts(dataset="invented", protocol="paper", problem=problem.name, max_length=32)
    save_model(model, load_tokenizer(tiny_model("bert")), facts, folder)
    return folder


@pytest.fixture
def run(run_command):
    return functools.partial(run_command, predict)


def test_audit_and_surrogates_from_the_command_line(run, tagger, notes, tmp_path):
    from bioclinical.encoders.source import Source

    documents = [Document(str(i), note[:150]) for i, note in enumerate(notes[:6])]
    said = Predictor(Source(str(tagger)), 4).predict(documents, lambda characters: None)
    gold = tmp_path / "gold.jsonl"
    rows = [{"text": d.text, **answer, "who": "p"} for d, answer in zip(documents, said)]
    gold.write_text("".join(json.dumps(row) + "\n" for row in rows))
    brat = tmp_path / "brat"
    brat.mkdir()
    for d, answer in zip(documents, said):
        (brat / f"{d.id}.txt").write_text(d.text)
        marks = [f"T{k}\t{e['type']} {e['start']} {e['end']}\t-\n" for k, e in enumerate(answer["entities"])]
        (brat / f"{d.id}.ann").write_text("".join(marks))
    for source in (gold, brat):
        output = tmp_path / f"{source.stem}.audit.json"
        code, out, err = run("--model", tagger, "--audit", source, "--output", output)
        assert code == 0 and "6 notes, 0 misses" in out, err
        result = json.loads(output.read_text())
        assert result["recall"]["all"]["recall"] == 1 and result["misses"] == []
    pytest.importorskip("faker")
    arguments = ("--model", tagger, "--input", gold, "--output", tmp_path / "o", "--redact", tmp_path / "r")
    code, out, err = run(*arguments, "--surrogates", "--patient_column", "who")
    assert code == 0 and "redacted:" in out, err
    assert (tmp_path / "r.report.json").is_file() and len((tmp_path / "r").read_text().splitlines()) == 6


def test_bad_input_is_a_sentence(run, tagger, tmp_path, monkeypatch):
    def audit_of(content, name="g.jsonl"):
        (tmp_path / name).write_text(content)
        return ("--model", tagger, "--audit", tmp_path / name, "--output", tmp_path / "out.json")

    cases = [
        (
            audit_of(
                '{"id": "7", "text": "secret", "entities": [{"start": 0, "end": 9, "type": "name"}]}\n', "a.jsonl"
            ),
            "note 7 at [0, 9) is outside",
        ),
        (
            audit_of('{"id": "7", "text": "secret", "entities": ["secret"]}\n', "b.jsonl"),
            "note 7 is not {start, end, type}",
        ),
        (
            audit_of(
                '{"id": "7", "text": "secret", "entities": [{"start": 0, "end": 1, "type": "secret of Ann"}]}\n',
                "c.jsonl",
            ),
            "a type of 13 characters",
        ),
        (audit_of('{"id": "7", "text": "secret", "entities": []}\n', "d.jsonl"), "holds no marked entity"),
        (audit_of("text\nsecret\n", "e.csv"), "a folder of brat files or a .jsonl"),
        (("--model", tagger, "--output", tmp_path / "o"), "one of --input and --audit"),
        ((*audit_of("{}", "f.jsonl"), "--redact", tmp_path / "r"), "--redact needs --input, not --audit"),
        (
            ("--model", tagger, "--input", tmp_path / "e.csv", "--output", tmp_path / "o", "--surrogates"),
            "needs --redact",
        ),
    ]
    for arguments, sentence in cases:
        code, out, err = run(*arguments)
        assert code == 2 and sentence in err and "secret" not in err + out, err
    monkeypatch.setitem(sys.modules, "faker", None)
    arguments = ("--input", tmp_path / "e.csv", "--output", tmp_path / "o", "--redact", tmp_path / "r", "--surrogates")
    code, _, err = run("--model", tagger, *arguments)
    assert code == 2 and "needs Faker; install it: pip install '.[surrogates]'" in err
