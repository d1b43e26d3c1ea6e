"""The field's suites: which tasks a paper reports together, by which scores, and how they become one number."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from bioclinical.errors import UserError


@dataclass(frozen=True)
class Member:
    """A task of a suite. kind: its group of tasks.  metric: the suite's score, None for the task's official one.

    folds: of a cross-validated task those that are reported; their median is the score.  weight: in a mean over tasks.
    """

    task: str
    kind: str
    metric: str | None = None
    folds: tuple[int, ...] = ()
    weight: float = 1.0


@dataclass(frozen=True)
class Suite:
    """overall: `tasks` is the mean over members by their weights, `kinds` the mean over the kinds' means, None where a
    suite has none.

    statistic: how seeds become a member's score, as the suite's publishers have it.
    recipe: the one that its publishers, or the holder of a published total, used.
    """

    name: str
    title: str
    members: tuple[Member, ...]
    overall: Literal["tasks", "kinds"] | None
    statistic: Literal["mean", "median"] = "mean"
    recipe: str | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(member.task for member in self.members)

    def missing(self, scores: Mapping[str, float]) -> list[str]:
        """The members without a score, in the suite's order."""
        return [task for task in self.tasks if task not in scores]

    def total(self, scores: Mapping[str, float]) -> float:
        """The overall score from one score a task. Raises UserError where a member has none: a mean over a part of a
        suite looks like one over all of it."""
        if missing := self.missing(scores):
            raise UserError(f"the suite {self.name} has no overall score without {', '.join(missing)}")
        return sum(weight * scores[task] for task, weight in self.weights().items())

    def weights(self) -> dict[str, float]:
        """Task -> its weight in the overall score; they add up to 1. Empty for a suite without one."""
        if self.overall is None:
            return {}
        if self.overall == "tasks":
            total = sum(member.weight for member in self.members)
            return {member.task: member.weight / total for member in self.members}
        kinds = [member.kind for member in self.members]
        return {member.task: 1 / len(set(kinds)) / kinds.count(member.kind) for member in self.members}

    def kind_means(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Kind -> the mean of its members' scores, for the kinds whose members all have one."""
        by_kind: dict[str, list[str]] = {}
        for member in self.members:
            by_kind.setdefault(member.kind, []).append(member.task)
        return {
            kind: fmean(scores[task] for task in tasks)
            for kind, tasks in by_kind.items()
            if all(task in scores for task in tasks)
        }


def of_kind(kind: str, *tasks: str) -> tuple[Member, ...]:
    return tuple(Member(task, kind) for task in tasks)


BLURB_MEMBERS = (
    *of_kind("NER", "BC5CDR-chem", "BC5CDR-disease", "NCBI-disease", "BC2GM", "JNLPBA"),
    *of_kind("PICO", "PICO"),
    *of_kind("relations", "ChemProt-BLURB", "DDI-BLURB", "GAD"),
    *of_kind("similarity", "BIOSSES"),
    *of_kind("documents", "HoC-BLURB"),
    *of_kind("questions", "PubMedQA", "BioASQ-yesno"),
)
REPORTED_FOLDS = tuple(range(2, 11))  # bio-lm: the first fold is for choices
FIVE = (
    Member("Phenotype", "classification", "weighted_f1"),
    Member("ChemProt", "classification", "weighted_f1"),
    *of_kind("tagging", "DEID", "COS", "SocialHistory"),
)

SUITES = {
    suite.name: suite
    for suite in (
        Suite("bioclinical5", "BioClinical ModernBERT's five tasks", FIVE, overall=None),
        Suite(
            "biolm18",
            "bio-lm's 18 tasks",
            (
                *of_kind(
                    "sequence labelling",
                    "BC5CDR-chem-BLUE", "BC5CDR-disease-BLUE", "JNLPBA", "NCBI-disease", "BC4CHEMD", "BC2GM",
                    "LINNAEUS", "Species-800", "i2b2-2010", "i2b2-2012", "i2b2-2014",
                ),
                *of_kind("classification", "HoC-BLUE", "ChemProt"),
                Member("GAD-10fold", "classification", folds=REPORTED_FOLDS),
                Member("EU-ADR", "classification", folds=REPORTED_FOLDS),
                *of_kind("classification", "DDI-BLUE", "i2b2-2010-RE", "MedNLI"),
            ),
            overall="tasks",
            statistic="median",
            recipe="biolm",
        ),
        Suite(
            "blue",
            "BLUE's ten tasks (BLUE publishes no overall score; the mean over tasks is ours)",
            (
                *of_kind("similarity", "MedSTS", "BIOSSES"),
                *of_kind("NER", "BC5CDR-disease-BLUE", "BC5CDR-chem-BLUE", "ShARe-CLEFE"),
                *of_kind("relations", "DDI-BLUE", "ChemProt", "i2b2-2010-RE"),
                *of_kind("documents", "HoC-BLUE"),
                *of_kind("inference", "MedNLI"),
            ),
            overall="tasks",
        ),
        Suite("blurb", "BLURB's 13 tasks", BLURB_MEMBERS, overall="kinds", recipe="blurb"),
        Suite(
            "biom",
            "BioM-Transformers' table over BLURB's tasks",
            (
                *of_kind("relations", "ChemProt-BLURB", "DDI-BLURB", "GAD"),
                *of_kind("questions", "BioASQ-yesno", "PubMedQA"),
                *of_kind("similarity", "BIOSSES"),
                *of_kind("NER", "BC5CDR-chem", "BC5CDR-disease", "BC2GM", "NCBI-disease", "JNLPBA"),
                *of_kind("PICO", "PICO"),
                *of_kind("documents", "HoC-BLURB"),
            ),
            overall=None,
        ),
        Suite(
            "modernbert-bio11",
            "ModernBERT-bio's eleven tasks",
            (
                *FIVE,
                *of_kind("NER", "AnatEM", "BC5CDR", "JNLPBA", "NCBI-disease"),
                Member("GAD", "relations"),
                Member("HoC-abstracts", "documents"),
            ),
            overall="tasks",
        ),
        Suite(
            "medqa-choice",
            "Medical questions with options: MedQA, MedMCQA and MMLU's medical subjects, weighted by their questions",
            (
                Member("MedQA", "choice", weight=1_273),
                Member("MedMCQA", "choice", weight=4_183),
                Member("MMLU-medical", "choice", weight=1_099),
            ),
            overall="tasks",
        ),
        Suite(
            "bioasq",
            "BioASQ 7b, exact answers of phase B (five batches pooled)",
            of_kind("questions", "BioASQ7b-yesno", "BioASQ7b-factoid", "BioASQ7b-list"),
            overall=None,
        ),
    )
}  # fmt: skip


def get_suite(name: str) -> Suite:
    """The suite of that name, whatever its case; raises UserError listing the names."""
    if name.lower() not in SUITES:
        raise UserError(f"unknown suite '{name}'; known: {', '.join(SUITES)}")
    return SUITES[name.lower()]


def suites_of(task: str) -> list[str]:
    """The names of the suites that a task belongs to."""
    return [suite.name for suite in SUITES.values() if task in suite.tasks]
