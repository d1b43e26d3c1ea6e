"""A saved model that answers for raw texts, the way its test score was made."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from transformers import PretrainedConfig

from bioclinical import problems
from bioclinical.encoders.source import Source, load_config, model_identity
from bioclinical.errors import RunFailed, UserError
from bioclinical.finetuning.saved_model import TrainedFacts
from bioclinical.inference.documents import Document
from bioclinical.inference.runtimes import RUNTIMES
from bioclinical.problems import Problem
from bioclinical.problems.encoding import EXAMPLE_INDEX, Coder, Feature
from bioclinical.problems.label_names import LABEL_NUMBERS
from bioclinical.problems.operating_point import OperatingPoint
from bioclinical.problems.options import restored
from bioclinical.text.tokenization import choose_max_length, load_tokenizer, require_padding


class Predictor:
    """A model saved by main.py, or a fine-tuned one from elsewhere, on the device that is there."""

    def __init__(
        self,
        source: Source,
        batch_size: int,
        point: Any = None,
        abstain_below: float | None = None,
        runtime: str = "torch",
        base: str | None = None,
    ) -> None:
        """point: an operating point (from JSON) in place of the model's own.  abstain_below: a probability.
        runtime: of `RUNTIMES`.  base: where the model of an adapter is now.

        Raises UserError where the folder holds no fine-tuned model, or one that was changed.
        """
        config = load_config(source)
        self.facts = TrainedFacts.of(config, source.name)
        self.problem = problem_of(config, self.facts, source.name)
        loaded = RUNTIMES[runtime](source, config, self.problem, base)
        self.config, self.identity = config, model_identity(source, config) + loaded.identity
        tokenizer = load_tokenizer(source.name)
        require_padding(tokenizer, source.name)
        labels = label_names(config, self.problem, source.name)
        max_length = choose_max_length(self.facts.max_length, tokenizer, config)[0]
        options = restored(self.problem.options_class, self.facts.options)
        self.coder = Coder(tokenizer, max_length, loaded.arguments, labels, options, self.point_of(point, labels))
        self.model = self.problem.adapt(loaded.model, self.coder)
        self.device, self.batch_size = loaded.device, batch_size
        self.abstain_below = abstain_below
        if abstain_below is not None and not self.problem.can_abstain:
            raise UserError(f"--abstain_below: a {self.problem.name} gives no probabilities")
        self.collate = self.problem.collator(self.coder)
        self.documents_cut = self.documents_abstained = 0
        print(f"{source.name}: {self.facts.dataset}, protocol {self.facts.protocol}")
        print(f"{loaded.description}, {self.reading}")

    def point_of(self, given: Any, labels: tuple[str, ...]) -> OperatingPoint:
        """The operating point given, or the one the model was saved with."""
        if given is None and self.facts.operating_point is None:
            return OperatingPoint()
        stored, where = (
            (given, "--operating_point") if given is not None else (self.facts.operating_point, "config.json")
        )
        return OperatingPoint.read(stored, labels, self.problem.most_thresholds, where)

    @property
    def reading(self) -> str:
        """How a long text is read."""
        in_windows = self.problem.reads_windows(self.facts.pooling)
        return f"{'windows of' if in_windows else 'texts are cut at'} {self.coder.max_length} tokens"

    def check_texts(self, has_pairs: bool) -> None:
        """Raises UserError where the documents are pairs and the model reads single texts, or the other way round."""
        if self.facts.texts is None or has_pairs == ("text_b" in self.facts.texts):
            return
        if has_pairs:
            raise UserError(f"the model was trained on single texts ({self.facts.dataset}); leave out --text_b_column")
        raise UserError(f"the model was trained on pairs of texts ({self.facts.dataset}); name --text_b_column")

    def require_spans(self, option: str, name: str) -> None:
        """Raises UserError where the model answers for whole texts."""
        if not self.problem.finds_spans:
            raise UserError(f"{option} needs a model that finds entities; '{name}' answers for whole texts")

    @torch.inference_mode()
    def predict(self, documents: list[Document], on_progress: Callable[[int], Any]) -> list[dict[str, Any]]:
        """One answer a document, with its id. on_progress: told the characters done. Raises RunFailed for non-finite
        logits."""
        examples = [
            self.problem.raw_example({"id": document.id} | document.texts, self.facts.token_pattern)
            for document in documents
        ]
        split = self.problem.encode_raw(self.coder, examples, self.facts.pooling)
        self.documents_cut += len(split.cut)
        rows, outputs = split.longest_first(), []
        characters = sum(len(document.text) for document in documents)
        for start in range(0, len(rows), self.batch_size):
            batch = rows[start : start + self.batch_size]
            outputs += self.outputs_of(batch, [documents[row[EXAMPLE_INDEX]].id for row in batch])
            on_progress(characters * len(batch) // len(rows))
        answers = self.problem.answers(self.coder, split, split.by_row(outputs))
        if self.abstain_below is not None:
            given, answers = answers, [self.problem.abstained(answer, self.abstain_below) for answer in answers]
            self.documents_abstained += sum(one != two for one, two in zip(given, answers))
        return [{"id": document.id} | answer for document, answer in zip(documents, answers)]

    def outputs_of(self, batch: list[Feature], ids: list[str]) -> list[Any]:
        """What the problem keeps of the logits, for each row of a batch; ids: of their documents."""
        generated = self.problem.generate(self.coder, self.model, self.inputs_of(batch))
        if generated is not None:
            return list(generated.cpu().numpy())
        outputs, _ = self.forward(batch, ids)
        return rows_of(self.problem.reduce_raw(self.problem.logits(outputs).float(), self.coder))

    def inputs_of(self, batch: list[Feature]) -> dict[str, torch.Tensor]:
        """The model's inputs for a batch, gold left out."""
        dropped = {EXAMPLE_INDEX, *self.problem.label_names}
        collated = self.collate([{k: v for k, v in row.items() if k not in dropped} for row in batch])
        return {name: values.to(self.device) for name, values in collated.items()}

    def forward(self, batch: list[Feature], ids: list[str]) -> tuple[Mapping[str, torch.Tensor], torch.Tensor]:
        """The model's outputs for a batch and its attention mask. Raises RunFailed for logits that are not finite."""
        inputs = self.inputs_of(batch)
        outputs = self.model(**inputs)
        finite = self.problem.finite_rows(self.problem.logits(outputs).float(), inputs["attention_mask"]).tolist()
        if not all(finite):
            raise RunFailed(f"the model gives non-finite logits for document {ids[finite.index(False)]}")
        return outputs, inputs["attention_mask"]


def rows_of(kept: Any) -> list[Any]:
    """What was kept of a batch, an array or several side by side, as one item a row."""
    if isinstance(kept, tuple):
        return list(zip(*(part.cpu().numpy() for part in kept)))
    return list(kept.cpu().numpy())


def problem_of(config: PretrainedConfig, facts: TrainedFacts, name: str) -> Problem:
    """The problem that a model was trained for: as stored, else by its head. Raises UserError for another head."""
    architecture = (config.architectures or [""])[0]
    fitting = [problem for problem in problems.KINDS if problem.fits(architecture)]
    if not fitting:
        raise UserError(f"'{name}' is no fine-tuned model ({architecture or 'no architecture'}): main.py --save_model")
    wanted = facts.problem or config.problem_type
    return next((problem for problem in fitting if problem.name == wanted), fitting[0])


def label_names(config: PretrainedConfig, problem: Problem, name: str) -> tuple[str, ...]:
    """The labels in id order. Raises UserError where there are no names, or not one for each id."""
    if not problem.has_labels:
        return ()
    names = config.id2label
    if sorted(names) != list(range(len(names))) or not all(isinstance(label, str) for label in names.values()):
        raise UserError(f"'{name}': the id2label of its config must name the labels 0, 1, 2, ... without a gap")
    labels = tuple(names[i] for i in range(len(names)))
    if any(LABEL_NUMBERS.fullmatch(label) for label in labels):
        raise UserError(f"'{name}' has no label names (only {labels[0]}, ...): add id2label to its config")
    return labels
