"""An objective's metrics for any model of its architecture on a recipe's evaluation split, all under the same masks."""

import math

import torch
from composer.core import Precision
from composer.trainer.trainer import get_precision_context
from composer.utils import get_device
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from bioclinical.checkpoints.read import Checkpoint, load_weights
from bioclinical.checkpoints.start import load_source, stated_architecture
from bioclinical.errors import RunFailed, UserError
from bioclinical.pretraining.architectures import Architecture, build_architecture
from bioclinical.pretraining.compute import Compute, choose_compute
from bioclinical.pretraining.data.batch_sizes import eval_batch_sizes
from bioclinical.pretraining.data.split_loader import Position, build_loader
from bioclinical.pretraining.objectives import build_objective
from bioclinical.pretraining.recipe.schema import Recipe
from bioclinical.pretraining.training.composer_model import TrainedModel
from bioclinical.text.tokenization import load_tokenizer


def evaluate(recipe: Recipe, source: str) -> dict[str, float]:
    """The objective's metrics and the number of predicted tokens (masked_tokens) of a .pt file, folder or id.

    Masks depend on the recipe's eval_loader alone, so the figures of two models can be compared where they share a
    tokenizer. Raises UserError for a recipe without eval_loader and a model that does not fit it, RunFailed where a
    figure is not finite.
    """
    if recipe.eval_loader is None:
        raise UserError("the recipe has no eval_loader; give one that has")
    compute = choose_compute(recipe.device, recipe.precision, recipe.model.attention_backend)
    device = get_device(compute.composer_device)
    tokenizer = load_tokenizer(recipe.model.tokenizer_name)
    stored = load_source(source, recipe.trust_checkpoint)
    architecture = architecture_of(stored, recipe, source, tokenizer, compute)
    objective = build_objective(recipe, architecture, tokenizer)
    model = TrainedModel(objective, objective.networks(recipe.seed))
    for name, network in model.networks.items():
        load_weights(network, stored.networks[name], source)
    device.module_to_device(model).eval()
    split = build_loader(recipe, "eval_loader", eval_batch_sizes(recipe, 1), objective, tokenizer, Position())
    predicted = 0
    metrics = model.get_metrics(is_train=False)
    total = int(split.windows.lengths.sum())
    in_precision = get_precision_context(Precision(recipe.precision))
    with torch.inference_mode(), in_precision, tqdm(total=total, unit=" tokens") as bar:
        for batch in split.loader:
            for part in split.spec.split_batch(batch, 1):
                outputs = model.eval_forward(device.batch_to_device(part))
                counts = [objective.update(device.module_to_device(metric), outputs) for metric in metrics.values()]
                predicted += counts[0]
                bar.update(part["rows"][0]["tokens"])
    scores = {name: float(metric.compute()) for name, metric in metrics.items()} | {"masked_tokens": predicted}
    if bad := [name for name, score in scores.items() if not math.isfinite(score)]:
        raise RunFailed(
            f"'{source}': {', '.join(bad)} are not finite numbers; its weights hold NaN or values out of range, so it "
            "cannot be used: take an earlier checkpoint"
        )
    return scores


def score_table(scores: dict[str, dict[str, float]]) -> str:
    """Lines of a table: a row per model, a column per measure of `evaluate`."""
    names = list(next(iter(scores.values())))
    lines = ["  ".join([*names, "model"])]
    for model, one in scores.items():
        shown = [f"{one[name]:>{len(name)},.{0 if isinstance(one[name], int) else 4}f}" for name in names]
        lines.append("  ".join([*shown, model]))
    return "\n".join(lines)


def architecture_of(
    stored: Checkpoint, recipe: Recipe, source: str, tokenizer: PreTrainedTokenizerFast, compute: Compute
) -> Architecture:
    """The architecture that the source states, or the recipe's where it states none."""
    longest = recipe.eval_loader.dataset.max_seq_len
    architecture = stated_architecture(stored, tokenizer, compute)
    architecture = architecture or build_architecture(recipe.model, longest, tokenizer, compute)
    if architecture.longest is not None and architecture.longest < longest:
        raise UserError(
            f"'{source}' takes {architecture.longest:,} tokens; add "
            f"eval_loader.dataset.max_seq_len={architecture.longest} for all models"
        )
    return architecture
