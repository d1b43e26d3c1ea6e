"""How many tokens of a text a model takes: the published rule, and what limits it."""

from typing import Any

# Published rule: a stated limit of this size or more is a placeholder for "none stated".
UNSTATED_LENGTH = 10_000
LENGTH_IF_UNSTATED = 512
# These families number their positions from padding_idx + 1, so that many position embeddings are never used.
OFFSET_POSITION_FAMILIES = ("roberta", "xlm-roberta", "camembert", "longformer", "mpnet")


def stated_length(model_max_length: int) -> int:
    """Published rule for the maximum length in tokens: what the tokenizer states, or 512 if it states none."""
    return model_max_length if model_max_length < UNSTATED_LENGTH else LENGTH_IF_UNSTATED


def context_limit(config: Any) -> int | None:
    """How many tokens, special ones included, the positions of a config's model allow; None if they are relative."""
    if not getattr(config, "position_biased_input", True):
        return None
    positions = getattr(config, "max_position_embeddings", None)
    if positions and config.model_type in OFFSET_POSITION_FAMILIES:
        return positions - (1 if config.pad_token_id is None else config.pad_token_id) - 1
    return positions


def chosen_length(requested: int | None, stated: int, limit: int | None) -> tuple[int, str]:
    """The maximum length in tokens and its reason; not checked against the limit where it was asked for."""
    if requested is not None:
        return requested, "asked for"
    if limit and limit < stated:
        return limit, f"the model has {limit} positions, fewer than its tokenizer states ({stated})"
    return stated, "published rule: the tokenizer's limit, or 512 if unstated"
