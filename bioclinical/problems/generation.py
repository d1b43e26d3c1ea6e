"""A text to be written from another one: question summaries (MeQSum), notes from dialogues (MTS-Dialog, ACI-Bench).

An example holds {"source", "target"}. A causal model reads source, separator, target and end in one row and learns the
target alone (as BioMedLM's program); an encoder-decoder reads the source and writes the target. Of a source that is too
long the beginning is kept.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bioclinical.errors import UserError
from bioclinical.metrics.metric import Metric, Prediction
from bioclinical.metrics.rouge import both_scores, first_words, length_details, rouge_metrics, typical_text
from bioclinical.problems.encoding import EXAMPLE_INDEX, Coder, EncodedSplit, Feature, encode_filled
from bioclinical.problems.options import require_at_least
from bioclinical.problems.problem import Answer, Problem, identity
from bioclinical.tasks.example import Example
from bioclinical.text.labels import IGNORED_LABEL

HEADS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")


@dataclass(frozen=True)
class WritingOptions:
    """How targets are cut and texts searched for; defaults as in BioMedLM's program, under transformers' names.

    prefix: stands before every source ("summarize: " for T5).  target_length: tokens that are learnt of a target, its
    end included.  max_new_tokens, min_new_tokens: of a written text; a causal model's context keeps room for them.
    """

    prefix: str = ""
    target_length: int = 510
    num_beams: int = 5
    no_repeat_ngram_size: int = 6
    length_penalty: float = -0.5
    max_new_tokens: int = 400
    min_new_tokens: int = 5

    def __post_init__(self) -> None:
        require_at_least(self, target_length=2, num_beams=1, no_repeat_ngram_size=0, max_new_tokens=1, min_new_tokens=0)
        if self.min_new_tokens > self.max_new_tokens:
            raise UserError(
                f"--option min_new_tokens={self.min_new_tokens} is more than max_new_tokens={self.max_new_tokens}"
            )

    @property
    def search(self) -> dict[str, int | float]:
        """What transformers' search is told."""
        return {name: value for name, value in asdict(self).items() if name not in ("prefix", "target_length")}


class Generation(Problem):
    """A language model, causal or encoder-decoder; texts are compared by ROUGE and stored nowhere."""

    name = "generation"
    auto_class = "AutoModelForCausalLM"
    selection_metric = "rougeL"
    has_labels = False
    options_class = WritingOptions
    baseline_name = "constant text"

    def head_class(self, config: Any, name: str) -> str:
        from bioclinical.encoders.language_models import writing_class

        return writing_class(config, name)

    def fits(self, architecture: str) -> bool:
        return architecture.endswith(HEADS)

    def fault(self, example: Example, labels: tuple[str, ...]) -> str | None:
        for part in ("source", "target"):
            if not example[part].strip():
                return f"the {part} is empty; remove the row or restore its text"
        return None

    def counts(self, examples: Sequence[Example], labels: tuple[str, ...]) -> dict[str, float]:
        return {f"words of a {part}, mean": mean_words(examples, part) for part in ("source", "target")}

    def length(self, example: Example) -> int:
        return len(example["source"])

    def configure(self, config: Any, labels: tuple[str, ...]) -> None:
        """A language model has its head already."""

    def adapt(self, model: Any, coder: Coder) -> Any:
        from bioclinical.modeling.writing import set_search
        from bioclinical.text.lengths import context_limit

        if not is_encoder_decoder(coder):
            return set_search(model, coder.tokenizer.pad_token_id, end_id(coder), **coder.options.search)
        limit, longest = context_limit(model.config), max(coder.options.max_new_tokens, coder.options.target_length)
        if limit and longest >= limit:
            raise UserError(
                f"the model writes at most {limit - 1} tokens; lower --option max_new_tokens="
                f"{coder.options.max_new_tokens} or --option target_length={coder.options.target_length}"
            )
        return set_search(model, coder.tokenizer.pad_token_id, None, **coder.options.search)

    # --- Rows ---------------------------------------------------------------------------------------------------------

    def encode(self, coder: Coder, examples: Sequence[Example]) -> EncodedSplit:
        row_of = encoder_decoder_row if is_encoder_decoder(coder) else causal_row
        sources = token_ids_of(coder, [coder.options.prefix + example["source"].strip() for example in examples])
        targets = token_ids_of(coder, [example.get("target", "").strip() for example in examples])
        split = EncodedSplit(list(examples), [], [None] * len(examples), cut=[])
        for i, (example, source, target) in enumerate(zip(examples, sources, targets)):
            row, is_cut = row_of(coder, source, target if "target" in example else None)
            split.features.append(row | {EXAMPLE_INDEX: i})
            split.cut += [i] if is_cut else []
        return split

    def collator(self, coder: Coder) -> Any:
        from transformers import DataCollatorForSeq2Seq

        collate = DataCollatorForSeq2Seq(coder.tokenizer, label_pad_token_id=IGNORED_LABEL)
        return lambda rows: {name: values for name, values in collate(rows).items() if values is not None}

    def generate(self, coder: Coder, model: Any, inputs: dict[str, Any]) -> Any:
        from bioclinical.modeling.writing import write

        return write(model, inputs["input_ids"], inputs["attention_mask"], inputs.get("labels"))

    # --- Outputs ------------------------------------------------------------------------------------------------------

    def predictions(self, coder: Coder, split: EncodedSplit, outputs: Sequence[Any]) -> list[Prediction]:
        """outputs: the ids written for each row."""
        return [scored(example, text) for example, text in zip(split.examples, texts_of(coder, outputs))]

    def baseline(self, train: Sequence[Example], test: Sequence[Example], labels: tuple[str, ...]) -> list[Prediction]:
        """The training target that is most like the others."""
        constant = typical_text([example["target"] for example in train])
        return [scored(example, constant) for example in test]

    def more_baselines(self, train: Sequence[Example], test: Sequence[Example]) -> dict[str, list[Prediction]]:
        """As many first words of the source as a training target has on average."""
        count = max(1, round(mean_words(train, "target")))
        return {f"first {count} words": [scored(example, first_words(example["source"], count)) for example in test]}

    def all_metrics(self, labels: tuple[str, ...], negative_label: str | None) -> list[Metric]:
        return rouge_metrics()

    def details(self, predictions: Sequence[Prediction], labels: tuple[str, ...]) -> dict[str, Any]:
        return length_details(predictions)

    # --- Raw texts ----------------------------------------------------------------------------------------------------

    def raw_example(self, texts: dict[str, str], token_pattern: str | None) -> Example:
        return {"id": texts["id"], "source": texts["text"]}

    def encode_raw(self, coder: Coder, examples: Sequence[Example], pooling: str) -> EncodedSplit:
        return encode_filled(self.encode, coder, examples, "source")

    def reduce_raw(self, logits: Any, coder: Coder) -> Any:
        return logits

    def answers(self, coder: Coder, split: EncodedSplit, outputs: Sequence[Any]) -> list[Answer]:
        """The text; null for an empty source."""
        found: list[Answer] = [{"text": None} for _ in split.examples]
        for row, text in zip(split.features, texts_of(coder, outputs)):
            found[row[EXAMPLE_INDEX]] = {"text": text}
        return found


def is_encoder_decoder(coder: Coder) -> bool:
    return "decoder_input_ids" in coder.arguments


def token_ids_of(coder: Coder, texts: list[str]) -> list[list[int]]:
    """Ids without special tokens."""
    return coder.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"] if texts else []


def end_id(coder: Coder) -> int:
    """What ends a causal model's text. Raises UserError where its tokenizer has no such token."""
    if coder.tokenizer.eos_token_id is None:
        raise UserError("the tokenizer has no end-of-text token; a model that writes needs one to stop")
    return coder.tokenizer.eos_token_id


def causal_row(coder: Coder, source: list[int], target: list[int] | None) -> tuple[Feature, bool]:
    """Source, start token, target, end token; and whether something was cut. Without target: the prompt.

    The start token (GPT-2: the same as the end) separates the two, as in BioMedLM's program.
    """
    options, end = coder.options, end_id(coder)
    separator = coder.tokenizer.bos_token_id if coder.tokenizer.bos_token_id is not None else end
    room = coder.max_length - 1 - options.max_new_tokens
    if room < 1:
        raise UserError(
            f"a context of {coder.max_length} tokens has no room for a source beside --option max_new_tokens="
            f"{options.max_new_tokens}; lower that, or raise --max_length"
        )
    prompt = source[:room] + [separator]
    if target is None:
        return coder.inputs_of(prompt), len(source) > room
    most = min(options.target_length, coder.max_length - len(prompt)) - 1
    wanted = target[:most] + [end]
    row = coder.inputs_of(prompt + wanted) | {"labels": [IGNORED_LABEL] * len(prompt) + wanted}
    return row, len(source) > room or len(target) > most


def encoder_decoder_row(coder: Coder, source: list[int], target: list[int] | None) -> tuple[Feature, bool]:
    """The source as input and the target as labels, each with the tokenizer's special tokens; whether one was cut."""
    from bioclinical.text.windows import special_frame

    before, after = special_frame(coder.tokenizer)
    room = coder.max_length - len(before) - len(after)
    row = coder.inputs_of(before + source[:room] + after)
    if target is None:
        return row, len(source) > room
    most = coder.options.target_length - len(before) - len(after)
    return row | {"labels": before + target[:most] + after}, len(source) > room or len(target) > most


def texts_of(coder: Coder, outputs: Sequence[Any]) -> list[str]:
    """The texts of ids, which batches of different length were padded with negative numbers."""
    ids = [row[row >= 0] for row in map(np.asarray, outputs)]
    texts = coder.tokenizer.batch_decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return [text.strip() for text in texts]


def mean_words(examples: Sequence[Example], part: str) -> float:
    """Words (between blanks) of a part of the examples, on average."""
    return sum(len(example[part].split()) for example in examples) / max(1, len(examples))


def scored(example: Example, text: str) -> Prediction:
    """A prediction without text: its ROUGE values, and the words of both texts."""
    words = {"gold": len(example["target"].split()), "predicted": len(text.split())}
    return identity(example) | words | both_scores(text, example["target"])
