"""BioASQ's measures of exact answers (phase B): yes/no, factoid, list; equal to those of the official Java program.

Source: EvaluatorTask1b of BioASQ/Evaluation-Measures. Two answers match when they are equal after lower-casing; blanks
and hyphens count. Editions: 3 and 4 read every string of a submitted entry, 5 and later only its first. The program
has no limit of five factoid answers; who writes a submission cuts there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bioclinical.errors import UserError

OLDEST_EDITION = 3
FIRST_STRING_ONLY = 5  # since this edition
SKIPS_MISSING = 9  # since this edition, instead of stopping
NAMES = (
    "YesNo Acc",
    "Factoid Strict Acc",
    "Factoid Lenient Acc",
    "Factoid MRR",
    "List Prec",
    "List Rec",
    "List F1",
    "YesNo macroF1",
    "YesNo F1 yes",
    "YesNo F1 no",
)
Entries = list[list[str]]  # each entry an answer with its synonyms


@dataclass(frozen=True)
class Question:
    """One question's exact answer: "yes" or "no" as `answer`, or entries; `kind` is yesno, factoid or list."""

    id: str
    kind: str
    answer: str = ""
    entries: tuple[tuple[str, ...], ...] = ()


def bioasq_scores(golds: Sequence[Question], system: Mapping[str, Question], edition: int = 5) -> dict[str, float]:
    """The ten numbers (0-1) in the official order; 0 for a kind of question that does not occur.

    Raises UserError for an edition that is not known, and, before edition 9, for a question without a submitted one;
    later editions leave such questions out, which raises the score.
    """
    if edition < OLDEST_EDITION:
        raise UserError(f"--edition {edition}: 3 or 4 (all synonyms count), 5 to 8, or 9 and later (missing questions)")
    missing = [gold.id for gold in golds if gold.id not in system]
    if missing and edition < SKIPS_MISSING:
        raise UserError(
            f"{len(missing)} question(s) are missing from the system's file, the first is {missing[0]}; "
            "submit them with an empty exact_answer, or leave them out of the scores with --edition 9"
        )
    pairs = [(gold, system[gold.id]) for gold in golds if gold.id in system]
    yes_no = yes_no_scores([pair for pair in pairs if pair[0].kind == "yesno"])
    factoid = columns_mean([factoid_question(g, s, edition) for g, s in pairs if g.kind == "factoid"])
    lists = columns_mean([list_question(g, s, edition) for g, s in pairs if g.kind == "list"])
    return dict(zip(NAMES, (yes_no[0], *factoid, *lists, *yes_no[1:])))


def columns_mean(rows: Sequence[tuple[float, float, float]]) -> tuple[float, ...]:
    """The mean of each of three numbers; 0 without rows."""
    return tuple(sum(column) / len(column) for column in zip(*rows)) if rows else (0.0, 0.0, 0.0)


def yes_no_answer(text: str) -> str:
    """What the official program reads in a submitted text: "unknown" contains "no"."""
    text = text.lower()
    return "yes" if "yes" in text else "no" if "no" in text else "none"


def yes_no_scores(pairs: Sequence[tuple[Question, Question]]) -> tuple[float, float, float, float]:
    """Accuracy, macro F1, F1 of yes, F1 of no. A wrong answer of whatever form counts once against both labels."""
    if not pairs:
        return 0.0, 0.0, 0.0, 0.0
    right = [yes_no_answer(gold.answer) == yes_no_answer(system.answer) for gold, system in pairs]
    wrong = len(right) - sum(right)
    f1 = []
    for label in ("yes", "no"):
        hits = sum(ok for ok, (gold, _) in zip(right, pairs) if yes_no_answer(gold.answer) == label)
        f1.append(2 * hits / (2 * hits + wrong) if 2 * hits + wrong else 0.0)
    return sum(right) / len(right), sum(f1) / 2, *f1


def submitted(entries: Sequence[Sequence[str]], edition: int) -> Entries:
    """Lower-cased entries as the edition reads them in a submission."""
    read = [entry[:1] if edition >= FIRST_STRING_ONLY else entry for entry in entries]
    return [[text.lower() for text in entry] for entry in read]


def lowered(entries: Sequence[Sequence[str]]) -> Entries:
    return [[text.lower() for text in entry] for entry in entries]


def factoid_question(gold: Question, system: Question, edition: int) -> tuple[float, float, float]:
    """Strict accuracy (the first entry), lenient accuracy (any), reciprocal rank of the first hit."""
    right = {text for entry in lowered(gold.entries) for text in entry}
    for rank, entry in enumerate(submitted(system.entries, edition), start=1):
        if right.intersection(entry):
            return float(rank == 1), 1.0, 1 / rank
    return 0.0, 0.0, 0.0


def list_question(gold: Question, system: Question, edition: int) -> tuple[float, float, float]:
    """Precision, recall and F1. A gold entry that was matched is used up, so its synonym counts as wrong."""
    answers, left = submitted(system.entries, edition), lowered(gold.entries)
    if not answers:
        return 0.0, 0.0, 0.0
    hits = sum(take_match(left, answer) for answer in answers)
    unused = [list(answer) for answer in answers]
    missed = sum(not take_match(unused, entry) for entry in left)
    precision = hits / len(answers)
    recall = hits / (hits + missed) if hits + missed else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision and recall else 0.0
    return precision, recall, f1


def take_match(entries: Entries, wanted: Sequence[str]) -> bool:
    """Removes the first entry that shares a string with `wanted`; whether there was one."""
    for k, entry in enumerate(entries):
        if set(entry).intersection(wanted):
            del entries[k]
            return True
    return False
