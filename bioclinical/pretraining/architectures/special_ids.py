"""A tokenizer's special tokens and size, as Hugging Face's configs name them."""

from transformers import PretrainedConfig, PreTrainedTokenizerFast

from bioclinical.errors import UserError

SPECIAL_IDS = {
    "pad_token_id": "pad_token_id",
    "cls_token_id": "cls_token_id",
    "sep_token_id": "sep_token_id",
    "bos_token_id": "cls_token_id",
    "eos_token_id": "sep_token_id",
}


def special_ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int | None]:
    return {name: getattr(tokenizer, source) for name, source in SPECIAL_IDS.items()}


def expect_room(vocabulary: int, written: int, tokenizer: PreTrainedTokenizerFast) -> None:
    """Raises UserError where a vocabulary (`written` in the recipe) is less than the tokenizer's."""
    if len(tokenizer) > vocabulary:
        raise UserError(
            f"model.model_config.vocab_size: {written:,} is less than the {len(tokenizer):,} tokens of "
            f"'{tokenizer.name_or_path}'"
        )


def expect_own_tokenizer(config: PretrainedConfig, tokenizer: PreTrainedTokenizerFast) -> None:
    """Raises UserError where the tokenizer is not the one of a config that names its special tokens."""
    names = ("pad_token_id", "cls_token_id", "sep_token_id")
    differing = [name for name in names if getattr(config, name, None) not in (None, getattr(tokenizer, name))]
    if len(tokenizer) > config.vocab_size or differing:
        why = f"{', '.join(differing)} differ" if differing else f"it has {len(tokenizer):,} tokens"
        raise UserError(
            f"'{tokenizer.name_or_path}' is not the tokenizer of this model of {config.vocab_size:,} tokens ({why})"
        )
