"""A Composer checkpoint as a Hugging Face folder: config, weights, tokenizer, model card, and a check of its logits."""

import json
from pathlib import Path
from typing import Any

import torch
import yaml
from omegaconf import OmegaConf
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedTokenizerFast,
)

from bioclinical.checkpoints.read import Checkpoint, load_checkpoint, load_weights
from bioclinical.errors import RunFailed, UserError
from bioclinical.files import atomic_path
from bioclinical.modeling.modernbert import encode, layer_kinds
from bioclinical.modeling.window import WHOLE_DOCUMENT
from bioclinical.pretraining.architectures.modernbert import flex_config, stored_config
from bioclinical.pretraining.recipe.load import read_yaml
from bioclinical.text.tokenization import load_tokenizer

PUBLISHED_TOKENIZER = "answerdotai/ModernBERT-base"  # base and large share it
PROBE_LENGTHS = (400, 150, 300, 5)
TOLERATED = 1e-3  # of the largest logit; fp32 kernels differ by about 1e-5 of it


def export(checkpoint: Path, out: Path, tokenizer_name: str | None, config: Path | None, trust: bool) -> float:
    """Writes the folder `out`, complete or not at all; the largest difference of logits, relative to the largest logit.

    Raises UserError for a checkpoint that cannot be read or does not say its architecture (give a YAML as `config`),
    RunFailed where the written folder computes something else.
    """
    if out.exists() and any(out.iterdir()):
        raise UserError(f"'{out}' is not empty; give a new folder, or remove it first")
    source = load_checkpoint(checkpoint, trust)
    name = tokenizer_name or own_tokenizer(source) or PUBLISHED_TOKENIZER
    load_tokenizer(name)  # says what is wrong in one sentence; the one to save must stay as it was published
    tokenizer = AutoTokenizer.from_pretrained(name)
    model = ModernBertForMaskedLM._from_config(
        architecture(source, config, tokenizer), attn_implementation="sdpa", torch_dtype=torch.float32
    ).eval()
    load_weights(model, source.weights, str(checkpoint))
    tokenizer.model_max_length = model.config.max_position_embeddings
    with atomic_path(out) as partial:
        model.save_pretrained(partial)
        write_both_rope_layouts(partial / "config.json", model.config)
        tokenizer.save_pretrained(partial)
        (partial / "README.md").write_text(model_card(source, checkpoint, out.name, model.config), encoding="utf-8")
        return parity(model, partial, tokenizer)


def own_tokenizer(source: Checkpoint) -> str | None:
    """The tokenizer that a run of this project trained with."""
    return source.facts["config"]["model"]["tokenizer_name"] if source.facts else None


def architecture(source: Checkpoint, config: Path | None, tokenizer: PreTrainedTokenizerFast) -> ModernBertConfig:
    """The model's config: from a YAML if given, else as the checkpoint states it."""
    if config:
        values = OmegaConf.select(read_yaml(config), "model.model_config")
        if values is None:
            raise UserError(f"--config: '{config}' has no model.model_config; give the YAML of the training run")
        return flex_config(OmegaConf.to_container(values), tokenizer)
    stored = stored_config(source, tokenizer)
    if stored is None:
        raise UserError(
            "the checkpoint does not say its architecture; give the YAML it was trained with: --config FILE"
        )
    return stored


def write_both_rope_layouts(path: Path, config: ModernBertConfig) -> None:
    """Adds what transformers 5 reads to what 4.x reads, so that both rotate every layer alike."""
    content = json.loads(path.read_text(encoding="utf-8"))
    kinds = [
        ("full_attention" if kind.window == WHOLE_DOCUMENT else "sliding_attention", kind)
        for kind in layer_kinds(config)
    ]
    content["layer_types"] = [name for name, _ in kinds]
    content["rope_parameters"] = {
        name: {"rope_type": "default", "rope_theta": theta}
        for name, theta in (
            ("full_attention", config.global_rope_theta),
            ("sliding_attention", config.local_rope_theta),
        )
    }
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


@torch.inference_mode()
def parity(model: ModernBertForMaskedLM, folder: Path, tokenizer: PreTrainedTokenizerFast) -> float:
    """Compares the checkpoint's weights, packed, with the folder as transformers loads it, padded. Raises RunFailed."""
    generator = torch.Generator().manual_seed(0)
    lengths = [min(length, model.config.max_position_embeddings) for length in PROBE_LENGTHS]
    documents = [torch.randint(len(tokenizer), (length,), generator=generator) for length in lengths]
    bounds = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    packed = model.decoder(model.head(encode(model.model, torch.cat(documents), bounds, max(lengths), "banded_sdpa")))
    loaded = AutoModelForMaskedLM.from_pretrained(folder, attn_implementation="sdpa", torch_dtype=torch.float32).eval()
    reread = AutoTokenizer.from_pretrained(folder)
    if reread.get_vocab() != tokenizer.get_vocab():
        raise RunFailed(f"the tokenizer read back from '{folder}' has another vocabulary; nothing was kept")
    padded = torch.nn.utils.rnn.pad_sequence(documents, batch_first=True, padding_value=tokenizer.pad_token_id)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(one) for one in documents], batch_first=True)
    logits = loaded(input_ids=padded, attention_mask=mask).logits[mask.bool()]
    difference = float((logits - packed).abs().max() / packed.abs().max())
    if not difference <= TOLERATED:
        raise RunFailed(f"the exported model's logits differ by {difference:.1e} of the largest one; nothing was kept")
    return difference


def model_card(source: Checkpoint, checkpoint: Path, name: str, config: ModernBertConfig) -> str:
    """README.md of the folder: what the model is, how it was trained, on how much data."""
    parameters = sum(tensor.numel() for key, tensor in source.weights.items() if key != "decoder.weight")
    header = {"library_name": "transformers", "pipeline_tag": "fill-mask", "tags": ["modernbert"]}
    lines = [
        "---", yaml.safe_dump(header).strip(), "---", "", f"# {name}", "",
        f"A ModernBERT masked language model of {parameters:,} parameters and {config.max_position_embeddings:,} "
        f"positions, exported from the Composer checkpoint `{checkpoint.name}`.", "",
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
