"""Loading an encoder with a head and an attention, checked: weights that fit, and what starts at random."""

from pathlib import Path

import transformers
from transformers import PretrainedConfig, PreTrainedModel

from bioclinical.encoders.attention_choice import choose_attention
from bioclinical.encoders.source import Source
from bioclinical.errors import UserError, first_line
from bioclinical.modeling import use_packed_forward
from bioclinical.runtime.choice import Choice
from bioclinical.runtime.quiet import only_errors_from_transformers

WEIGHT_FILES = ("*.safetensors", "*.bin")


def load_model(
    source: Source, config: PretrainedConfig, auto_class_name: str, attn: str, device: str, precision: str
) -> tuple[PreTrainedModel, Choice]:
    """The model that the config describes, with the head of an Auto class of transformers, and the attention it uses.

    Raises UserError where the architecture has no such head or the weights do not fit.
    """
    model, missing, attention = load_with_attention(source, config, auto_class_name, attn, device, precision)
    report_new_weights(model, missing, source.name)
    return model, attention


def load_encoder(
    source: Source, config: PretrainedConfig, attn: str, device: str, precision: str
) -> tuple[PreTrainedModel, Choice]:
    """The encoder alone, as AutoModel builds it, and the attention it uses.

    A pooler that the weights lack starts at random and is never used. Raises UserError where others are missing.
    """
    model, missing, attention = load_with_attention(source, config, "AutoModel", attn, device, precision)
    needed = [key for key in missing if "pooler" not in key]
    if needed:
        raise UserError(
            f"'{source.name}' lacks {len(needed)} of the encoder's weights ({', '.join(needed[:3])}, ...); is it a "
            "complete checkpoint of this architecture?"
        )
    return model, attention


def load_with_attention(
    source: Source, config: PretrainedConfig, auto_class_name: str, attn: str, device: str, precision: str
) -> tuple[PreTrainedModel, list[str], Choice]:
    """The model, the names of the tensors that its weights lack, and the attention it uses."""
    auto_class = getattr(transformers, auto_class_name)
    attention = choose_attention(attn, model_class(auto_class, config, source), config, device, precision)
    implementation, _, packed_backend = attention.value.partition(":")
    model, missing = load_weights(source, config, auto_class, "sdpa" if packed_backend else implementation)
    if packed_backend:
        use_packed_forward(model, packed_backend)
    return model, missing, attention


def load_weights(
    source: Source, config: PretrainedConfig, auto_class: type, implementation: str, dtype: str = "float32"
) -> tuple[PreTrainedModel, list[str]]:
    """The model with the weights of the source, and the names of the tensors that it lacks.

    implementation: of transformers' attention.  dtype: a name of torch's.  Raises UserError for damaged weights.
    """
    if hasattr(config, "reference_compile"):
        config.reference_compile = False  # batches change shape at every step; compiling would never pay
    try:
        with only_errors_from_transformers():  # report_new_weights replaces its warning about new heads
            model, report = auto_class.from_pretrained(
                source.name,
                config=config,
                attn_implementation=implementation,
                torch_dtype=dtype,
                output_loading_info=True,
                **source.options,
            )
    except Exception as error:  # a damaged file raises classes of torch, safetensors or zipfile
        raise UserError(f"the weights of '{source.name}' cannot be loaded ({first_line(error)})") from error
    return model, sorted(report["missing_keys"])


def has_weights(source: Source) -> bool:
    """False for a folder with a config and no weights; what a hub id holds is not asked."""
    folder = Path(source.name)
    return not folder.is_dir() or any(path for pattern in WEIGHT_FILES for path in folder.glob(pattern))


def model_class(auto_class: type, config: PretrainedConfig, source: Source) -> type:
    """The concrete class that the Auto class will build; raises UserError where there is none."""
    mapping = auto_class._model_mapping
    if type(config) in mapping:
        return mapping[type(config)]
    if source.trust_remote_code and getattr(config, "auto_map", None):
        return PreTrainedModel  # the repository's own code decides what it supports
    head = auto_class.__name__.removeprefix("AutoModel")
    raise UserError(f"'{source.name}' is of type '{config.model_type}', which has no {head} head in transformers")


def report_new_weights(model: PreTrainedModel, missing: list[str], name: str) -> None:
    """Prints which tensors start at random, or that none does; raises UserError where the encoder itself would."""
    if not missing:
        print(f"head: kept from '{name}', trained for the same kind of problem")
        return
    encoder = [key for key in missing if key.startswith(model.base_model_prefix + ".") and "pooler" not in key]
    total = sum(1 for _ in model.base_model.parameters())
    if len(encoder) > total // 2:
        raise UserError(
            f"'{name}' holds none of the weights that its config describes ({len(encoder)} of {total} encoder tensors "
            "are missing); is it a complete checkpoint of this architecture?"
        )
    print(
        f"new head: {len(missing)} tensors start at random ({', '.join(missing[:4])}{', ...' if missing[4:] else ''})"
    )
    if encoder:
        print(f"warning: {len(encoder)} of these belong to the encoder; '{name}' may be incomplete")
