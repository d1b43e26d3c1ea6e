"""Writes a fine-tuned model as ONNX, in fp32 or INT8, and holds it against the original on examples with gold."""

import contextlib
import io
import json
import logging
import shutil
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from bioclinical.encoders.loading import load_weights, only_errors_from_transformers
from bioclinical.encoders.source import Source
from bioclinical.errors import UserError
from bioclinical.files import remove
from bioclinical.inference.onnx_model import MODEL_FILE
from bioclinical.inference.predictor import Predictor, rows_of
from bioclinical.metrics.metric import scalars
from bioclinical.problems.encoding import EXAMPLE_INDEX
from bioclinical.problems.problem import scores
from bioclinical.tasks.example import Example
from bioclinical.text.tables import TableReader

# The tasks of optimum by the class that builds the head.
TASKS = {
    "AutoModelForSequenceClassification": "text-classification",
    "AutoModelForTokenClassification": "token-classification",
    "AutoModelForQuestionAnswering": "question-answering",
}
OPSET = 17

Logits = tuple[torch.Tensor, ...]  # of one row, as the model names them: logits, or those of starts and of ends


def load_reference(source: Source, batch_size: int) -> Predictor:
    """The original in torch. Raises UserError for heads that are not exported."""
    predictor = Predictor(source, batch_size)
    if predictor.problem.auto_class not in TASKS:
        allowed = ", ".join(name.removeprefix("AutoModelFor") for name in TASKS)
        raise UserError(f"'{source.name}' answers a {predictor.problem.name}, which is not exported; heads: {allowed}")
    return predictor


def load_exported(folder: Path, batch_size: int) -> Predictor:
    """An exported model; what it is need not be printed again."""
    with contextlib.redirect_stdout(io.StringIO()):
        return Predictor(Source(str(folder)), batch_size, runtime="onnx")


def write_onnx(source: Source, predictor: Predictor, folder: Path) -> None:
    """The folder of an exported model: config, tokenizer, model.onnx in fp32. Raises UserError without optimum."""
    try:
        from optimum.exporters.onnx import export
        from optimum.exporters.tasks import TasksManager
    except ImportError as error:
        raise UserError("export_onnx needs optimum and onnxruntime; install them: pip install '.[onnx]'") from error
    import transformers

    auto_class = getattr(transformers, predictor.problem.auto_class)
    with only_errors_from_transformers(), quiet():
        model = load_weights(source, predictor.config, auto_class, "eager")[0].eval()
        try:
            describe = TasksManager.get_exporter_config_constructor(
                "onnx", model=model, task="feature-extraction", library_name="transformers"
            )
        except (KeyError, ValueError) as error:
            raise UserError(
                f"optimum exports no models of type '{model.config.model_type}' ('{source.name}')"
            ) from error
        folder.mkdir(parents=True)
        # optimum's lists lack some heads of families that it knows (ModernBERT's for questions).
        export(
            model, describe(model.config, task=TASKS[predictor.problem.auto_class]), folder / MODEL_FILE, opset=OPSET
        )
    model.config.save_pretrained(folder)
    predictor.coder.tokenizer.save_pretrained(folder)


def quantize(folder: Path) -> None:
    """Replaces the weights of model.onnx by 8-bit integers, a scale for each output channel; activations are rounded as
    they come (dynamic quantization)."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    original, prepared, smaller = folder / MODEL_FILE, folder / "prepared.onnx", folder / "int8.onnx"
    with quiet():
        quant_pre_process(original, prepared, skip_symbolic_shape=True)
        # Without VNNI instructions two products of 8 bits overflow 16: weights of 7 bits are exact on every CPU.
        quantize_dynamic(prepared, smaller, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)
    remove(prepared)
    shutil.move(smaller, original)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps the warnings of tracing and quantizing off the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def read_validation(path: Path, predictor: Predictor) -> list[Example]:
    """The validation examples of a file that `dataloader.py --dump` wrote. Raises UserError for another file, or gold
    that the model does not know."""
    if path.suffix != ".jsonl":
        raise UserError(f"--validation '{path}': a file of dataloader.py --dump FILE.jsonl is expected")
    reader = TableReader(path, ["split", "id"])
    reader.check_columns()
    with open(path, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    examples = [{k: v for k, v in row.items() if k != "split"} for row in rows if row["split"] == "validation"]
    if not examples:
        raise UserError(f"--validation '{path}' holds no validation examples")
    labels = predictor.coder.labels
    for example in examples:
        try:
            fault = predictor.problem.fault(example, labels)
        except (KeyError, TypeError):
            fault = f"it is no example of a {predictor.problem.name}"
        if fault:
            raise UserError(f"--validation '{path}', example {example['id']}: {fault}")
    return [predictor.problem.prepared(example) for example in examples]


@torch.inference_mode()
def logits_over(predictor: Predictor, examples: Sequence[Example]) -> list[Logits]:
    """The logits of each row of the examples in the order of `encode(...).longest_first()`, padding left out."""
    rows, found = predictor.problem.encode(predictor.coder, examples).longest_first(), []
    for start in range(0, len(rows), predictor.batch_size):
        batch = rows[start : start + predictor.batch_size]
        outputs, mask = predictor.forward(batch, [examples[row[EXAMPLE_INDEX]]["id"] for row in batch])
        lengths = mask.sum(1).tolist() if predictor.problem.is_per_token else [None] * len(batch)
        found += [tuple(part[i, :length].cpu() for part in outputs.values()) for i, length in enumerate(lengths)]
    return found


def largest_difference(ours: Sequence[Logits], others: Sequence[Logits]) -> float:
    """The largest difference of two lists of logits."""
    pairs = ((a, b) for one, other in zip(ours, others, strict=True) for a, b in zip(one, other, strict=True))
    return max(float((a - b).abs().max()) for a, b in pairs)


def score(predictor: Predictor, examples: Sequence[Example], logits: Sequence[Logits]) -> dict[str, float]:
    """The problem's metrics of logits as `logits_over` gives them."""
    problem, coder = predictor.problem, predictor.coder
    split = problem.encode(coder, examples)
    outputs = []
    for row in logits:
        parts = tuple(part.unsqueeze(0) for part in row)
        as_trained = parts if len(parts) > 1 else parts[0]  # how the Trainer hands them over
        outputs += rows_of(problem.reduce(as_trained, coder))
    predictions = problem.predictions(coder, split, split.by_row(outputs))
    return scalars(scores(problem, problem.metrics(coder.labels), predictions, coder.labels, has_windows=False))
