"""Masked-token loss and accuracy of any ModernBERT on a recipe's evaluation split, all under the same masks."""

import torch
from composer.core import Precision
from composer.trainer.trainer import get_precision_context
from composer.utils import get_device
from omegaconf import DictConfig
from tqdm import tqdm
from transformers import ModernBertForMaskedLM

from bioclinical.checkpoints.read import load_weights
from bioclinical.checkpoints.start import load_source
from bioclinical.errors import UserError
from bioclinical.modeling.backend_choice import choose_packed_backend
from bioclinical.pretraining.architectures.modernbert import hf_config, new_model, stored_config
from bioclinical.pretraining.data.split_loader import build_loader, eval_batches
from bioclinical.pretraining.training.composer_model import PackedMaskedLM
from bioclinical.pretraining.training.run import expect_device
from bioclinical.text.tokenization import load_tokenizer


def evaluate(config: DictConfig, source: str) -> dict[str, float]:
    """LanguageCrossEntropy, LanguagePerplexity, MaskedAccuracy and the masked tokens of a .pt file, folder or id.

    Masks depend on the recipe's eval_loader alone, so the figures of two models can be compared where they share a
    tokenizer. Raises UserError for a recipe without eval_loader and a model that does not fit it.
    """
    if config.eval_loader is None:
        raise UserError("the recipe has no eval_loader; give one that has")
    kind = expect_device(config)
    device = get_device(kind)
    tokenizer = load_tokenizer(config.model.tokenizer_name)
    model = load(config, source, tokenizer)
    precision = "fp32" if config.precision == "fp32" else "bf16"
    backend = choose_packed_backend(config.model.attention_backend, "cuda" if kind == "gpu" else "cpu", precision)
    packed = device.module_to_device(PackedMaskedLM(model, backend.value)).eval()
    split = build_loader(config, "eval_loader", eval_batches(config, 1), tokenizer, model.config.vocab_size, 0, 1)
    masked = 0
    metrics = packed.get_metrics(is_train=False)
    total = int(split.windows.lengths.sum())
    in_precision = get_precision_context(Precision(config.precision))
    with torch.inference_mode(), in_precision, tqdm(total=total, unit=" tokens") as bar:
        for batch in split.loader:
            for part in split.spec.split_batch(batch, 1):
                outputs = packed.eval_forward(device.batch_to_device(part))
                for metric in metrics.values():
                    packed.update_metric(part, outputs, metric.to(outputs[0].device))
                masked += len(outputs[1])
                bar.update(part["rows"][0]["tokens"])
    return {name: float(metric.compute()) for name, metric in metrics.items()} | {"masked_tokens": masked}


def load(config: DictConfig, source: str, tokenizer) -> ModernBertForMaskedLM:
    """The source in the architecture that it states, or in the recipe's where it states none."""
    flex, longest = config.model.model_config, config.eval_loader.dataset.max_seq_len
    stored = load_source(source, config.trust_checkpoint)
    architecture = stored_config(stored, tokenizer) or hf_config(flex, longest, tokenizer)
    if architecture.max_position_embeddings < longest:
        raise UserError(
            f"'{source}' takes {architecture.max_position_embeddings:,} tokens; add "
            f"eval_loader.dataset.max_seq_len={architecture.max_position_embeddings} for all models"
        )
    model = new_model(architecture, flex, config.seed)
    load_weights(model, stored.weights, source)
    return model
