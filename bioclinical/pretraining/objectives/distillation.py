"""Distillation while masked tokens are learned: a student also follows a frozen teacher's predictions and states.

Sources: bio-lm (Lewis et al. 2020): 5 x masked tokens + 2 x divergence at temperature 2, optionally + 1 x cosine
through a learned projection; scaling and positions follow DistilBERT: all tokens, times the temperature's square.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from bioclinical.checkpoints.read import load_pretrained, load_weights
from bioclinical.errors import UserError
from bioclinical.modeling.chunks import sum_over_chunks
from bioclinical.pretraining.architectures import Architecture, stored_architecture
from bioclinical.pretraining.data.rows import Example, Row
from bioclinical.pretraining.objectives.masked_tokens import MaskedTokens, Masking
from bioclinical.pretraining.objectives.vocabulary_loss import vocabulary_loss
from bioclinical.pretraining.recipe import schema
from bioclinical.text.tokenization import load_tokenizer


@dataclass(frozen=True)
class Weighted:
    """Masked documents, and the number of positions of each term."""

    masking: Masking
    kl_on_masked: bool

    def __call__(self, ids: np.ndarray, epoch: int, document: int, window: int = 0, clock: int = 0) -> Example:
        example = self.masking(ids, epoch, document, window, clock)
        masked = example.weights["masked_tokens"]
        kl = masked if self.kl_on_masked else len(ids)
        return Example(example.input_ids, example.targets, {"masked_tokens": masked, "kl": kl, "cosine": len(ids)})


class Distillation(MaskedTokens):
    """The student (`model`) and its projection; the teacher is read only, outside of optimizer, checkpoints and DDP."""

    def __init__(self, keys: schema.Distillation, architecture: Architecture, tokenizer: PreTrainedTokenizerFast):
        super().__init__(keys, architecture, tokenizer)
        self.terms = {
            "masked_tokens": keys.masked_tokens_weight,
            "kl": keys.kl_weight,
            "cosine": keys.cosine_weight,
        }
        if not any(self.terms.values()):
            raise UserError("objective: all weights of the distillation are 0; give one of them")
        self.teacher_architecture, self.teacher = load_teacher(keys.teacher, architecture, tokenizer)

    def examples(self, dataset: schema.Dataset) -> Weighted:
        return Weighted(super().examples(dataset), self.keys.kl_positions == "masked")

    def networks(self, seed: int) -> dict[str, nn.Module]:
        networks = super().networks(seed)
        if self.keys.cosine_weight:
            widths = (one.config.hidden_size for one in (self.architecture, self.teacher_architecture))
            networks["projection"] = nn.Linear(*widths)
        return networks

    def loss_sums(self, networks: Mapping[str, nn.Module], row: Row) -> dict[str, Tensor]:
        student, keys = networks["model"], self.keys
        masked = row["predicted"]
        hidden = self.architecture.encode(student, row)
        taught = self.taught(row)
        cross_entropy = functools.partial(vocabulary_loss, self.architecture, student)
        labels = row["targets"]["labels"][masked]
        sums = {"masked_tokens": sum_over_chunks(cross_entropy, hidden[masked], labels)}
        where = masked if keys.kl_positions == "masked" else slice(None)
        sums["kl"] = sums["cosine"] = 0.0 * hidden.sum().float()
        if keys.kl_weight:
            sums["kl"] = sum_over_chunks(lambda *two: self.divergence(student, *two), hidden[where], taught[where])
        if keys.cosine_weight:
            projected = networks["projection"](hidden).float()
            sums["cosine"] = (1 - F.cosine_similarity(projected, taught.float(), dim=-1)).sum()
        return sums

    @torch.no_grad()
    def taught(self, row: Row) -> Tensor:
        """The teacher's last hidden states (tokens, its width) of the same masked row, without dropout."""
        self.teacher.to(row["input_ids"].device)
        return self.teacher_architecture.encode(self.teacher, row)

    def divergence(self, student: PreTrainedModel, hidden: Tensor, taught: Tensor) -> Tensor:
        """Sum over positions of T^2 KL(teacher || student) at temperature T, over the ids of the tokenizer."""
        temperature, entries = self.keys.temperature, len(self.tokenizer)
        with torch.no_grad():
            wanted = self.teacher_architecture.vocabulary_logits(self.teacher, taught)[:, :entries].float()
        logits = self.architecture.vocabulary_logits(student, hidden)[:, :entries].float()
        return softened_divergence(logits, wanted, temperature)

    def training_flops(self, networks: Mapping[str, nn.Module], row: Row) -> float | None:
        """The student's, whose head sees every position of the divergence, and a forward pass of the teacher."""
        predicted = row["weights"]["masked_tokens"] + (row["weights"]["kl"] if self.keys.kl_weight else 0)
        student = self.architecture.training_flops(networks["model"], row, predicted)
        teacher = self.teacher_architecture.training_flops(self.teacher, row, row["weights"]["kl"])
        return None if None in (student, teacher) else student + teacher / 3


def softened_divergence(logits: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """T^2 sum KL(softmax(wanted / T) || softmax(logits / T)) of logits (n, entries).

    Its gradient with respect to the logits is T (softmax(logits / T) - softmax(wanted / T)).
    """
    ours, theirs = (F.log_softmax(one / temperature, dim=-1) for one in (logits, wanted))
    return temperature**2 * F.kl_div(ours, theirs, reduction="sum", log_target=True)


def load_teacher(
    name: str, architecture: Architecture, tokenizer: PreTrainedTokenizerFast
) -> tuple[Architecture, PreTrainedModel]:
    """The teacher, frozen. Raises UserError where it is missing or has another vocabulary."""
    if load_tokenizer(name).get_vocab() != tokenizer.get_vocab():
        raise UserError(
            f"objective.teacher: '{name}' has another vocabulary than '{tokenizer.name_or_path}'; their predictions "
            "cannot be compared, choose a teacher with this tokenizer"
        )
    source = load_pretrained(name)
    teacher_architecture = stored_architecture(source.hf_config, architecture.compute)
    longest = (architecture.longest, teacher_architecture.longest)
    if None not in longest and longest[1] < longest[0]:
        raise UserError(f"objective.teacher: '{name}' takes {longest[1]:,} tokens; lower max_seq_len to that")
    teacher = teacher_architecture.new_model(seed=0)
    load_weights(teacher, source.weights, name)
    return teacher_architecture, teacher.eval().requires_grad_(False)
