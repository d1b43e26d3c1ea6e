"""Loading a tokenizer the way tasks use it (fast, leading space added) or as it stands, and its length limit."""

from pathlib import Path
from typing import Any

from tokenizers import Regex, normalizers
from transformers import AutoTokenizer, PretrainedConfig, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from bioclinical.errors import UserError, first_line
from bioclinical.runtime.quiet import only_errors_from_transformers
from bioclinical.text.lengths import chosen_length, context_limit, stated_length


def load_tokenizer(
    name: str | Path, revision: str | None = None, trust_remote_code: bool = False
) -> PreTrainedTokenizerFast:
    """The fast tokenizer of a hub id or folder, with `add_prefix_space=True` in force.

    Byte-level tokenizers otherwise read the first word of a text, and every word given on its own, as a
    continuation. Raises UserError where there is no such tokenizer, no fast one, or the setting has no effect.
    """
    tokenizer = open_tokenizer(name, revision=revision, trust_remote_code=trust_remote_code, use_fast=True)
    if not tokenizer.is_fast:
        raise UserError(
            f"'{name}' has only a slow (pure Python) tokenizer, which keeps no word boundaries; "
            "use a model that ships tokenizer.json"
        )
    add_prefix_space(tokenizer, name)
    return tokenizer


def load_plain_tokenizer(name: str | Path, **options: Any) -> PreTrainedTokenizerBase:
    """What AutoTokenizer makes of a hub id or folder. Raises UserError where there is no tokenizer."""
    try:
        return AutoTokenizer.from_pretrained(name, **options)
    except Exception as error:  # the hub client, sentencepiece and tokenizers each raise classes of their own
        raise UserError(
            f"no tokenizer could be loaded from '{name}' ({first_line(error)}); give a hub id or a folder that holds "
            "tokenizer.json and tokenizer_config.json"
        ) from error


def open_tokenizer(name: str | Path, **options: Any) -> PreTrainedTokenizerFast:
    """The tokenizer, with `add_prefix_space=True` where its class takes it."""
    try:
        with only_errors_from_transformers():
            return load_plain_tokenizer(name, add_prefix_space=True, **options)
    except UserError:  # T5 and Llama would convert a slow tokenizer for it; their first pieces have the blank anyway
        return load_plain_tokenizer(name, **options)


def add_prefix_space(tokenizer: PreTrainedTokenizerFast, name: str | Path) -> None:
    """Makes a byte-level tokenizer read a text as if a blank stood before it, and verifies the effect.

    transformers applies the keyword only where the byte-level step stands alone. Behind other steps (Llama-3 style) it
    would add a blank to every piece, so there the text itself gets the blank.
    """
    backend = tokenizer.backend_tokenizer
    if backend.pre_tokenizer is None or "ByteLevel" not in str(backend.pre_tokenizer):
        return
    probe = "patient, 12-3."
    expected = tokenizer.encode(" " + probe, add_special_tokens=False)
    if tokenizer.encode(probe, add_special_tokens=False) != expected:
        # A blank in front, taken away again from a text that begins with one.
        blank_before = [normalizers.Prepend(" "), normalizers.Replace(Regex(r"\A (?=\s)"), "")]
        steps = [backend.normalizer, *blank_before] if backend.normalizer else blank_before
        backend.normalizer = normalizers.Sequence(steps)
    if tokenizer.encode(probe, add_special_tokens=False) != expected:
        raise UserError(f"the tokenizer of '{name}' ignores add_prefix_space=True; its tokenizer.json must allow it")


def require_padding(tokenizer: PreTrainedTokenizerFast, name: str | Path) -> None:
    """Makes a tokenizer pad on the right; a causal model's without a padding token with its end-of-text token, which is
    said.

    Nothing is added to the vocabulary; padding is masked and, for a classifier, the last token before it is read.
    Raises UserError where there is no such token either.
    """
    tokenizer.padding_side = "right"  # GPT-2 counts positions from a row's first column; who writes turns rows around
    if tokenizer.pad_token is not None:
        return
    if tokenizer.eos_token is None:
        raise UserError(f"the tokenizer of '{name}' has no padding token and no end-of-text token to pad batches with")
    tokenizer.pad_token = tokenizer.eos_token
    print(f"padding: {tokenizer.eos_token}, the end of a text; '{name}' has no token for it, and none is added")


def choose_max_length(
    requested: int | None, tokenizer: PreTrainedTokenizerFast, config: PretrainedConfig
) -> tuple[int, str]:
    """The maximum length in tokens and its reason. Raises UserError where the model has fewer positions."""
    limit, stated = context_limit(config), stated_length(tokenizer.model_max_length)
    length, reason = chosen_length(requested, stated, limit)
    smallest = tokenizer.num_special_tokens_to_add() + 1
    if length < smallest or (limit and length > limit):
        allowed = f"{smallest} to {limit}" if limit else f"{smallest} or more"
        raise UserError(f"--max_length {length} does not fit this model; allowed: {allowed}")
    return length, reason
