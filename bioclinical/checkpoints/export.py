"""A Composer checkpoint as Hugging Face folders: config, weights, tokenizer, model card, and a check of the logits."""

from pathlib import Path
from typing import Any

import torch
import yaml
from omegaconf import OmegaConf
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from bioclinical.checkpoints.names import MAIN
from bioclinical.checkpoints.read import Checkpoint, load_checkpoint, load_weights
from bioclinical.checkpoints.start import stated_architecture
from bioclinical.errors import RunFailed, UserError
from bioclinical.files import atomic_path
from bioclinical.pretraining.architectures import Architecture, stored_architecture
from bioclinical.pretraining.architectures.modernbert import from_flexbert
from bioclinical.pretraining.compute import Compute
from bioclinical.pretraining.objectives import OBJECTIVES
from bioclinical.pretraining.recipe.load import read_yaml
from bioclinical.text.tokenization import load_tokenizer

PUBLISHED_TOKENIZER = "answerdotai/ModernBERT-base"  # base and large share it
PROBE_LENGTHS = (400, 150, 300, 5)
TOLERATED = 1e-3  # of the largest logit; fp32 kernels differ by about 1e-5 of it
ON_THIS_CPU = Compute()


def export(checkpoint: Path, out: Path, tokenizer_name: str | None, config: Path | None, trust: bool) -> float:
    """Writes the folder `out`, complete or not at all, and one per further network of the objective (`out`-generator).

    The largest difference of what is computed, relative to the largest value.

    Raises UserError for a checkpoint that cannot be read or does not say its architecture (give a YAML as `config`),
    RunFailed where the written folder computes something else.
    """
    if out.exists() and any(out.iterdir()):
        raise UserError(f"'{out}' is not empty; give a new folder, or remove it first")
    source = load_checkpoint(checkpoint, trust)
    name = tokenizer_name or own_tokenizer(source) or PUBLISHED_TOKENIZER
    load_tokenizer(name)  # says what is wrong in one sentence; the one to save must stay as it was published
    tokenizer = AutoTokenizer.from_pretrained(name)
    objective = objective_of(source)
    difference = 0.0
    for ending, network in objective.exported.items():
        if network == MAIN:
            architecture = architecture_of(source, config, tokenizer)
        else:
            architecture = stored_architecture(source.facts["hf_configs"][network], ON_THIS_CPU)
        model = objective.blank(network, architecture).eval()
        load_weights(model, source.networks[network], str(checkpoint))
        if architecture.longest is not None:
            tokenizer.model_max_length = architecture.longest
        folder = out.with_name(out.name + ending)
        with atomic_path(folder) as partial:
            model.save_pretrained(partial)
            architecture.finish_folder(partial)
            tokenizer.save_pretrained(partial)
            card = model_card(source, checkpoint, folder.name, architecture, model)
            (partial / "README.md").write_text(card, encoding="utf-8")
            difference = max(difference, parity(architecture, model, partial, tokenizer))
    return difference


def objective_of(source: Checkpoint) -> type:
    """The objective that a checkpoint was trained for; masked tokens where it does not say."""
    section = source.facts["config"].get("objective") if source.facts else None
    return OBJECTIVES[section["name"] if section else "masked_tokens"]


def own_tokenizer(source: Checkpoint) -> str | None:
    """The tokenizer that a run of this project trained with."""
    return source.facts["config"]["model"]["tokenizer_name"] if source.facts else None


def architecture_of(source: Checkpoint, config: Path | None, tokenizer: PreTrainedTokenizerFast) -> Architecture:
    """The model's architecture: from a YAML of ModernBERT's training if given, else as the checkpoint states it."""
    if config:
        values = OmegaConf.select(read_yaml(config), "model.model_config")
        if values is None:
            raise UserError(f"--config: '{config}' has no model.model_config; give the YAML of the training run")
        return from_flexbert(OmegaConf.to_container(values), tokenizer, ON_THIS_CPU)
    stored = stated_architecture(source, tokenizer, ON_THIS_CPU)
    if stored is None:
        raise UserError(
            "the checkpoint does not say its architecture; give the YAML it was trained with: --config FILE"
        )
    return stored


@torch.inference_mode()
def parity(
    architecture: Architecture, model: PreTrainedModel, folder: Path, tokenizer: PreTrainedTokenizerFast
) -> float:
    """Compares the checkpoint's weights, computed as in training, with the folder as transformers loads it, padded.

    The largest difference of logits, relative to the largest logit. Raises RunFailed where it is too large.
    """
    generator = torch.Generator().manual_seed(0)
    lengths = [min(length, architecture.longest or length) for length in PROBE_LENGTHS]
    documents = [torch.randint(len(tokenizer), (length,), generator=generator) for length in lengths]
    bounds = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    row = {"input_ids": torch.cat(documents), "cu_seqlens": bounds, "lengths": lengths, "max_seqlen": max(lengths)}
    trained = architecture.encode(model, row)
    loaded = (
        type(model)
        .from_pretrained(folder, attn_implementation=model.config._attn_implementation, torch_dtype=torch.float32)
        .eval()
    )
    reread = AutoTokenizer.from_pretrained(folder)
    if reread.get_vocab() != tokenizer.get_vocab():
        raise RunFailed(f"the tokenizer read back from '{folder}' has another vocabulary; nothing was kept")
    padded = torch.nn.utils.rnn.pad_sequence(documents, batch_first=True, padding_value=tokenizer.pad_token_id or 0)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(one) for one in documents], batch_first=True)
    if model.get_output_embeddings() is None:  # no vocabulary to predict: what the encoder hands over is compared
        logits = loaded.base_model(input_ids=padded, attention_mask=mask).last_hidden_state[mask.bool()]
    else:
        trained = architecture.vocabulary_logits(model, trained)
        logits = loaded(input_ids=padded, attention_mask=mask)[0][mask.bool()]  # also where there are several outputs
    difference = float((logits - trained).abs().max() / trained.abs().max())
    if not difference <= TOLERATED:
        raise RunFailed(f"the exported model's logits differ by {difference:.1e} of the largest one; nothing was kept")
    return difference


def model_card(
    source: Checkpoint, checkpoint: Path, name: str, architecture: Architecture, model: PreTrainedModel
) -> str:
    """README.md of the folder: what the model is, how it was trained, on how much data."""
    kind, parameters = architecture.config.model_type, sum(one.numel() for one in model.parameters())
    has_vocabulary, is_causal = model.get_output_embeddings() is not None, architecture.is_causal
    use = "text-generation" if is_causal else "fill-mask" if has_vocabulary else "feature-extraction"
    what = "A causal" if is_causal else "A masked" if has_vocabulary else "A discriminative"
    header = {"library_name": "transformers", "pipeline_tag": use, "tags": [kind]}
    positions = f" and {architecture.longest:,} positions" if architecture.longest else ""
    lines = [
        "---", yaml.safe_dump(header).strip(), "---", "", f"# {name}", "",
        f"{what} language model ({kind}) of {parameters:,} parameters{positions}, exported from the Composer "
        f"checkpoint `{checkpoint.name}`.", "",
    ]  # fmt: skip
    if source.clock:
        tokens, batches = source.clock["token"], source.clock["batch"]
        lines += [f"Trained for {tokens:,} tokens in {batches:,} batches of its last phase.", ""]
    if source.facts:
        lines += ["## Data", "", "| split | samples | tokens per epoch |", "|---|---|---|"]
        lines += [
            f"| {split} | {one['samples']:,} | {one['tokens']:,} |" for split, one in source.facts["data"].items()
        ]
        lines += ["", "## Training configuration", "", "```yaml", dump(source.facts["config"]), "```", ""]
    elif source.model_config:
        lines += ["## FlexBERT configuration", "", "```yaml", dump(source.model_config), "```", ""]
    return "\n".join(lines)


def dump(value: dict[str, Any]) -> str:
    return yaml.safe_dump(value, sort_keys=False).strip()
