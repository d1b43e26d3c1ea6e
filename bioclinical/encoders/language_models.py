"""Which class of transformers writes text with a model: a causal one, or an encoder-decoder."""

from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, PretrainedConfig

from bioclinical.errors import UserError

CAUSAL, SEQ2SEQ = "AutoModelForCausalLM", "AutoModelForSeq2SeqLM"


def writing_class(config: PretrainedConfig, name: str) -> str:
    """The Auto class of a model that writes. Raises UserError for an encoder.

    transformers has a causal head for many encoders (BERT, RoBERTa), which would see the words that it is to write.
    """
    if config.is_encoder_decoder:
        return SEQ2SEQ
    is_encoder = type(config) in AutoModelForMaskedLM._model_mapping and not config.is_decoder
    is_unknown = type(config) not in AutoModelForCausalLM._model_mapping and not getattr(config, "auto_map", None)
    if is_encoder or is_unknown:
        raise UserError(
            f"'{name}' is of type '{config.model_type}', which writes no text; use a causal model (GPT-2) or an "
            "encoder-decoder (T5, BART)"
        )
    return CAUSAL


def require_causal(config: PretrainedConfig, name: str, why: str) -> None:
    """Raises UserError for a model that does not read from left to right. why: what needs one."""
    if config.is_encoder_decoder or writing_class(config, name) != CAUSAL:
        raise UserError(f"'{name}' is of type '{config.model_type}'; {why} needs a causal model (GPT-2, ...)")
