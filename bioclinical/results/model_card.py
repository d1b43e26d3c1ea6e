"""A model card of one run, in the form of the Hugging Face hub: what a model was made from, its scores, its limits.

It is written from the run's result and predictions and holds no text of the data: names, counts, scores and hashes.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from bioclinical import problems
from bioclinical.errors import UserError
from bioclinical.files import write_text
from bioclinical.metrics.metric import Metric
from bioclinical.problems.label_names import is_printable
from bioclinical.results import significance
from bioclinical.results.samples import RunScores, run_scores
from bioclinical.results.store import Result

PIPELINES = {
    "AutoModelForSequenceClassification": "text-classification",
    "AutoModelForTokenClassification": "token-classification",
    "AutoModelForQuestionAnswering": "question-answering",
    "AutoModelForCausalLM": "text-generation",
}
MOST_LABELS = 60  # that are listed
SHOWN_SETTINGS = ("lr", "wd", "epochs", "batch_size", "accumulation_steps", "seed", "precision", "max_length")
LIMITS = """\
For research on texts like those it was trained on. It is no medical device: its answers need a qualified person's
judgement before they touch anybody's care, and redaction by it needs a check before a text is shared.

- The scores are those of one test set; another hospital, specialty, time or language may give other ones.
- Errors may differ between groups of patients; that was not measured here.
- The encoder may remember pieces of what it was trained on; the terms of its data hold for the weights too."""


def model_card(result: Result) -> str:
    """The card of a finished run, as Markdown. result: with its `path`, beside which its predictions lie."""
    metrics = problems.get(result["problem"]).metrics(
        result["labels"], result.get("negative_label"), result.get("metric")
    )
    held = [metric for metric in metrics if metric.name in result["metrics"]["test"]]
    title = f"{result['model_name']} fine-tuned on {result['dataset']}"
    parts = [
        f"---\n{yaml.safe_dump(metadata(result, title, held), sort_keys=False, allow_unicode=True)}---",
        f"# {title}",
        "## Data\n\n" + data_section(result),
        "## Training\n\n" + training_section(result),
        "## Scores on the test set\n\n" + score_section(result, held),
        "## Calibration\n\n" + calibration_section(result),
        "## Intended use and limits\n\n" + LIMITS,
        "## Provenance\n\n" + provenance_section(result),
    ]
    return "\n\n".join(parts) + "\n"


def metadata(result: Result, title: str, metrics: Sequence[Metric]) -> dict[str, Any]:
    """The block that the hub reads. A base model is named where it has a name there."""
    is_hub_id = re.fullmatch(r"[\w.-]+/[\w.-]+", result["model"]) and not Path(result["model"]).exists()
    pipeline = PIPELINES.get(problems.get(result["problem"]).auto_class)
    task = pipeline or result["problem"]
    scores = [{"type": m.name, "name": m.name, "value": result["metrics"]["test"][m.name]} for m in metrics]
    found = {"dataset": {"name": result["dataset"], "type": result["dataset"].lower(), "split": "test"}}
    return {
        "library_name": "transformers",
        **({"base_model": result["model"]} if is_hub_id else {}),
        **({"pipeline_tag": pipeline} if pipeline else {}),
        "tags": ["biomedical", "clinical", "bioclinical"],
        "model-index": [{"name": title, "results": [{"task": {"type": task}, **found, "metrics": scores}]}],
    }


def data_section(result: Result) -> str:
    sizes = result.get("splits", {})
    rows = [
        f"| {name} | {own['examples']:,} | {own['tokens']:,} | {own['examples_cut']:,} |" for name, own in sizes.items()
    ]
    lines = [
        f"{result['dataset']} ({result['problem']}), protocol `{result['protocol']}`. The hash below says whether the "
        "files were the same.",
        "",
        "| split | examples | tokens | examples cut at the context |",
        "|---|---|---|---|",
        *rows,
    ]
    labels = result["labels"]
    if labels and len(labels) <= MOST_LABELS and all(is_printable(label, 2) for label in labels):
        lines += ["", f"Labels: {', '.join(f'`{label}`' for label in labels)}."]
    elif labels:
        lines += ["", f"{len(labels)} labels, in the model's config."]
    return "\n".join([*lines, *(f"- {warning}" for warning in result.get("warnings", []))])


def training_section(result: Result) -> str:
    """The settings that every run has, and those that were not left at their default."""
    from bioclinical.results.names import described_settings

    config = result["config"]
    shown = ", ".join(f"{name} {config[name]}" for name in SHOWN_SETTINGS if config.get(name) is not None)
    words = described_settings(config).split()
    others = [word for word in words if word.partition("=")[0] not in (*SHOWN_SETTINGS, "batch", "length")]
    trained = result.get("trained_parameters", result.get("parameters"))
    lines = [f"Base: {result['model_name']}. Settings: {shown}."]
    if others:
        lines.append(f"Besides: {', '.join(others)}.")
    if trained:
        lines.append(f"{trained:,} weights were trained beside {result['parameters']:,} of the model.")
    if result.get("best_epoch") is not None:
        lines.append(f"The epoch ({result['best_epoch']:g}) was chosen by validation {result['selection_metric']}.")
    return "\n".join(lines)


def score_section(result: Result, metrics: Sequence[Metric]) -> str:
    """Each metric with the interval of this run over the test's documents, and the trivial baseline."""
    baseline = result["metrics"].get("baseline") or {}
    rows = ["| metric | score | 95 % over documents | trivial baseline |", "|---|---|---|---|"]
    found = run_scores(result, metrics)
    for metric in metrics:
        below = baseline.get(metric.name)
        rows.append(
            f"| {metric.name} | {metric.display(result['metrics']['test'][metric.name])} "
            f"| {interval(metric, found[result['path'], metric.name])} "
            f"| {'-' if below is None else metric.display(below)} |"
        )
    unit = "Scores in percent where they are shares. " if any(m.in_percent for m in metrics) else ""
    return "\n".join(rows) + (
        f"\n\n{unit}The intervals are of this one run over the documents of the test; other seeds vary besides."
    )


def interval(metric: Metric, scores: RunScores | UserError) -> str:
    if isinstance(scores, UserError) or scores.units_count < 2:
        return "-"
    sample = significance.Sample(np.array([scores.score]), scores.left_out[:, None])
    low, high = np.clip(significance.score(sample).document_interval, metric.low, metric.high)
    return f"[{metric.display(low)}, {metric.display(high)}]"


def calibration_section(result: Result) -> str:
    test, found = result["metrics"]["test"], result.get("calibration")
    error = test.get("ece")
    lines = []
    if found is None:
        lines.append("No temperature and no thresholds were chosen (`main.py --calibrate`).")
    else:
        point = found["point"]
        thresholds = ", ".join(f"`{label}` {least:.4g}" for label, least in point["thresholds"].items())
        lines.append(
            f"Temperature {point['temperature']:.3f}"
            + (f", thresholds {thresholds}" if thresholds else "")
            + f", chosen on {found['decisions']:,} decisions of the validation split."
        )
        for label, values in found["scores"].items():
            reached = ", ".join(f"{name} {100 * value:.2f}" for name, value in values.items())
            lines.append(f"- on validation, {label}: {reached}")
        if (before := result.get("uncalibrated_test", {}).get("ece")) is not None and error is not None:
            lines.append(f"- calibration error on test: {100 * before:.2f} before, {100 * error:.2f} after (percent)")
    if found is None and error is not None:
        lines.append(f"The expected calibration error on test is {100 * error:.2f} percent (15 bins).")
    return "\n".join(lines)


def provenance_section(result: Result) -> str:
    identity, hardware = result["identity"], result.get("hardware", {})
    facts = {
        "encoder, sha256": identity["model_sha256"],
        "raw files, sha256": identity["raw_sha256"],
        "settings, sha256": identity["group"],
        "code": result.get("git_commit") or "not under version control",
        "trained at": result.get("started_at", "-"),
        "versions": ", ".join(f"{name} {version}" for name, version in result.get("versions", {}).items()),
        "hardware": ", ".join(hardware.get("gpus") or [hardware.get("cpu") or "-"]),
    }
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def write_cards(results: Sequence[Result], folder: Path) -> list[Path]:
    """A file for each finished run, named by dataset, model, seed and run."""
    written = []
    for result in results:
        if result["status"] == "finished":
            place = Path(result["path"])
            written.append(folder / f"{result['dataset']}_{place.parent.name}_{place.stem}.md")
            write_text(written[-1], model_card(result))
    return written
