"""A fine-tuned model on raw text: labels with probabilities, or entities with character offsets.

python -m bioclinical.predict --model DIR --input notes.csv --output predictions.jsonl [--redact redacted.jsonl]
"""

import argparse
import inspect
import json
import os
import re
from pathlib import Path
from typing import Any

import torch
from seqeval.metrics.sequence_labeling import get_entities
from tqdm import tqdm
from transformers import (
    DataCollatorWithPadding,
    PretrainedConfig,
)

from bioclinical.encoders.loading import load_model
from bioclinical.encoders.source import Source, load_config, model_identity
from bioclinical.errors import RunFailed, UserError, run_cli
from bioclinical.files import make_folder, read_utf8, sha256_of_file, sha256_of_json, write_text
from bioclinical.runtime import machine
from bioclinical.text.tables import Format, TextReader
from bioclinical.text.tokenization import choose_max_length, load_tokenizer
from bioclinical.text.windows import model_inputs, windows_of
from bioclinical.text.words import WORD_AND_PUNCTUATION_TOKENS, token_offsets

DOCUMENTS_PER_CHUNK = 64
Document = tuple[str, str]  # id, text


def main() -> None:
    args = parse_args()
    source, output = Source(args.model), Path(args.output)
    if args.batch_size < 1:
        raise UserError(f"--batch_size {args.batch_size}: at least 1")
    config = load_config(source)
    predictor = Predictor(source, config, args.batch_size)
    if args.redact and not predictor.is_token_model:
        raise UserError(f"--redact needs a model that finds entities; '{args.model}' gives labels to whole texts")
    for path in filter(None, (output, args.redact and Path(args.redact))):
        if path.exists() and not args.overwrite:
            raise UserError(f"'{path}' exists; choose another name or add --overwrite")
    format = Format(args.text_column, args.id_column, args.encoding, args.on_bad_rows)
    documents = read_documents(Path(args.input), format)
    work = sha256_of_json([model_identity(source, config), sha256_of_file(Path(args.input)), vars(format)])
    make_folder(output.parent)
    partial = output.with_name(f".{output.name}.{work[:8]}.partial")  # other work never continues this one
    predictions = continue_predictions(partial, predictor, documents)
    os.replace(partial, output)
    if args.redact:
        texts = [redacted(text, p["entities"]) for (_, text), p in zip(documents, predictions)]
        lines = (json.dumps({"id": i, "text": t}, ensure_ascii=False) + "\n" for (i, _), t in zip(documents, texts))
        write_text(Path(args.redact), texts[0] if args.input.endswith(".txt") else "".join(lines))
    empty = sum(not text.strip() for _, text in documents)
    print(f"{len(documents):,} documents" + (f", {empty} of them empty" if empty else "") + f": {output}")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Predictions of a model saved by main.py --save_model on raw text.")
    parser.add_argument("--model", required=True, help="the saved model's folder")
    parser.add_argument("--input", required=True, help=".csv, .tsv, .jsonl (a text a row; also .gz), .txt (one text)")
    parser.add_argument("--output", required=True, help="JSON lines: ids and predictions, no text")
    parser.add_argument("--text_column", default="text", help="column or key of the texts (default: text)")
    parser.add_argument("--id_column", help="column or key of the ids (default: the rows' numbers from 1)")
    parser.add_argument(
        "--on_bad_rows", choices=("error", "skip"), default="error", help="damaged rows (default: error)"
    )
    parser.add_argument("--encoding", default="utf-8", help="of a table (default: utf-8)")
    parser.add_argument("--redact", metavar="FILE", help="write the texts, each entity replaced by its [type]")
    parser.add_argument("--batch_size", type=int, default=16, help="windows a batch (default: 16)")
    parser.add_argument("--overwrite", action="store_true", help="replace existing output files")
    return parser.parse_args()


def read_documents(path: Path, format: Format) -> list[Document]:
    """(id, text) of every row, the text exactly as it stands; rows without text count as empty documents.

    Damaged rows raise UserError or, with on_bad_rows "skip", are left out and counted; row numbers count them.
    """
    if path.suffix == ".txt" and path.is_file():
        return [(path.stem, read_utf8(path, newline=""))]
    reader = TextReader(path, format)
    documents = [
        (str(row.number + 1) if row.key is None else row.key, row.text) for row in reader.texts(keep_empty=True)
    ]
    if reader.skipped:
        print(f"{reader.skipped.total():,} damaged rows left out")
    return documents


def continue_predictions(partial: Path, predictor: "Predictor", documents: list[Document]) -> list[dict[str, Any]]:
    """All predictions, written a chunk at a time; those that an interrupted run left complete are kept."""
    lines = read_utf8(partial).split("\n")[:-1] if partial.exists() else []  # what follows the last newline is torn
    done = [json.loads(line) for line in lines]
    write_text(partial, "".join(line + "\n" for line in lines))
    if done:
        print(f"continuing after {len(done):,} documents")
    bar = tqdm(total=sum(len(text) for _, text in documents[len(done) :]), unit="char", unit_scale=True, mininterval=1)
    with bar, open(partial, "a", encoding="utf-8") as file:
        for start in range(len(done), len(documents), DOCUMENTS_PER_CHUNK):
            chunk = predictor.predict(documents[start : start + DOCUMENTS_PER_CHUNK], bar)
            file.write("".join(json.dumps(prediction, ensure_ascii=False) + "\n" for prediction in chunk))
            file.flush()
            done += chunk
    return done


class Predictor:
    """A saved model with what training knew: label names, how text was cut into words, the context's length."""

    def __init__(self, source: Source, config: PretrainedConfig, batch_size: int) -> None:
        kind = (config.architectures or [""])[0]
        self.is_token_model = kind.endswith("ForTokenClassification")
        self.labels = [config.id2label[i] for i in range(len(config.id2label))]
        if not kind.endswith(("ForTokenClassification", "ForSequenceClassification")):
            raise UserError(
                f"'{source.name}' is no fine-tuned model ({kind or 'no architecture'}): main.py --save_model"
            )
        if any(re.fullmatch(r"LABEL_\d+", label) for label in self.labels):
            raise UserError(
                f"'{source.name}' has no label names (only {self.labels[0]}, ...): add id2label to its config"
            )
        trained = getattr(config, "bioclinical", None) or {}
        self.pattern = trained.get("token_pattern") or WORD_AND_PUNCTUATION_TOKENS
        self.is_multi_label = config.problem_type == "multi_label_classification"
        self.tokenizer = load_tokenizer(source.name)
        self.max_length = choose_max_length(trained.get("max_length"), self.tokenizer, config)[0]
        self.device, self.batch_size = machine.choose_device().value, batch_size
        auto_class = "AutoModelForTokenClassification" if self.is_token_model else "AutoModelForSequenceClassification"
        model, attention = load_model(source, config, auto_class, "auto", self.device, "fp32")
        self.model = model.to(self.device).eval()
        print(f"{source.name}: {trained.get('dataset', 'unknown task')}, protocol {trained.get('protocol', 'unknown')}")
        print(f"device: {self.device}, attention: {attention}, windows of {self.max_length} tokens")

    @torch.inference_mode()
    def predict(self, documents: list[Document], bar: tqdm) -> list[dict[str, Any]]:
        """One prediction a document. Longer than the context: a word's tag comes from the window where it has most
        context, a text's label from the mean of its windows' logits."""
        offsets = [token_offsets(text, self.pattern) if self.is_token_model else [] for _, text in documents]
        windows = []
        for i, (_, text) in enumerate(documents):
            cut = [text[start:end] for start, end in offsets[i]] if self.is_token_model else text
            windows += (
                [(i, window) for window in windows_of(self.tokenizer, cut, self.max_length)] if text.strip() else []
            )
        windows.sort(key=lambda pair: -len(pair[1].input_ids))
        found: list[list[Any]] = [[] for _ in documents]
        accepted, pad = inspect.signature(type(self.model).forward).parameters, DataCollatorWithPadding(self.tokenizer)
        for start in range(0, len(windows), self.batch_size):
            batch = windows[start : start + self.batch_size]
            inputs = pad([model_inputs(window, accepted) for _, window in batch]).to(self.device)
            for (i, window), logits in zip(batch, self.model(**inputs).logits.float().cpu()):
                logits = logits[window.places] if self.is_token_model else logits
                if not torch.isfinite(logits).all():
                    raise RunFailed(f"the model gives non-finite logits for document {documents[i][0]}")
                best = [values.tolist() for values in logits.softmax(-1).max(-1)] if self.is_token_model else []
                found[i] += zip(window.words, *best) if self.is_token_model else [logits]
            bar.update(sum(len(text) for _, text in documents) * len(batch) / len(windows))
        form = self.entities if self.is_token_model else self.label
        return [{"id": d[0]} | form(o, f) for d, o, f in zip(documents, offsets, found)]

    def entities(self, offsets: list[tuple[int, int]], found: list[Any]) -> dict[str, Any]:
        """Entities with [start, end) in the text and the mean probability of their words' tags."""
        tags, probabilities = ["O"] * len(offsets), [0.0] * len(offsets)
        for word, probability, tag in found:
            tags[word], probabilities[word] = self.labels[tag], probability
        return {
            "entities": [
                {
                    "start": offsets[first][0],
                    "end": offsets[last][1],
                    "type": kind,
                    "probability": round(sum(probabilities[first : last + 1]) / (last + 1 - first), 4),
                }
                for kind, first, last in get_entities(tags)
            ]
        }

    def label(self, offsets: list[tuple[int, int]], found: list[Any]) -> dict[str, Any]:
        """The label (or labels) with every label's probability; null for an empty text."""
        if not found:
            return {"labels" if self.is_multi_label else "label": None, "probabilities": None}
        logits = torch.stack(found).mean(0)
        values = (logits.sigmoid() if self.is_multi_label else logits.softmax(-1)).tolist()
        probabilities = {label: round(p, 6) for label, p in zip(self.labels, values)}
        if self.is_multi_label:
            return {"labels": [label for label, z in zip(self.labels, logits) if z > 0], "probabilities": probabilities}
        return {"label": self.labels[int(logits.argmax())], "probabilities": probabilities}


def redacted(text: str, entities: list[dict[str, Any]]) -> str:
    """The text with each entity replaced by its type in brackets."""
    ends = [0, *(entity["end"] for entity in entities)]
    between = [text[end : entity["start"]] + f"[{entity['type']}]" for end, entity in zip(ends, entities)]
    return "".join(between) + text[ends[-1] :]


if __name__ == "__main__":
    run_cli(main)
