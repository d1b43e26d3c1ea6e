"""BioASQ's factoid and list questions: the answers of a span model to every snippet, merged to those of the question.

An example is a snippet with its question (bioclinical/tasks/corpora/bioasq.py); a prediction is a question's, with the
measures of the official program. It holds no text: `predicted` are [snippet, start, end] of the answers, best first.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bioclinical.metrics.bioasq import FIRST_STRING_ONLY, Question, factoid_question, list_question
from bioclinical.metrics.metric import Metric, Prediction
from bioclinical.metrics.spans import QuestionScore
from bioclinical.problems.encoding import EXAMPLE_INDEX, Coder, EncodedSplit
from bioclinical.problems.merged_answers import MOST_FACTOIDS, Candidate, Merged, factoid_answers, list_answers
from bioclinical.problems.problem import Answer, identity
from bioclinical.problems.span_answer import NOWHERE, SpanAnswer, SpanOptions
from bioclinical.tasks.example import Example, group_of

FACTOID = ("mrr", "strict_accuracy", "lenient_accuracy")
LIST = ("f1", "precision", "recall")


@dataclass(frozen=True)
class ListOptions(SpanOptions):
    """list_threshold: mean probability over snippets from which on a text is an answer (BioBERT's)."""

    list_threshold: float = 0.42


class RankedAnswers(SpanAnswer):
    """What factoid and list questions have in common. measures: the official ones, the first decides."""

    measures: tuple[str, ...]

    def fitted_options(self, options: SpanOptions, train: Sequence[Example]) -> SpanOptions:
        return options  # every question has an answer

    def chosen(self, candidates: Sequence[Candidate], question: str, options: Any) -> list[Merged]:
        """A question's answers, best first."""
        raise NotImplementedError

    def measured(self, gold: Question, system: Question) -> dict[str, float]:
        """The official measures of one question."""
        raise NotImplementedError

    def counts(self, examples: Sequence[Example], labels: tuple[str, ...]) -> dict[str, float]:
        return {
            "questions": len({group_of(example) for example in examples}),
            "snippets with an answer": sum(bool(example["answers"]) for example in examples),
        }

    def predictions(self, coder: Coder, split: EncodedSplit, outputs: Sequence[Any]) -> list[Prediction]:
        """One for each question, in the order of their first snippets."""
        found = self.snippet_candidates(coder, split, outputs)
        predictions = []
        for places in by_question(split.examples).values():
            examples = [split.examples[i] for i in places]
            candidates = [
                Candidate(text, probability, (number, start, end))
                for number, i in enumerate(places)
                for text, probability, start, end in found[i]
            ]
            predictions.append(
                self.prediction(examples, self.chosen(candidates, examples[0]["question"], coder.options))
            )
        return predictions

    def snippet_candidates(
        self, coder: Coder, split: EncodedSplit, outputs: Sequence[Any]
    ) -> list[list[tuple[str, float, int, int]]]:
        """For each example its n best (text, probability, start, end)."""
        found = self.candidates(coder, split, outputs)
        shares, _ = found.probabilities(with_null=False)
        return [
            [
                (example["context"][start:end], float(share), int(start), int(end))
                for start, end, share in zip(found.starts[i], found.ends[i], shares[i])
                if start != NOWHERE
            ]
            for i, example in enumerate(split.examples)
        ]

    def prediction(self, examples: Sequence[Example], answers: Sequence[Merged]) -> Prediction:
        """The scored answers to a question."""
        entries, name = examples[0]["entries"], group_of(examples[0])
        gold = Question(name, self.name, entries=tuple(tuple(entry) for entry in entries))
        system = Question(name, self.name, entries=tuple((answer.text,) for answer in answers))
        return identity(examples[0]) | {
            "id": name,
            "gold": len(entries),
            "predicted": [list(answer.place) for answer in answers],
            "probabilities": [round(answer.probability, 6) for answer in answers],
            "reachable": float(any(example["answers"] for example in examples)),
            **self.measured(gold, system),
        }

    def baseline(self, train: Sequence[Example], test: Sequence[Example], labels: tuple[str, ...]) -> list[Prediction]:
        """The most frequent answers of the training questions, the same for every question."""
        asked = {group_of(example): example["entries"] for example in train}
        counted = Counter(entry[0] for entries in asked.values() for entry in entries)
        answers = [Merged(text, (NOWHERE, NOWHERE, NOWHERE)) for text, _ in counted.most_common(MOST_FACTOIDS)]
        questions = ([test[i] for i in places] for places in by_question(test).values())
        return [self.prediction(examples, answers) for examples in questions]

    def all_metrics(self, labels: tuple[str, ...], negative_label: str | None) -> list[Metric]:
        return [QuestionScore(name=name, key=name) for name in self.measures]

    def details(self, predictions: Sequence[Prediction], labels: tuple[str, ...]) -> dict[str, Any]:
        """reachable: the share of questions of which any snippet holds an answer."""
        return {
            "questions": len(predictions),
            "reachable": sum(prediction["reachable"] for prediction in predictions) / len(predictions),
        }

    def answers(self, coder: Coder, split: EncodedSplit, outputs: Sequence[Any]) -> list[Answer]:
        """As for other questions, and the n best `answers` of each text."""
        answers = super().answers(coder, split, outputs)
        asked = sorted({row[EXAMPLE_INDEX] for row in split.features})
        ranked = self.snippet_candidates(coder, self.asked_only(split), outputs) if asked else []
        for answer in answers:
            answer["answers"] = []
        for i, found in zip(asked, ranked):
            answers[i]["answers"] = [
                {"answer": text, "probability": round(share, 6), "start": start, "end": end}
                for text, share, start, end in found
            ]
        return answers


class Factoid(RankedAnswers):
    """One answer is wanted; up to five may be given, best first."""

    name = "factoid_qa"
    selection_metric = "mrr"
    measures = FACTOID

    def chosen(self, candidates: Sequence[Candidate], question: str, options: Any) -> list[Merged]:
        return factoid_answers(candidates)

    def measured(self, gold: Question, system: Question) -> dict[str, float]:
        strict, lenient, reciprocal_rank = factoid_question(gold, system, FIRST_STRING_ONLY)
        return {"strict_accuracy": strict, "lenient_accuracy": lenient, "mrr": reciprocal_rank}


class ListAnswers(RankedAnswers):
    """All answers are wanted."""

    name = "list_qa"
    selection_metric = "f1"
    measures = LIST
    options_class = ListOptions

    def chosen(self, candidates: Sequence[Candidate], question: str, options: Any) -> list[Merged]:
        return list_answers(candidates, question, options.list_threshold)

    def measured(self, gold: Question, system: Question) -> dict[str, float]:
        precision, recall, f1 = list_question(gold, system, FIRST_STRING_ONLY)
        return {"f1": f1, "precision": precision, "recall": recall}


def by_question(examples: Sequence[Example]) -> dict[str, list[int]]:
    """Question -> the positions of its snippets."""
    found: dict[str, list[int]] = {}
    for i, example in enumerate(examples):
        found.setdefault(group_of(example), []).append(i)
    return found
