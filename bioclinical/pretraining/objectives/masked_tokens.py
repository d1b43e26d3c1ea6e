"""Masked language modelling: which tokens of a document are predicted, and what the model sees in their place."""

from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerFast

from bioclinical.errors import UserError
from bioclinical.modeling.modernbert import IGNORED_LABEL


@dataclass(frozen=True)
class Masking:
    """The 80/10/10 rule of BERT: of the chosen tokens 80 % become [MASK], 10 % a random token, 10 % stay.

    `maskable` (bool per id) tells which ids may be chosen, `random_ids` which may be drawn as replacement.
    """

    probability: float
    mask_id: int
    maskable: np.ndarray
    random_ids: np.ndarray
    seed: int

    @classmethod
    def of(
        cls, tokenizer: PreTrainedTokenizerFast, vocabulary: int, probability: float, seed: int, mask_special: bool
    ) -> "Masking":
        """Special tokens are neither masked nor drawn; with `mask_special` both, as in ModernBERT's own training."""
        if tokenizer.mask_token_id is None:
            raise UserError(f"the tokenizer '{tokenizer.name_or_path}' has no mask token; masked training needs one")
        ordinary = np.ones(vocabulary, bool)
        ordinary[len(tokenizer) :] = False
        maskable = np.ones(vocabulary, bool)
        if not mask_special:
            ordinary[tokenizer.all_special_ids] = False
            maskable[tokenizer.all_special_ids] = False
        return cls(probability, tokenizer.mask_token_id, maskable, np.flatnonzero(ordinary), seed)

    def apply(self, ids: np.ndarray, epoch: int, document: int, window: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and labels (-100 where nothing is predicted) of one document, int64.

        A pure function of the seed, the epoch and the document (and its window): the same on every rank and in every
        row.
        """
        rng = np.random.default_rng((self.seed, epoch, document, window))
        draw = rng.random(len(ids))
        replacements = rng.choice(self.random_ids, len(ids))
        chosen = (draw < self.probability) & self.maskable[ids]
        labels = np.where(chosen, ids, IGNORED_LABEL)
        inputs = ids.copy()
        masked = chosen & (draw < 0.8 * self.probability)
        inputs[masked] = self.mask_id
        replaced = chosen & ~masked & (draw < 0.9 * self.probability)
        inputs[replaced] = replacements[replaced]
        return inputs, labels
