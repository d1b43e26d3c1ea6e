"""The masked language model as Composer trains it: packed rows in, loss per masked token out."""

from typing import Any

import torch
from composer.metrics.nlp import LanguageCrossEntropy, LanguagePerplexity, MaskedAccuracy
from composer.models import ComposerModel
from torch import Tensor
from torchmetrics import Metric
from transformers import ModernBertForMaskedLM

from bioclinical.modeling.modernbert import encode, layer_kinds, masked_logits, mlm_loss


class PackedMaskedLM(ComposerModel):
    """ModernBertForMaskedLM over rows of packed documents; its parameters are named model.model.*, model.head.*, ...

    The loss is the mean over masked tokens; Composer weights the rows of all processes by their masked tokens
    (accumulate_train_batch_on_tokens). Metrics, too, are means over tokens.
    """

    def __init__(self, model: ModernBertForMaskedLM, backend: str):
        super().__init__()
        self.model = model
        self.backend = backend
        self.metrics = {metric.__class__.__name__: metric for metric in eval_metrics()}

    def hidden_states(self, row: dict[str, Any]) -> Tensor:
        return encode(self.model.base_model, row["input_ids"], row["cu_seqlens"], row["max_seqlen"], self.backend)

    def forward(self, batch: dict[str, Any]) -> Tensor:
        """Mean cross-entropy over the masked tokens of the batch's only row."""
        (row,) = batch["rows"]
        total, count = mlm_loss(self.model, self.hidden_states(row), row["labels"])
        return total / count.clamp(min=1)

    def loss(self, outputs: Tensor, batch: dict[str, Any]) -> Tensor:
        return outputs

    def eval_forward(self, batch: dict[str, Any], outputs: Any = None) -> tuple[Tensor, Tensor]:
        """Logits and labels of the masked tokens."""
        (row,) = batch["rows"]
        return masked_logits(self.model, self.hidden_states(row), row["labels"])

    def get_metrics(self, is_train: bool = False) -> dict[str, Metric]:
        return {} if is_train else self.metrics

    def update_metric(self, batch: dict[str, Any], outputs: tuple[Tensor, Tensor], metric: Metric) -> None:
        logits, labels = outputs
        metric.update(logits.float(), labels)

    def flops_per_batch(self, batch: dict[str, Any]) -> float:
        """Floating point operations of one forward and backward pass, which is what model FLOPs utilisation counts."""
        return sum(training_flops(self.model, row) for row in batch["rows"])


def eval_metrics() -> list[Metric]:
    return [LanguageCrossEntropy(), LanguagePerplexity(), MaskedAccuracy()]


def training_flops(model: ModernBertForMaskedLM, row: dict[str, Any]) -> float:
    """Operations of one step over a row.

    6 per weight and token (head and vocabulary: per masked token), 12 x hidden per pair of tokens that see each other.
    """
    config = model.config
    hidden = config.hidden_size
    layers = sum(weight.numel() for name, weight in model.model.layers.named_parameters() if weight.ndim == 2)
    head = hidden * hidden + hidden * config.vocab_size
    lengths = torch.diff(row["cu_seqlens"]).double().cpu()
    pairs = 0.0
    for kind in layer_kinds(config):
        reach = lengths if None in kind.window else lengths.clamp(max=1 + sum(kind.window))
        pairs += float((lengths * reach).sum())
    return 6.0 * (layers * float(lengths.sum()) + head * row["loss_weight"]) + 12.0 * hidden * pairs
