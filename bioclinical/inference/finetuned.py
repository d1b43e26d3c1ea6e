"""The weights of a saved model: its own, or those of an adapter's base with the adapter merged into them."""

from pathlib import Path

from transformers import PretrainedConfig, PreTrainedModel

from bioclinical.encoders.adapters import load_adapter
from bioclinical.encoders.loading import load_model, load_with_attention
from bioclinical.encoders.source import Source, load_config, model_identity
from bioclinical.errors import UserError
from bioclinical.finetuning.saved_model import TrainedFacts
from bioclinical.runtime.choice import Choice


def load_finetuned(
    source: Source, config: PretrainedConfig, head: str, device: str, moved_base: str | None
) -> tuple[PreTrainedModel, Choice]:
    """The model and its attention. moved_base: where the base of an adapter is, if not where it was in training.

    Raises UserError where the base is another one than the adapter was trained on.
    """
    how, base = (config, head, "auto", device, "fp32"), TrainedFacts.of(config, source.name).base
    if base is None:
        if moved_base:
            raise UserError(f"--base: '{source.name}' is a whole model, which needs no other one")
        return load_model(source, *how)
    named = Source(moved_base or base.get("name", ""), None if moved_base else base.get("revision"))
    if model_identity(named, load_config(named)) != base.get("sha256"):
        raise UserError(
            f"the adapter in '{source.name}' was trained on another model than '{named.name}' (their hashes differ); "
            "name the right one with --base"
        )
    model, _, attention = load_with_attention(named, *how)
    load_adapter(model, Path(source.name))
    return model, attention
