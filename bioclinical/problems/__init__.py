"""The kinds of problems, each registered by its name."""

from bioclinical.errors import UserError
from bioclinical.problems.generation import Generation
from bioclinical.problems.multi_label import MultiLabel
from bioclinical.problems.multiple_choice import MultipleChoice
from bioclinical.problems.problem import Problem
from bioclinical.problems.ranked_answers import Factoid, ListAnswers
from bioclinical.problems.regression import Regression
from bioclinical.problems.single_label import SingleLabel
from bioclinical.problems.span_answer import SpanAnswer
from bioclinical.problems.tagging import Tagging
from bioclinical.problems.vector_pairs import VectorPairs

KINDS: tuple[Problem, ...] = (
    SingleLabel(),
    MultiLabel(),
    Tagging(),
    Regression(),
    SpanAnswer(),
    Factoid(),
    ListAnswers(),
    MultipleChoice(),
    Generation(),
    VectorPairs(),
)
PROBLEMS: dict[str, Problem] = {problem.name: problem for problem in KINDS}


def get(name: str) -> Problem:
    """The problem of that name; raises UserError listing the names."""
    if name not in PROBLEMS:
        raise UserError(f"unknown problem '{name}'; known: {', '.join(PROBLEMS)}")
    return PROBLEMS[name]
