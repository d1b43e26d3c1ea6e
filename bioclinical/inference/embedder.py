"""An encoder that turns raw texts into vectors, whatever their length."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from transformers import DataCollatorWithPadding

from bioclinical.encoders.loading import load_encoder
from bioclinical.encoders.pooling import POOLINGS
from bioclinical.encoders.sentence_format import SentenceFormat
from bioclinical.encoders.source import Source, load_config, model_identity
from bioclinical.errors import RunFailed, UserError
from bioclinical.inference.documents import Document
from bioclinical.problems.encoding import EXAMPLE_INDEX, Coder, EncodedSplit, arguments_of, token_ids
from bioclinical.runtime import machine
from bioclinical.text.tokenization import choose_max_length, load_plain_tokenizer, require_padding
from bioclinical.text.windows import owners, special_frame, window_starts

WINDOWS_PER_CONTEXT = 2  # windows start half a context apart: an inner token has at least a quarter on either side


class Embedder:
    """An encoder on the device that is there; what a sentence-transformers folder asks for holds unless overruled."""

    def __init__(
        self,
        source: Source,
        batch_size: int,
        pooling: str | None = None,
        normalize: bool = False,
        max_length: int | None = None,
        precision: str = "fp32",
    ) -> None:
        """Raises UserError where there is no such encoder, or its folder asks for steps that are not computed here."""
        config, stated = load_config(source), SentenceFormat.of(source.name)
        self.identity = model_identity(source, config)
        self.pooling = pooling or stated.pooling or "mean"
        if self.pooling not in POOLINGS:
            raise UserError(f"'{source.name}' asks for a pooling '{self.pooling}'; use --pooling {', '.join(POOLINGS)}")
        self.normalize = normalize or stated.normalize
        tokenizer = load_plain_tokenizer(source.name, **source.options)
        require_padding(tokenizer, source.name)
        tokenizer.padding_side = "right"  # absolute positions then do not depend on the batch
        limit, _ = choose_max_length(max_length or stated.max_length, tokenizer, config)
        self.device, self.batch_size = machine.choose_device().value, batch_size
        self.precision = machine.choose_precision(precision, self.device).value
        model, attention = load_encoder(source, config, "auto", self.device, self.precision)
        self.model = model.to(self.device).eval()
        self.dimensions = config.hidden_size
        self.coder = Coder(tokenizer, limit, arguments_of(self.model))
        self.collate = DataCollatorWithPadding(tokenizer)
        self.frame = special_frame(tokenizer)
        print(f"device: {self.device}, attention: {attention}, precision: {self.precision}")
        print(f"vectors: {self.pooling} over tokens, texts over {limit} in windows{', length 1' * self.normalize}")

    @torch.inference_mode()
    def vectors(
        self, documents: Sequence[Document], on_progress: Callable[[int], Any] = lambda done: None
    ) -> np.ndarray:
        """(documents, dimensions) float32; a text of blanks is a row of NaN.

        on_progress: told the characters done. Raises RunFailed for a vector that is not finite.
        """
        split, outputs = self.encode(documents), []
        rows, characters = split.longest_first(), sum(len(document.text) for document in documents)
        counts = [split.notes[k] for k in split.order()]
        for start in range(0, len(rows), self.batch_size):
            part = slice(start, start + self.batch_size)
            outputs += self.pooled(rows[part], counts[part])
            on_progress(characters * len(rows[part]) // len(rows))
        vectors = np.full((len(documents), self.dimensions), np.nan, dtype=np.float32)
        for i, windows in enumerate(split.by_example(split.by_row(outputs))):
            if windows:
                tokens = [sum(counts) for counts, _ in windows]
                vectors[i] = POOLINGS[self.pooling].of_windows(np.stack([row for _, row in windows]), tokens)
                if not np.isfinite(vectors[i]).all():
                    raise RunFailed(f"the encoder gives non-finite values for document {documents[i].id}")
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True) if self.normalize else vectors

    def encode(self, documents: Sequence[Document]) -> EncodedSplit:
        """Rows of the model; the note of a row says for each of its tokens whether it counts there."""
        split = EncodedSplit([{"id": document.id} for document in documents], [], [], cut=[])
        filled = [i for i, document in enumerate(documents) if not document.is_empty]
        if not filled:
            return split
        encoded = self.coder.tokenizer([documents[i].text for i in filled], verbose=False)
        for k, i in enumerate(filled):
            whole = self.coder.inputs(encoded, k)
            is_short = len(token_ids(whole)) <= self.coder.max_length
            rows = [(whole, [True] * len(token_ids(whole)))] if is_short else self.windows(token_ids(whole))
            for row, counts in rows:
                split.features.append(row | {EXAMPLE_INDEX: i})
                split.notes.append(counts)
        return split

    def windows(self, ids: list[int]) -> list[tuple[dict[str, Any], list[bool]]]:
        """The windows of a long text; each token counts in the one where it has most context, the special tokens that
        frame the text in the first and the last one."""
        before, after = self.frame
        content = ids[len(before) : len(ids) - len(after)]
        size = self.coder.max_length - len(before) - len(after)
        starts = window_starts(len(content), size, WINDOWS_PER_CONTEXT)
        owner, rows = owners(len(content), starts, size), []
        for k, start in enumerate(starts):
            own = (owner[start : start + size] == k).tolist()
            counts = [k == 0] * len(before) + own + [k == len(starts) - 1] * len(after)
            rows.append((self.coder.inputs_of(before + content[start : start + size] + after), counts))
        return rows

    def pooled(self, rows: list[dict[str, Any]], counts: list[list[bool]]) -> list[np.ndarray]:
        """The vector of each row of a batch, float32."""
        inputs = self.collate([{k: v for k, v in row.items() if k != EXAMPLE_INDEX} for row in rows]).to(self.device)
        columns = inputs["input_ids"].shape[1]
        counted = torch.tensor([row + [False] * (columns - len(row)) for row in counts], device=self.device)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16"):
            hidden = self.model(**inputs).last_hidden_state
        return list(POOLINGS[self.pooling].of_rows(hidden.float(), counted).cpu().numpy())
