"""One right answer among several options: MedQA, MedMCQA, MMLU.

An example holds {"question", "options", "answer"}: texts, and the position of the right one. The model reads the
question with each option in turn and gives it one score; the options' scores are compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bioclinical.errors import UserError
from bioclinical.metrics.calibration import CalibrationError
from bioclinical.metrics.choice import chosen, longest_option
from bioclinical.metrics.classification import Accuracy
from bioclinical.metrics.metric import Metric, Prediction
from bioclinical.problems.calibration import fit_temperature
from bioclinical.problems.encoding import EXAMPLE_INDEX, Coder, EncodedSplit, Feature, encode_filled
from bioclinical.problems.operating_point import ABSTAINED, Aim, Calibration, OperatingPoint
from bioclinical.problems.problem import Answer, Problem, identity
from bioclinical.problems.prompts import FORMS, LETTERS, Prompt, prompts_of
from bioclinical.problems.single_label import probabilities, rounded
from bioclinical.tasks.example import Example

OPTION_MASK = "option_mask"


class MultipleChoice(Problem):
    """A sequence classifier with one output scores (question, option); a question too long is cut from its left, where
    it tells the story rather than asks."""

    name = "multiple_choice"
    auto_class = "AutoModelForSequenceClassification"
    selection_metric = "accuracy"
    has_labels = False
    can_abstain = True
    zero_shot_forms = FORMS

    def fault(self, example: Example, labels: tuple[str, ...]) -> str | None:
        count = len(example["options"])
        if not example["question"].strip():
            return "the question is empty; remove it or restore its text"
        if not 2 <= count <= len(LETTERS):
            return f"the question has {count} options; 2 to {len(LETTERS)} are possible"
        return None if 0 <= example["answer"] < count else "the right answer lies outside the options"

    def counts(self, examples: Sequence[Example], labels: tuple[str, ...]) -> dict[str, float]:
        answers = [example["answer"] for example in examples]
        most = max((len(example["options"]) for example in examples), default=0)
        return {f"answer {letter}": answers.count(k) for k, letter in enumerate(LETTERS[:most])}

    def length(self, example: Example) -> int:
        return len(example["question"])

    def configure(self, config: Any, labels: tuple[str, ...]) -> None:
        config.num_labels = 1
        config.problem_type = None

    def adapt(self, model: Any, coder: Coder) -> Any:
        from bioclinical.modeling.choices import score_options

        return score_options(model)

    # --- Rows ---------------------------------------------------------------------------------------------------------

    def encode(self, coder: Coder, examples: Sequence[Example]) -> EncodedSplit:
        from bioclinical.text.question_windows import pair_frame

        frame = pair_frame(coder.tokenizer)
        questions = token_ids_of(coder, [example["question"].strip() for example in examples])
        options = iter(token_ids_of(coder, [option.strip() for example in examples for option in example["options"]]))
        split = EncodedSplit(list(examples), [], [], cut=[])
        for i, (example, question) in enumerate(zip(examples, questions)):
            rows = []
            for option in [next(options) for _ in example["options"]]:
                room = coder.max_length - len(frame) - len(option)
                if room < 1:
                    raise UserError(
                        f"question {example['id']}: an option of {len(option)} tokens leaves no room for the question; "
                        "raise --max_length"
                    )
                rows.append(coder.inputs_of(*frame.row(question[-room:], option)))
                if len(question) > room and split.cut[-1:] != [i]:
                    split.cut.append(i)
            feature: Feature = {name: [row[name] for row in rows] for name in rows[0]} | {EXAMPLE_INDEX: i}
            split.features.append(feature | ({"labels": example["answer"]} if "answer" in example else {}))
            split.notes.append(len(rows))
        return split

    def collator(self, coder: Coder) -> Any:
        return ChoiceCollator(coder.tokenizer)

    # --- Operating points ---------------------------------------------------------------------------------------------

    def calibration_fault(
        self, validation: Sequence[Example], aim: Aim | None, negative_label: str | None
    ) -> str | None:
        if aim:
            return "has options instead of labels; leave out --operating_point"
        return None if validation else "has no validation questions"

    def calibration(
        self,
        coder: Coder,
        split: EncodedSplit,
        logits: Sequence[np.ndarray],
        aim: Aim | None,
        negative_label: str | None,
    ) -> Calibration:
        most = max(split.notes)
        rows = [
            np.pad(row[:count], (0, most - count), constant_values=-np.inf) for row, count in zip(logits, split.notes)
        ]
        gold = np.array([example["answer"] for example in split.examples])
        temperature, nll = fit_temperature(np.stack(rows), gold)
        return Calibration(OperatingPoint(temperature), True, {}, nll, len(gold))

    def abstained(self, answer: Answer, below: float) -> Answer:
        given = answer["probabilities"]
        return answer | {"answer": ABSTAINED} if given and given[answer["answer"]] < below else answer

    # --- Without training ---------------------------------------------------------------------------------------------

    def prompts(self, shown: Sequence[Example], examples: Sequence[Example], form: str) -> list[Prompt]:
        return prompts_of(examples, shown, form)

    def chosen_answers(
        self, examples: Sequence[Example], prompts: Sequence[Prompt], likelihoods: Sequence[Sequence[float]]
    ) -> list[Prediction]:
        """`predicted` is the likeliest answer; `predicted_norm` and `predicted_bytes` the likeliest per character and
        per byte of it, as lm-evaluation-harness defines acc, acc_norm and acc_bytes."""
        predictions = []
        for example, prompt, values in zip(examples, prompts, likelihoods):
            best = chosen(values, prompt.answers)
            others = {f"predicted_{name}": LETTERS[best[f"acc_{name}"]] for name in ("norm", "bytes")}
            shares = {"probabilities": rounded(probabilities(np.asarray(values)))}
            predictions.append(lettered(example, best["acc"]) | others | shares)
        return predictions

    # --- Outputs ------------------------------------------------------------------------------------------------------

    def predictions(self, coder: Coder, split: EncodedSplit, outputs: Sequence[Any]) -> list[Prediction]:
        """outputs: scores (most options,) of each question; those beyond its own options are left out."""
        predictions: list[Prediction] = []
        for example, logits, options in zip(split.examples, outputs, split.notes):
            scores = np.asarray(logits, dtype=np.float64)[:options] / coder.point.temperature
            predictions.append(
                lettered(example, int(scores.argmax())) | {"probabilities": rounded(probabilities(scores))}
            )
        return predictions

    def baseline(self, train: Sequence[Example], test: Sequence[Example], labels: tuple[str, ...]) -> list[Prediction]:
        """The position that is right most often in training."""
        answers = [example["answer"] for example in train]
        constant = max(sorted(set(answers)), key=answers.count)
        return [lettered(example, constant) for example in test]

    def more_baselines(self, train: Sequence[Example], test: Sequence[Example]) -> dict[str, list[Prediction]]:
        return {"longest option": [lettered(example, longest_option(example["options"])) for example in test]}

    def all_metrics(self, labels: tuple[str, ...], negative_label: str | None) -> list[Metric]:
        normed = [Accuracy(name=f"acc_{name}", key=f"predicted_{name}") for name in ("norm", "bytes")]
        return [Accuracy(), *normed, CalibrationError()]

    def details(self, predictions: Sequence[Prediction], labels: tuple[str, ...]) -> dict[str, Any]:
        """What a constant letter and the longest option would score."""
        golds = [prediction["gold"] for prediction in predictions]
        constant = {letter: golds.count(letter) / len(golds) for letter in sorted(set(golds))}
        longest = sum(p["longest"] == p["gold"] for p in predictions) / len(golds)
        return {"questions": len(golds), "longest_option_accuracy": longest, "constant_accuracy": constant}

    # --- Raw texts ----------------------------------------------------------------------------------------------------

    def texts(self, example: Example) -> tuple[str, ...]:
        return ("text", "text_b")

    def raw_example(self, texts: dict[str, str], token_pattern: str | None) -> Example:
        """The text is the question; the second one holds the options, one a line."""
        options = [line.strip() for line in texts["text_b"].splitlines() if line.strip()]
        if not 2 <= len(options) <= len(LETTERS):
            raise UserError(f"question {texts['id']} has {len(options)} options; give 2 to {len(LETTERS)}, one a line")
        return {"id": texts["id"], "question": texts["text"], "options": options}

    def encode_raw(self, coder: Coder, examples: Sequence[Example], pooling: str) -> EncodedSplit:
        return encode_filled(self.encode, coder, examples, "question")

    def reduce_raw(self, logits: Any, coder: Coder) -> Any:
        return logits

    def answers(self, coder: Coder, split: EncodedSplit, outputs: Sequence[Any]) -> list[Answer]:
        """The letter with every letter's probability; null for an empty question."""
        found: list[Answer] = [{"answer": None, "probabilities": None} for _ in split.examples]
        for row, logits, options in zip(split.features, outputs, split.notes):
            scores = np.asarray(logits, dtype=np.float64)[:options] / coder.point.temperature
            shares = rounded(probabilities(scores))
            answer = {"answer": LETTERS[int(np.argmax(shares))], "probabilities": dict(zip(LETTERS, shares))}
            found[row[EXAMPLE_INDEX]] = answer
        return found


@dataclass
class ChoiceCollator:
    """Pads questions to (questions, options, length); a question of fewer options repeats its first one, masked."""

    tokenizer: Any

    def __call__(self, features: list[Feature]) -> dict[str, Any]:
        import torch

        most = max(len(feature["input_ids"]) for feature in features)
        names = [name for name in features[0] if isinstance(features[0][name], list)]
        rows = [
            {name: feature[name][k if k < len(feature["input_ids"]) else 0] for name in names}
            for feature in features
            for k in range(most)
        ]
        padded = self.tokenizer.pad(rows, return_tensors="pt")
        batch = {name: values.view(len(features), most, -1) for name, values in padded.items()}
        mask = [[int(k < len(feature["input_ids"])) for k in range(most)] for feature in features]
        numbers = {n: torch.tensor([feature[n] for feature in features]) for n in features[0] if n not in names}
        return batch | {OPTION_MASK: torch.tensor(mask)} | numbers


def token_ids_of(coder: Coder, texts: list[str]) -> list[list[int]]:
    """Ids without special tokens; byte-level tokenizers put a blank before each text."""
    return coder.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]


def lettered(example: Example, position: int) -> Prediction:
    """A prediction without text: letters of the gold, the predicted and the longest option."""
    letters = {"gold": example["answer"], "predicted": position, "longest": longest_option(example["options"])}
    return identity(example) | {name: LETTERS[k] for name, k in letters.items()}
