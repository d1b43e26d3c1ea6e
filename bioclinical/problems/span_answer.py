"""Questions that are answered by a piece of a text: SQuAD, COVID-QA, BioASQ's factoid and list questions.

An example holds {"question", "context", "answers"}, each answer a text and its first character (-1 where it does not
stand in the context); no answer means that the context does not answer the question. A context longer than the model's
is read in overlapping windows, in training as in evaluation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from bioclinical.metrics.metric import Metric, Prediction
from bioclinical.metrics.spans import span_details, span_metrics
from bioclinical.metrics.squad import squad1_question, squad2_question
from bioclinical.problems.answer_selection import Candidates, best_threshold, select
from bioclinical.problems.encoding import EXAMPLE_INDEX, Coder, EncodedSplit
from bioclinical.problems.operating_point import ABSTAINED
from bioclinical.problems.options import require_at_least
from bioclinical.problems.problem import Answer, Problem, identity
from bioclinical.tasks.example import Example

NOWHERE = -1
LARGEST_ODDS = 1e9  # instead of infinity, which JSON does not know


@dataclass(frozen=True)
class SpanOptions:
    """How questions are cut into windows and answers selected; defaults as in Hugging Face's run_qa.

    doc_stride: tokens; stride: what they are, the `overlap` of windows (Hugging Face) or the `step` between their
    starts (BERT, ELECTRA, BioM).  longest_answer: tokens.  n_best: starts, ends and answers kept.  no_answer: whether
    "no answer" may be said; None: where a training question has none.  null_threshold: how far its score must lie
    above the best answer's; None: chosen on validation.
    """

    doc_stride: int = 128
    stride: Literal["overlap", "step"] = "overlap"
    longest_answer: int = 30
    n_best: int = 20
    no_answer: bool | None = None
    null_threshold: float | None = None

    def __post_init__(self) -> None:
        require_at_least(self, doc_stride=0 if self.stride == "overlap" else 1, longest_answer=1, n_best=1)


@dataclass(frozen=True)
class WindowNote:
    """Where the context's tokens [start, end) stand in a row (from `place`), and their characters (tokens, 2)."""

    place: int
    start: int
    end: int
    offsets: np.ndarray


class SpanAnswer(Problem):
    """Scores of every token as an answer's first and as its last; "no answer" is the first position of the row."""

    name = "span_qa"
    auto_class = "AutoModelForQuestionAnswering"
    selection_metric = "f1"
    label_names = ("start_positions", "end_positions")
    has_labels = False
    is_per_token = True
    options_class = SpanOptions
    can_abstain = True

    def fault(self, example: Example, labels: tuple[str, ...]) -> str | None:
        for part in ("question", "context"):
            if not example[part].strip():
                return f"the {part} of question {example['id']} is empty; remove it or restore its text"
        return None

    def counts(self, examples: Sequence[Example], labels: tuple[str, ...]) -> dict[str, float]:
        return {
            "with answer": sum(bool(example["answers"]) for example in examples),
            "without answer": sum(not example["answers"] for example in examples),
            "contexts": len({example["context"] for example in examples}),
        }

    def length(self, example: Example) -> int:
        return len(example["context"])

    def configure(self, config: Any, labels: tuple[str, ...]) -> None:
        config.num_labels = 2  # a score as start, a score as end; ModernBERT's config does not say so by itself

    def fitted_options(self, options: SpanOptions, train: Sequence[Example]) -> SpanOptions:
        if options.no_answer is None:
            options = replace(options, no_answer=any(not example["answers"] for example in train))
        return options

    # --- Rows ---------------------------------------------------------------------------------------------------------

    def encode(self, coder: Coder, examples: Sequence[Example]) -> EncodedSplit:
        from bioclinical.text.question_windows import encode_contexts, pair_frame, step_between, window_ranges

        frame, options = pair_frame(coder.tokenizer), coder.options
        contexts = encode_contexts(coder.tokenizer, [example["context"] for example in examples])
        questions = [example["question"].lstrip() for example in examples]
        question_ids = coder.tokenizer(questions, add_special_tokens=False, verbose=False)["input_ids"]
        split = EncodedSplit(list(examples), [], [], cut=[])
        for i, (example, ids) in enumerate(zip(examples, question_ids)):
            context = contexts[example["context"]]
            room = coder.max_length - len(frame) - len(ids)
            step = step_between(room, options.doc_stride, options.stride, example["id"], len(context.ids))
            target = target_tokens(example, context)
            for start, end in window_ranges(len(context.ids), room, step):
                window = frame.window(ids, context, start, end)
                row = coder.inputs_of(window.input_ids, window.token_type_ids) | {EXAMPLE_INDEX: i}
                if "answers" in example:
                    row |= dict(zip(self.label_names, window.label(*target)))
                split.features.append(row)
                split.notes.append(WindowNote(window.place, start, end, context.offsets[start:end]))
        return split

    def collator(self, coder: Coder) -> Any:
        from transformers import DataCollatorWithPadding

        return DataCollatorWithPadding(coder.tokenizer)

    def logits(self, outputs: Any) -> Any:
        import torch

        return torch.stack([outputs["start_logits"], outputs["end_logits"]], dim=-1)

    # --- Outputs ------------------------------------------------------------------------------------------------------

    def candidates(self, coder: Coder, split: EncodedSplit, outputs: Sequence[Any]) -> Candidates:
        """The best answers of each example. outputs: (start, end) logits (padded length,) of each row."""
        notes, options = split.notes, coder.options
        length = max(len(row["input_ids"]) for row in split.features)
        logits = np.full((2, len(notes), length), -np.inf, dtype=np.float32)
        offsets = np.zeros((len(notes), length, 2), dtype=np.int32)
        for k, (row, note, (start, end)) in enumerate(zip(split.features, notes, outputs)):
            tokens = len(row["input_ids"])
            logits[0, k, :tokens], logits[1, k, :tokens] = start[:tokens], end[:tokens]
            offsets[k, note.place : note.place + len(note.offsets)] = note.offsets
        question = np.array([row[EXAMPLE_INDEX] for row in split.features])
        return select(*logits, offsets, question, options.n_best, options.longest_answer)

    def predictions(self, coder: Coder, split: EncodedSplit, outputs: Sequence[Any]) -> list[Prediction]:
        found = self.candidates(coder, split, outputs)
        spans, probabilities, odds = chosen(found, coder.options)
        predictions: list[Prediction] = []
        for i, (example, rows) in enumerate(zip(split.examples, split.by_example(outputs))):
            score = question_score(example, coder.options.no_answer)
            prediction = identity(example) | {"gold": gold_spans(example), "predicted": spans[i]}
            prediction |= {"probability": round(probabilities[i], 6)} | scored(score, example, spans[i])
            if coder.options.no_answer:
                best = span_of(found, i)
                prediction["null_odds"] = float(odds[i])
                prediction |= {f"answered_{key}": value for key, value in scored(score, example, best).items()}
            if coder.options.no_answer or example["answers"]:
                notes = [note for note, _ in rows]
                prediction |= reachable(score, example, notes, coder.options.longest_answer)
            predictions.append(prediction)
        return predictions

    def calibrated(self, coder: Coder, split: EncodedSplit, outputs: Callable[[], Sequence[Any]]) -> Any:
        """Options with the threshold of "no answer" that gives the highest F1 on validation."""
        if not coder.options.no_answer or coder.options.null_threshold is not None:
            return coder.options
        found = self.candidates(coder, split, outputs())
        f1 = [
            scored(question_score(example, True), example, span_of(found, i))["f1"]
            for i, example in enumerate(split.examples)
        ]
        has_answer = np.array([bool(example["answers"]) for example in split.examples])
        threshold = best_threshold(limited(found.null_odds), np.array(f1), has_answer)
        return replace(coder.options, null_threshold=threshold)

    def abstained(self, answer: Answer, below: float) -> Answer:
        """An abstention is not the same as the answer that the text holds none."""
        if answer["probability"] is None or answer["probability"] >= below:
            return answer
        return answer | {"answer": ABSTAINED, "start": None, "end": None}

    def baseline(self, train: Sequence[Example], test: Sequence[Example], labels: tuple[str, ...]) -> list[Prediction]:
        """ "No answer" everywhere, or the whole context where every training question has an answer."""
        no_answer = any(not example["answers"] for example in train)
        predictions = []
        for example in test:
            span = [] if no_answer else [0, len(example["context"])]
            values = scored(question_score(example, no_answer), example, span)
            predictions.append(identity(example) | {"gold": gold_spans(example), "predicted": span} | values)
        return predictions

    def all_metrics(self, labels: tuple[str, ...], negative_label: str | None) -> list[Metric]:
        return span_metrics()

    def details(self, predictions: Sequence[Prediction], labels: tuple[str, ...]) -> dict[str, Any]:
        return span_details(predictions)

    # --- Raw texts ----------------------------------------------------------------------------------------------------

    def texts(self, example: Example) -> tuple[str, ...]:
        return ("text", "text_b")

    def reads_windows(self, pooling: str) -> bool:
        return True

    def raw_example(self, texts: dict[str, str], token_pattern: str | None) -> Example:
        """The text is the context, the second one the question."""
        return {"id": texts["id"], "context": texts["text"], "question": texts["text_b"]}

    def encode_raw(self, coder: Coder, examples: Sequence[Example], pooling: str) -> EncodedSplit:
        places = [i for i, example in enumerate(examples) if example["context"].strip() and example["question"].strip()]
        split = self.encode(coder, [examples[i] for i in places])
        for row in split.features:
            row[EXAMPLE_INDEX] = places[row[EXAMPLE_INDEX]]
        return EncodedSplit(list(examples), split.features, split.notes, cut=[])

    def reduce_raw(self, logits: Any, coder: Coder) -> Any:
        return logits[..., 0], logits[..., 1]

    def answers(self, coder: Coder, split: EncodedSplit, outputs: Sequence[Any]) -> list[Answer]:
        """The answer with its [start, end) in the text and its probability; nulls where there is none."""
        nothing: Answer = {"answer": None, "start": None, "end": None, "probability": None}
        answers = [dict(nothing) for _ in split.examples]
        asked = sorted({row[EXAMPLE_INDEX] for row in split.features})
        if not asked:
            return answers
        found = self.candidates(coder, self.asked_only(split), outputs)
        spans, probabilities, _ = chosen(found, coder.options)
        for i, span, probability in zip(asked, spans, probabilities):
            answers[i]["probability"] = round(probability, 6)
            if span:
                answers[i] |= {"answer": split.examples[i]["context"][slice(*span)], "start": span[0], "end": span[1]}
        return answers

    def asked_only(self, split: EncodedSplit) -> EncodedSplit:
        """The raw examples that have rows, numbered without gaps."""
        asked = sorted({row[EXAMPLE_INDEX] for row in split.features})
        number = {i: k for k, i in enumerate(asked)}
        features = [row | {EXAMPLE_INDEX: number[row[EXAMPLE_INDEX]]} for row in split.features]
        return EncodedSplit([split.examples[i] for i in asked], features, split.notes, cut=[])


def target_tokens(example: Example, context: Any) -> tuple[int, int]:
    """First and last context token of the first answer that stands in the context; (-1, -1) without one."""
    for answer in example.get("answers", []):
        if (span := answer_span(answer)) is not None:
            return context.tokens_of(*span)
    return NOWHERE, NOWHERE


def answer_span(answer: dict[str, Any]) -> tuple[int, int] | None:
    """[start, end) of an answer without outer blanks; None where it does not stand in the context."""
    text = answer["text"]
    if answer["start"] == NOWHERE or not text.strip():
        return None
    start = answer["start"] + len(text) - len(text.lstrip())
    return start, start + len(text.strip())


def gold_spans(example: Example) -> list[list[int]]:
    """[start, end) of every gold answer, [-1, -1] where it does not stand in the context; empty without an answer."""
    return [list(answer_span(answer) or (NOWHERE, NOWHERE)) for answer in example["answers"]]


def question_score(example: Example, no_answer: bool) -> Callable[[str], tuple[int, float]]:
    """Exact match and F1 of a text, by the rules of SQuAD 2.0, or of 1.1 where "no answer" may not be said."""
    golds = [answer["text"] for answer in example["answers"]]
    if no_answer or not golds:
        return lambda text: squad2_question(text, golds)
    return lambda text: squad1_question(text, golds)


def scored(score: Callable[[str], tuple[int, float]], example: Example, span: list[int]) -> dict[str, float]:
    """`exact` and `f1` of a span of the context; of the empty text without one."""
    exact, f1 = score(example["context"][slice(*span)] if span else "")
    return {"exact": exact, "f1": f1}


def reachable(
    score: Callable[[str], tuple[int, float]], example: Example, notes: Sequence[WindowNote], longest: int
) -> dict[str, float]:
    """The best scores of the gold answers, each cut to what stands in one window and is not longer than allowed."""
    found = [scored(score, example, [])]
    for answer in example["answers"]:
        if (span := answer_span(answer)) is not None:
            found += [scored(score, example, cut) for note in notes if (cut := within(note, span, longest))]
    return {f"reachable_{name}": max(values[name] for values in found) for name in ("exact", "f1")}


def within(note: WindowNote, span: tuple[int, int], longest: int) -> list[int]:
    """The part of a span that is made of a window's tokens, from its first on at most `longest`; empty for none."""
    first = int(np.searchsorted(note.offsets[:, 1], span[0], side="right"))
    last = min(int(np.searchsorted(note.offsets[:, 0], span[1], side="left")) - 1, first + longest - 1)
    return [int(note.offsets[first, 0]), int(note.offsets[last, 1])] if first <= last else []


def span_of(found: Candidates, i: int) -> list[int]:
    """[start, end) of a question's best answer; empty where there is none."""
    return [int(found.starts[i, 0]), int(found.ends[i, 0])] if found.starts[i, 0] != NOWHERE else []


def limited(odds: np.ndarray) -> np.ndarray:
    """Odds with a large number in place of infinity."""
    return np.clip(odds.astype(np.float64), -LARGEST_ODDS, LARGEST_ODDS)


def chosen(found: Candidates, options: SpanOptions) -> tuple[list[list[int]], list[float], np.ndarray]:
    """Of each question the span that is answered (empty for "no answer"), its probability, and the null odds."""
    odds = limited(found.null_odds)
    answers, null = found.probabilities(with_null=bool(options.no_answer))
    is_empty = odds > (options.null_threshold or 0.0) if options.no_answer else np.zeros(len(odds), dtype=bool)
    spans = [[] if is_empty[i] else span_of(found, i) for i in range(len(odds))]
    return spans, np.where(is_empty, null, answers[:, 0]).tolist(), odds
