"""What objectives that predict tokens share: the cross-entropy over the vocabulary."""

import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel

from bioclinical.pretraining.architectures import Architecture


def vocabulary_loss(architecture: Architecture, model: PreTrainedModel, hidden: Tensor, labels: Tensor) -> Tensor:
    """Sum of the cross-entropy, in fp32, of hidden states (n, hidden) against labels (n,)."""
    return F.cross_entropy(architecture.vocabulary_logits(model, hidden).float(), labels, reduction="sum")
