"""A causal model that says how likely texts are: its files first, its weights when they are needed."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from bioclinical.encoders.language_models import CAUSAL, require_causal
from bioclinical.encoders.loading import load_model
from bioclinical.encoders.source import Source, load_config, model_identity
from bioclinical.errors import UserError
from bioclinical.inference.likelihood import Request, log_likelihoods
from bioclinical.runtime import machine
from bioclinical.runtime.choice import Choice
from bioclinical.text.tokenization import choose_max_length, load_plain_tokenizer


class LanguageModel:
    """choices: device, dtype, the context in tokens and, once loaded, the attention, each with its reason."""

    def __init__(self, source: Source, max_length: int | None, precision: str, why: str) -> None:
        """why: what needs a causal model. Raises UserError where the source is none, or has not that many positions."""
        machine.use_one_gpu()
        self.source, self.precision = source, precision
        self.config, self.tokenizer = load_config(source), load_plain_tokenizer(source.name, **source.options)
        require_causal(self.config, source.name, why)
        self.max_length, reason = choose_max_length(max_length, self.tokenizer, self.config)
        device = machine.choose_device()
        self.choices: dict[str, Choice] = {
            "device": device,
            "dtype": machine.choose_precision(precision, device.value),
            "max_length": Choice(str(self.max_length), reason),
        }
        self.identity = model_identity(source, self.config)
        self.model: PreTrainedModel | None = None

    @property
    def device(self) -> str:
        return self.choices["device"].value

    def load(self, attn: str) -> None:
        """The weights. Raises UserError where they do not fit, or the attention cannot run."""
        model, self.choices["attention"] = load_model(
            self.source, self.config, CAUSAL, attn, self.device, self.precision
        )
        self.model = model.to(self.device).eval()

    def start_token(self) -> int:
        """What stands before a text. Raises UserError where the tokenizer has no such token."""
        ids = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id)
        found = next((i for i in ids if i is not None), None)
        if found is None:
            raise UserError(f"the tokenizer of '{self.source.name}' has no token that begins or ends a text")
        return found

    def log_likelihoods(
        self, requests: Sequence[Request], batch_size: int, on_progress: Callable[[int], Any]
    ) -> list[float]:
        """The natural log-likelihood of each request's wanted tokens, in the precision asked for."""
        is_half = self.precision == "bf16"
        with torch.autocast(self.device, dtype=torch.bfloat16) if is_half else contextlib.nullcontext():
            return log_likelihoods(self.model, requests, self.max_length, batch_size, on_progress)
