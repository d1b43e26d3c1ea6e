"""Pairs of texts compared by the cosine of their vectors: trains the encoder that `bioclinical.embed` uses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bioclinical.errors import UserError
from bioclinical.problems.encoding import EXAMPLE_INDEX, Coder, EncodedSplit, cut_examples
from bioclinical.problems.multiple_choice import OPTION_MASK, ChoiceCollator
from bioclinical.problems.regression import Regression
from bioclinical.problems.sequence import is_of_pairs
from bioclinical.tasks.example import Example

SIDES = ("text", "text_b")


@dataclass(frozen=True)
class VectorOptions:
    """pooling: of a text's tokens.  loss: `cosent` teaches the order of the pairs' scores; `in_batch` that the texts of
    a pair with a score above 0 belong together and to no other text of the batch."""

    pooling: Literal["mean", "cls", "max"] = "mean"
    loss: Literal["cosent", "in_batch"] = "cosent"


class VectorPairs(Regression):
    """An example holds {"text", "text_b", "labels"}: two texts and how similar they are, as a number on any scale."""

    name = "vector_pairs"
    auto_class = "AutoModel"
    options_class = VectorOptions

    def fits(self, architecture: str) -> bool:
        return architecture.endswith("Model")

    def fault(self, example: Example, labels: tuple[str, ...]) -> str | None:
        return super().fault(example, labels) if is_of_pairs([example]) else "it has no second text to compare with"

    def configure(self, config: Any, labels: tuple[str, ...]) -> None:
        """Nothing: there is no head."""

    def adapt(self, model: Any, coder: Coder) -> Any:
        from bioclinical.encoders.vector_pairs import compare_texts

        return compare_texts(model, coder.options.pooling, coder.options.loss)

    def encode(self, coder: Coder, examples: Sequence[Example]) -> EncodedSplit:
        """Each text by itself, as it is for its vector."""
        texts = [example[side] for example in examples for side in SIDES]
        encoded = coder.tokenizer(texts, truncation=True, max_length=coder.max_length)
        features = []
        for i, example in enumerate(examples):
            first, second = (coder.inputs(encoded, 2 * i + k) for k in (0, 1))
            row = {name: [first[name], second[name]] for name in first}
            features.append(row | self.gold_input(example, coder) | {EXAMPLE_INDEX: i})
        cut = sorted({k // 2 for k in cut_examples(encoded)})
        return EncodedSplit(list(examples), features, [None] * len(features), cut)

    def collator(self, coder: Coder) -> Any:
        pad = ChoiceCollator(coder.tokenizer)
        return lambda features: {name: values for name, values in pad(features).items() if name != OPTION_MASK}

    def files_beside(self, config: Any, max_length: int, options: dict[str, Any]) -> dict[str, Any]:
        from bioclinical.encoders.sentence_format import sentence_files

        return sentence_files(options["pooling"], config.hidden_size, max_length)

    def raw_example(self, texts: dict[str, str], token_pattern: str | None) -> Example:
        if "text_b" not in texts:
            raise UserError(
                "this model compares two texts: name --text_b_column, or make vectors with python -m bioclinical.embed"
            )
        return dict(texts)
