"""Loading a tokenizer the one way this project uses it (fast, leading space added), and its length limit."""

import json
import textwrap
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PretrainedConfig, PreTrainedTokenizerFast

from bioclinical.errors import UserError

# Published rule: a stated limit of this size or more is a placeholder for "none stated".
UNSTATED_LENGTH = 10_000
LENGTH_IF_UNSTATED = 512
# These families number their positions from padding_idx + 1, so that many position embeddings are never used.
OFFSET_POSITION_FAMILIES = ("roberta", "xlm-roberta", "camembert", "longformer")


def load_tokenizer(
    name: str | Path, revision: str | None = None, trust_remote_code: bool = False
) -> PreTrainedTokenizerFast:
    """The fast tokenizer of a hub id or folder, with `add_prefix_space=True` in force.

    Byte-level tokenizers otherwise read the first word of a text, and every word given on its own, as a
    continuation. Raises UserError where there is no such tokenizer, no fast one, or the setting has no effect.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            name, revision=revision, trust_remote_code=trust_remote_code, add_prefix_space=True, use_fast=True
        )
    except Exception as error:  # the hub client, sentencepiece and tokenizers each raise classes of their own
        raise UserError(
            f"no tokenizer could be loaded from '{name}' ({first_line(error)}); give a hub id or a folder that holds "
            "tokenizer.json and tokenizer_config.json"
        ) from error
    if not tokenizer.is_fast:
        raise UserError(
            f"'{name}' has only a slow (pure Python) tokenizer, which keeps no word boundaries; "
            "use a model that ships tokenizer.json"
        )
    add_prefix_space(tokenizer, name)
    return tokenizer


def add_prefix_space(tokenizer: PreTrainedTokenizerFast, name: str | Path) -> None:
    """Makes every byte-level step add the leading space, and verifies the effect on a word.

    transformers applies the keyword only where the byte-level step is not nested in a sequence of steps.
    """
    backend = tokenizer.backend_tokenizer
    if backend.pre_tokenizer is None:
        return
    steps = json.loads(backend.pre_tokenizer.__getstate__())
    byte_level = [step for step in nested_steps(steps) if step.get("type") == "ByteLevel"]
    if not byte_level:
        return
    if not any(step["add_prefix_space"] for step in byte_level):
        # Only the first step sees the text as it was given; the later ones see its pieces.
        byte_level[0]["add_prefix_space"] = True
        pre_tokenizer = backend.pre_tokenizer
        pre_tokenizer.__setstate__(json.dumps(steps).encode("utf-8"))
        backend.pre_tokenizer = pre_tokenizer
    if tokenizer.encode("patient", add_special_tokens=False) != tokenizer.encode(" patient", add_special_tokens=False):
        raise UserError(f"the tokenizer of '{name}' ignores add_prefix_space=True; its tokenizer.json must allow it")


def nested_steps(step: dict[str, Any]) -> list[dict[str, Any]]:
    """A pre-tokenizer's steps, those inside sequences included."""
    steps = [step]
    for inner in step.get("pretokenizers", []):
        steps += nested_steps(inner)
    return steps


def tokenizer_length(tokenizer: PreTrainedTokenizerFast) -> int:
    """Published rule for the maximum length in tokens: what the tokenizer states, or 512 if it states none."""
    stated = tokenizer.model_max_length
    return stated if stated < UNSTATED_LENGTH else LENGTH_IF_UNSTATED


def context_limit(config: PretrainedConfig) -> int | None:
    """How many tokens, special ones included, the model's positions allow; None if they are relative."""
    if not getattr(config, "position_biased_input", True):
        return None
    positions = getattr(config, "max_position_embeddings", None)
    if positions and config.model_type in OFFSET_POSITION_FAMILIES:
        return positions - config.pad_token_id - 1
    return positions


def choose_max_length(
    requested: int | None, tokenizer: PreTrainedTokenizerFast, config: PretrainedConfig
) -> tuple[int, str]:
    """The maximum length in tokens and its reason. Raises UserError where the model has fewer positions."""
    limit = context_limit(config)
    if requested is None:
        length, reason = tokenizer_length(tokenizer), "published rule: the tokenizer's limit, or 512 if unstated"
        if limit and limit < length:
            return limit, f"the model has {limit} positions, fewer than its tokenizer states ({length})"
        return length, reason
    smallest = tokenizer.num_special_tokens_to_add() + 1
    if requested < smallest or (limit and requested > limit):
        allowed = f"{smallest} to {limit}" if limit else f"{smallest} or more"
        raise UserError(f"--max_length {requested} does not fit this model; allowed: {allowed}")
    return requested, "asked for"


def first_line(error: BaseException, longest: int = 200) -> str:
    """The first line of an error's message, shortened, for one-sentence reports."""
    text = str(error).strip()
    return (
        textwrap.shorten(text.splitlines()[0].rstrip(". "), longest, placeholder=" ...")
        if text
        else type(error).__name__
    )
