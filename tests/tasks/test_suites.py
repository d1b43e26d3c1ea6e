"""The catalogue: suites and their totals, folds, recipes, releases told apart, published counts of the real files."""

import json
from dataclasses import replace

import pytest

from bioclinical import problems
from bioclinical.errors import UserError
from bioclinical.tasks.loading import load_task, with_fold
from bioclinical.tasks.overview import check_tasks, task_lines
from bioclinical.tasks.published import Published, counted_lines
from bioclinical.tasks.recipes import BLURB, recipe_for
from bioclinical.tasks.splits import PAPER, Protocol
from bioclinical.tasks.suites import SUITES, get_suite
from dataloader import TASKS, get_task

# BioLinkBERT-base's printed BLURB scores
BIOLINKBERT = (93.75, 86.10, 88.18, 84.90, 79.03, 73.97, 77.57, 82.72, 84.39, 93.25, 84.35, 70.20, 91.43)
# bio-lm's table 2, ours-large: eleven of sequence labelling, then HoC ... MedNLI in the suite's order
BIOLM_LARGE = (
    93.7,
    85.2,
    81.0,
    89.0,
    93.7,
    88.0,
    88.4,
    81.1,
    89.7,
    80.8,
    96.3,
    86.6,
    76.2,
    81.1,
    85.0,
    82.1,
    78.6,
    88.5,
)


def test_totals_are_the_published_ones():
    blurb = get_suite("BLURB")
    scores = dict(zip(blurb.tasks, BIOLINKBERT, strict=True))
    assert round(blurb.total(scores), 2) == 83.39 and round(sum(BIOLINKBERT) / 13, 2) == 83.83
    biolm = get_suite("biolm18")
    scores = dict(zip(biolm.tasks, BIOLM_LARGE, strict=True))
    assert round(biolm.total(scores), 1) == 85.8
    assert {kind: round(mean, 1) for kind, mean in biolm.kind_means(scores).items()} == {
        "sequence labelling": 87.9, "classification": 82.6
    }  # fmt: skip


def test_choices_are_weighted_by_their_questions():
    """As MultiMedQA weighs its parts: the first option everywhere, from each part's own score."""
    suite = get_suite("medqa-choice")
    first = {"MedQA": 353 / 1_273, "MedMCQA": 1_348 / 4_183, "MMLU-medical": 235 / 1_099}
    assert suite.total(first) == pytest.approx((353 + 1_348 + 235) / (1_273 + 4_183 + 1_099))
    # With PubMedQA's 276 of 500 it is the published 31.3536 %.
    assert round(100 * (353 + 1_348 + 235 + 276) / 7_055, 4) == 31.3536


def test_an_incomplete_suite_has_no_total():
    blurb = get_suite("blurb")
    scores = dict(zip(blurb.tasks, BIOLINKBERT, strict=True))
    del scores["PICO"]
    with pytest.raises(UserError, match="no overall score without PICO"):
        blurb.total(scores)
    assert set(blurb.kind_means(scores)) == {"NER", "relations", "similarity", "documents", "questions"}


def test_every_member_is_a_task_with_the_metric_that_the_suite_asks_for():
    sizes = {name: len(suite.members) for name, suite in SUITES.items()}
    assert sizes == {"bioclinical5": 5, "biolm18": 18, "blue": 10, "blurb": 13, "biom": 13, "modernbert-bio11": 11} | {
        "medqa-choice": 3, "bioasq": 3
    }  # fmt: skip
    for suite in SUITES.values():
        for member in suite.members:
            task = get_task(member.task)
            labels = task.labels or ()
            for name in (member.metric or task.official_metric, task.selection_metric):
                if name:
                    problems.get(task.problem).metrics(labels, task.negative_label, name)
    with pytest.raises(UserError, match="unknown suite 'glue'; known: bioclinical5"):
        get_suite("glue")


def test_blue_and_blurb_versions_are_tasks_of_their_own():
    names = {task.name for task in TASKS}
    for corpus in ("ChemProt", "DDI-BLUE", "HoC-BLUE", "BC5CDR-chem-BLUE"):
        blurb = corpus.removesuffix("-BLUE") + ("" if corpus.startswith("BC5CDR") else "-BLURB")
        assert {corpus, blurb} <= names and get_task(corpus).folder != get_task(blurb).folder
    assert not set(get_suite("blue").tasks) & set(get_suite("blurb").tasks) - {"BIOSSES"}


def test_tasks_say_where_they_come_from():
    for task in TASKS[5:]:
        assert task.source.startswith(("Get", "Make", "Register", "Ask")) and task.licence, task.name


# Folds


def test_folds_are_named_or_refused(tmp_path):
    with pytest.raises(UserError, match="EU-ADR comes in folds 1 to 10; choose one with --fold"):
        with_fold(get_task("EU-ADR"), PAPER)
    with pytest.raises(UserError, match="--fold 11 does not exist; EU-ADR has 1 to 10"):
        with_fold(get_task("EU-ADR"), Protocol(fold=11))
    with pytest.raises(UserError, match="--fold 1: ChemProt has no folds"):
        with_fold(get_task("ChemProt"), Protocol(fold=1))
    assert with_fold(get_task("PubMedQA"), Protocol(fold=0)) == PAPER
    assert with_fold(get_task("PubMedQA"), Protocol(fold=3)).label == "paper-fold3"


# Recipes


def test_recipes_say_what_they_cover():
    assert set(BLURB) == set(get_suite("blurb").tasks)
    assert recipe_for("biolm", get_task("LINNAEUS"))["eval_steps"] == 500
    assert recipe_for("biolm", get_task("HoC-BLUE"))["eval_steps"] == 200
    with pytest.raises(UserError, match="the recipe blurb says nothing about COS; it covers BC5CDR-chem"):
        recipe_for("blurb", get_task("COS"))


# Releases


def test_the_files_of_another_release_are_recognised_by_their_number(tmp_path):
    folder = tmp_path / "raw" / "ChemProt"
    folder.mkdir(parents=True)
    rows = "1.T1.T2\tx\tfalse\n"
    for name, count in (("train", 3), ("dev", 2), ("test", 1)):
        (folder / f"{name}.tsv").write_text("index\tsentence\tlabel\n" + rows * count)
    task = replace(get_task("ChemProt"), published=Published(others={"ChemProt-BLURB": (3, 2, 1)}))
    with pytest.raises(UserError, match="3 / 2 / 1 examples, which are those of the task ChemProt-BLURB"):
        load_task(task, tmp_path / "raw")


def test_list_shows_no_text_and_every_task(tmp_path):
    lines = list(task_lines(TASKS, tmp_path))
    assert len(lines) == len(TASKS) and all("files: no" in line for line in lines)
    by_name = {line.split()[0]: line for line in lines}
    assert "sizes not published, 10 folds; micro_f1_1; suites: biolm18" in by_name["EU-ADR"]
    assert "regression; 64 / 16 / 20 examples; pearson; suites: blue, blurb, biom; GPL-3" in by_name["BIOSSES"]
    assert "; 152 / 18 / 256 documents; " in by_name["i2b2-2010"]
    assert "; 46,750 / 4,551 / 8,662 entities; " in by_name["JNLPBA"]
    assert "; ? / ? / 302 examples; " in by_name["RQE"]


# The real files: task -> folder of the real data

REAL = {
    "BC5CDR-chem": "ner/BC5CDR-chem-IOB", "BC5CDR-disease": "ner/BC5CDR-disease-IOB", "NCBI-disease": "ner/NCBI-disease-IOB",
    "BC2GM": "ner/BC2GM-IOB", "LINNAEUS": "ner/linnaeus-IOB", "AnatEM": "anatem", "HoC-BLURB": "hoc", "GAD": "gad",
    "PubMedQA": "pubmedqa", "RQE": "rqe", "BIOSSES": "biosses",
}  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_real_files_have_the_published_counts(real_data, tmp_path, name):
    task = get_task(name)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / task.folder).symlink_to(real_data / REAL[name])
    data = load_task(task, tmp_path / "raw")
    published = task.published.lines()
    measured = counted_lines(data.splits, data.labels, list(published))
    for line, expected in published.items():
        assert all(known is None or known == found for known, found in zip(expected, measured[line])), line
    assert json.loads(json.dumps(data.splits)) == data.splits  # what is cached is what was read


def test_jnlpba_collapsed(real_data, tmp_path):
    folder = tmp_path / "raw" / "JNLPBA"
    folder.mkdir(parents=True)
    for name, source in (("train", "train_untyped"), ("devel", "devel"), ("test", "test")):
        (folder / f"{name}.tsv").symlink_to(real_data / "ner" / "JNLPBA" / f"{source}.tsv")
    check = check_tasks([get_task("JNLPBA")], tmp_path / "raw")
    assert check.lines == ["JNLPBA: entities 46,750 / 4,551 / 8,662 (as published)"]
    with pytest.raises(UserError, match="unknown tag of 1 characters"):  # the types of train are not in this copy
        load_task(get_task("JNLPBA-5types"), tmp_path / "raw")
