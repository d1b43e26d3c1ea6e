"""How well models of any vocabulary, masked or causal, predict the same text: in bits per byte of it.

hidden words: the same words are hidden from every masked model, all their tokens at once. pseudo: every token is
predicted from all others of its passage but those behind it in its own word, so that a word cut into many pieces is not
easier (Salazar et al. 2020; Kauf and Ivanova 2023): a pass over the passage for every token. causal: every token from
those before it; the first one from the token that begins or ends a text.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from bioclinical.checkpoints.read import Checkpoint, load_weights
from bioclinical.checkpoints.start import load_source, stated_architecture
from bioclinical.errors import RunFailed, UserError
from bioclinical.pretraining.architectures import Architecture
from bioclinical.pretraining.compute import Compute
from bioclinical.pretraining.evaluation.passages import Encoded, Passage, encode_passage, is_kept
from bioclinical.text.labels import IGNORED_LABEL
from bioclinical.text.tokenization import load_tokenizer

TOKENS_AT_ONCE = 8192

HIDDEN_WORDS, PSEUDO, CAUSAL = "hidden words", "pseudo", "causal"


@dataclass(frozen=True)
class Question:
    """ids as a model reads them, and what it is asked: (tokens,) each, IGNORED_LABEL where nothing is asked."""

    ids: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class TextScore:
    """measure: one of the above. tokens, bytes: of what was predicted. nats: sum of the cross-entropies. kept: share of
    passages whose letters the vocabulary keeps; others (no capitals, no accents) leave less to predict.
    """

    measure: str
    tokens: int
    bytes: int
    nats: float
    kept: float

    @property
    def bits_per_byte(self) -> float:
        return self.nats / math.log(2) / self.bytes

    @property
    def perplexity(self) -> float:
        return math.exp(self.nats / self.tokens)


class Scorer:
    """A model, its own tokenizer and the texts as it reads them.

    Raises UserError for a model that cannot be loaded here, and where a passage is longer than it can read.
    """

    def __init__(self, source: str, passages: list[Passage], compute: Compute, trust: bool = False):
        self.source = source
        self.passages = passages
        self.device = compute.device
        stored = load_source(source, trust)
        self.tokenizer = load_tokenizer(tokenizer_of(stored, source))
        self.architecture = architecture_of(stored, source, self.tokenizer, compute)
        self.model: PreTrainedModel = self.architecture.new_model(seed=0)
        load_weights(self.model, stored.weights, source)
        self.model.to(compute.device).eval()
        self.encoded = [encode_passage(passage, self.tokenizer) for passage in passages]
        self.kept = float(np.mean([is_kept(*pair, self.tokenizer) for pair in zip(passages, self.encoded)]))
        longest, limit = 1 + max(len(one.ids) for one in self.encoded), self.architecture.longest
        if limit is not None and longest > limit:
            raise UserError(f"'{source}' takes {limit:,} tokens, a passage has up to {longest:,}; lower --words")

    def measures(self, pseudo: bool, causal: bool) -> list[str]:
        """What can be measured of this model: pseudo and, of an encoder, causal only where asked for."""
        if self.architecture.is_causal:
            return [CAUSAL]
        also_causal = [CAUSAL] if causal and self.architecture.has_causal_form else []
        return [HIDDEN_WORDS, *([PSEUDO] if pseudo else []), *also_causal]

    def score(self, measure: str) -> TextScore:
        """Raises RunFailed where a figure is not finite."""
        if measure == HIDDEN_WORDS:
            size = sum(passage.hidden_bytes for passage in self.passages)
            questions = (hidden_words(*pair, self.mask_id()) for pair in zip(self.passages, self.encoded))
        else:
            size = sum(passage.bytes for passage in self.passages)
            if measure == CAUSAL:
                questions = (continued(one, self.begin_id()) for one in self.encoded)
            else:
                questions = (question for one in self.encoded for question in token_by_token(one, self.mask_id()))
        tokens, nats = self.cross_entropy(questions, self.passes(measure), measure == CAUSAL)
        if not math.isfinite(nats):
            raise RunFailed(f"'{self.source}': its predictions are not finite numbers; take an earlier checkpoint")
        return TextScore(measure, tokens, size, nats, self.kept)

    def passes(self, measure: str) -> int:
        """How many times a passage is read, over all passages."""
        return sum(int(one.is_text.sum()) for one in self.encoded) if measure == PSEUDO else len(self.encoded)

    def mask_id(self) -> int:
        if self.tokenizer.mask_token_id is None:
            raise UserError(f"the tokenizer of '{self.source}' has no mask, so that no word can be hidden from it")
        return self.tokenizer.mask_token_id

    def begin_id(self) -> int:
        """The token that a causal model's text begins behind."""
        tokenizer = self.tokenizer
        ids = (tokenizer.cls_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.sep_token_id)
        known = [one for one in ids if one is not None]
        if not known:
            raise UserError(f"the tokenizer of '{self.source}' has no token for the beginning or end of a text")
        return known[0]

    @torch.inference_mode()
    def cross_entropy(self, questions: Iterable[Question], total: int, causal: bool) -> tuple[int, float]:
        """Predicted tokens and the sum of their cross-entropies in nats."""
        tokens, nats = 0, 0.0
        with tqdm(total=total, desc=self.source, unit=" passages", disable=None) as bar:
            for batch in batched(questions):
                ids, labels, bounds = (one.to(self.device) for one in as_row(batch))
                lengths = [len(one.ids) for one in batch]
                row = {"input_ids": ids, "cu_seqlens": bounds, "lengths": lengths, "max_seqlen": max(lengths)}
                asked = labels != IGNORED_LABEL
                hidden = self.architecture.encode(self.model, row, causal)[asked]
                logits = self.architecture.vocabulary_logits(self.model, hidden).float()
                nats += float(F.cross_entropy(logits, labels[asked], reduction="sum").double())
                tokens += int(asked.sum())
                bar.update(len(batch))
        return tokens, nats


def tokenizer_of(stored: Checkpoint, source: str) -> str:
    """The tokenizer of a folder is in it; that of a checkpoint is the one that its run used."""
    if not source.endswith(".pt"):
        return source
    if not stored.facts:
        raise UserError(f"'{source}' does not say which tokenizer it was trained with; export it, and give the folder")
    return stored.facts["config"]["model"]["tokenizer_name"]


def architecture_of(
    stored: Checkpoint, source: str, tokenizer: PreTrainedTokenizerFast, compute: Compute
) -> Architecture:
    architecture = stated_architecture(stored, tokenizer, compute)
    if architecture is None:
        raise UserError(f"'{source}' does not say its architecture; export it, and give the folder")
    return architecture


def hidden_words(passage: Passage, encoded: Encoded, mask_id: int) -> Question:
    """All tokens of the hidden words are masked and asked for."""
    asked = np.isin(encoded.word, list(passage.hidden))
    return Question(np.where(asked, mask_id, encoded.ids), np.where(asked, encoded.ids, IGNORED_LABEL))


def token_by_token(encoded: Encoded, mask_id: int) -> Iterator[Question]:
    """A question per token of the text: it and those behind it in its word are masked."""
    places = np.arange(len(encoded.ids))
    for place in np.flatnonzero(encoded.is_text):
        in_word = (encoded.word == encoded.word[place]) & (encoded.word >= 0)
        masked = (places == place) | (in_word & (places > place))
        labels = np.where(places == place, encoded.ids, IGNORED_LABEL)
        yield Question(np.where(masked, mask_id, encoded.ids), labels)


def continued(encoded: Encoded, begin_id: int) -> Question:
    """Every token of the text is asked for at the place before it; the tokenizer's own special tokens are left out."""
    text = encoded.ids[encoded.is_text]
    return Question(np.concatenate([[begin_id], text]), np.concatenate([text, [IGNORED_LABEL]]))


def batched(questions: Iterable[Question]) -> Iterator[list[Question]]:
    """Questions of TOKENS_AT_ONCE tokens together at most, or single ones."""
    batch, tokens = [], 0
    for question in questions:
        if batch and tokens + len(question.ids) > TOKENS_AT_ONCE:
            yield batch
            batch, tokens = [], 0
        batch.append(question)
        tokens += len(question.ids)
    if batch:
        yield batch


def as_row(batch: list[Question]) -> tuple[Tensor, Tensor, Tensor]:
    """ids and labels (tokens,) of all questions behind each other, and their bounds (questions + 1,)."""
    ids, labels = (
        torch.from_numpy(np.concatenate([getattr(one, name) for one in batch])) for name in ("ids", "labels")
    )
    bounds = np.cumsum([0, *(len(one.ids) for one in batch)]).astype(np.int32)
    return ids, labels, torch.from_numpy(bounds)
