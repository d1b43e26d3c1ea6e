"""Does it help? Four ways to spend the same tokens from the same start, measured on masked text and downstream tasks.

python benchmarks/study.py --corpora notes.csv abstracts.csv --data_dir data/raw --work study --size small

A ModernBERT is first pre-trained from nothing (masks, constant rate); from there each arm trains on for equal tokens:

    phases      masks of 30 %, constant rate; the last tenth masks of 15 %, the rate decaying (BioClinical ModernBERT)
    detour      the next token, constant rate; the last eleventh masks of 15 %, the rate decaying (ModernBERT-bio)
    averaging   masks of 30 %, constant rate; the checkpoints of the last tenth averaged in place of a decay (WSM)
    falling     masks of 30, 15, 5 % as mmBERT's phases; the rate decaying over the last tenth

Then all are scored on held-out text under the same masks and fine-tuned on tasks with three seeds. One pre-training run
an arm: intervals of tasks are over fine-tuning seeds and test documents, those of masked text over draws of the masks.
Run it again after an interruption: finished steps are kept. Corpora are CSVs with a column `notes`.
"""

import argparse
import contextlib
import json
import math
import multiprocessing
import os
import runpy
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bioclinical.errors import UserError, run_cli
from bioclinical.files import make_folder, write_json, write_text

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "pretraining_resources" / "configs" / "smoke" / "detour_return.yaml"
START, REFERENCE = "start", "phases"
ARMS = (REFERENCE, "detour", "averaging", "falling")
SEEDS = (42, 43, 44)


@dataclass(frozen=True)
class Size:
    """What the study costs. Tokens of the common start and of each arm; examples of each split of a task."""

    hidden: int
    layers: int
    vocabulary: int
    start_tokens: int
    arm_tokens: int
    examples: int
    epochs: int
    batch: int = 8  # rows of 512 tokens


SIZES = {
    "smoke": Size(32, 4, 600, 20_000, 22_000, 24, 1, batch=2),  # seconds: does it run
    "small": Size(64, 4, 2048, 300_000, 200_000, 600, 2),  # minutes of one core
    "hours": Size(256, 7, 8192, 12_000_000, 6_000_000, 2000, 5),  # about two hours of some cores
}


def main() -> None:
    args = parse_args()
    size, began = SIZES[args.size], time.process_time()
    work = args.work.resolve()
    make_folder(work)
    mds, tokenizer = prepare(args.corpora, size, work)
    models = pretrain(size, work, mds, tokenizer)
    masked = score_masked(size, work, mds, models)
    fine_tune(args, size, work, models)
    rows = table(work, masked, list(models), args.tasks)
    text = render(rows, args.tasks)
    record = {
        "command": sys.argv, "size": args.size, **asdict(size), "seeds": SEEDS, "tasks": args.tasks, "rows": rows,
        "processor_seconds_of_the_last_start": round(time.process_time() - began), **where(),
    }  # fmt: skip
    write_json(args.out, record)
    write_text(args.out.with_suffix(".txt"), text + "\n")
    draw(rows, args.tasks, args.picture or args.out.with_suffix(".png"))
    print(text)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpora", nargs="+", type=Path, required=True, help="CSVs with a column notes")
    parser.add_argument("--data_dir", type=Path, required=True, help="the tasks' raw files, as main.py takes them")
    parser.add_argument("--tasks", nargs="+", default=["GAD", "NCBI-disease"], help="default: GAD NCBI-disease")
    parser.add_argument(
        "--size", choices=SIZES, default="small", help="smoke: seconds; small: minutes; hours: about two"
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for everything in between; kept")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "study.json")
    parser.add_argument("--picture", type=Path, help="default: beside --out")
    args = parser.parse_args()
    for path in (*args.corpora, args.data_dir):
        if not path.exists():
            raise UserError(f"there is no '{path}'")
    return args


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def command(script: Path, *arguments: Any) -> None:
    """A script of this project in a forked process, which need not import torch anew; quiet unless it fails."""
    process = multiprocessing.get_context("fork").Process(target=run_script, args=(script, arguments))
    process.start()
    process.join()
    if process.exitcode:
        raise UserError(f"{script.name} failed ({process.exitcode}); run this again to see it with: {arguments}")


def run_script(script: Path, arguments: tuple[Any, ...]) -> None:
    sys.argv = [str(script), *map(str, arguments)]
    sys.path.insert(0, str(ROOT))
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        runpy.run_path(str(script), run_name="__main__")


def prepare(corpora: list[Path], size: Size, work: Path) -> tuple[Path, Path]:
    """The corpora as MDS (2 % held out), and a tokenizer trained on them; made once."""
    import pandas as pd

    from bioclinical.tiny_models import build_tiny_model

    tokenizer, mds = work / "tokenizer", work / "mds"
    if not tokenizer.exists():
        say("tokenizer")
        texts = [text for path in corpora for text in pd.read_csv(path, dtype=str, keep_default_na=False)["notes"]]
        build_tiny_model("modernbert", texts, tokenizer, 0, size.vocabulary, 32, 1)
    if not (mds / "eval" / "index.json").exists():
        say("MDS")
        command(
            ROOT / "pretraining_resources" / "convert_dataset_to_mds.py", "--dataset", *corpora, "--out_dir", mds,
            "--out_token_counts", mds / "token_counts.txt", "--tokenizer", tokenizer, "--eval_fraction", 0.02,
            "--concat_tokens", 512, "--merge",
        )  # fmt: skip
    return mds, tokenizer


def pretrain(size: Size, work: Path, mds: Path, tokenizer: Path) -> dict[str, Path]:
    """Name -> exported folder of the start and of every arm."""
    from bioclinical.checkpoints.export import export

    common = common_keys(size, mds, tokenizer)
    checkpoints = {START: train(work, START, {**common, **constant(size.start_tokens), "load_path": "null"})}
    for arm in ARMS:
        checkpoints[arm] = train_arm(arm, size, work, common, checkpoints[START])
    folders = {}
    for name, checkpoint in checkpoints.items():
        folders[name] = work / "models" / name
        if not folders[name].exists():
            export(checkpoint, folders[name], str(tokenizer), None, False)
    return folders


def common_keys(size: Size, mds: Path, tokenizer: Path) -> dict[str, Any]:
    from bioclinical.text.tokenization import load_tokenizer

    vocabulary = len(load_tokenizer(tokenizer))
    return {
        "data_local": mds, "tokenizer_name": tokenizer, "log_to_console": "false", "eval_interval": "1000000ba",
        "global_train_batch_size": size.batch, "device_train_microbatch_size": size.batch // 2, "optimizer.lr": 1e-3,
        "optimizer.name": "decoupled_stableadamw", "save_interval": "1000000ba", "autoresume": "true",
        **{f"model.model_config.{key}": value for key, value in {
            "vocab_size": -(-vocabulary // 8) * 8, "hidden_size": size.hidden,
            "intermediate_size": 3 * size.hidden // 2, "num_hidden_layers": size.layers}.items()},
    }  # fmt: skip


def constant(tokens: int, rate: float = 0.3) -> dict[str, Any]:
    """Masks at a constant learning rate, which is warmed up where there are no moments yet."""
    return {
        "max_duration": f"{tokens}tok", "train_loader.dataset.mlm_probability": rate,
        "scheduler": f"{{name: constant_with_warmup, t_warmup: {tokens // 10}tok}}",
    }  # fmt: skip


def decaying(tokens: int, decay: int, rate: Any = 0.15) -> dict[str, Any]:
    return {
        "max_duration": f"{tokens}tok", "train_loader.dataset.mlm_probability": rate,
        "scheduler": f"{{name: one_minus_sqrt, t_decay: {decay}tok, t_max: {tokens}tok, alpha_f: 0.1}}",
    }  # fmt: skip


def train_arm(arm: str, size: Size, work: Path, common: dict[str, Any], start: Path) -> Path:
    """The arm's last checkpoint. Every phase keeps its predecessor's moments; tokens add up to size.arm_tokens."""
    tokens = size.arm_tokens
    steady = {"scheduler": "{name: constant_with_warmup, t_warmup: 0tok}"}
    if arm == "phases":
        first = constant(tokens * 9 // 10) | steady
        middle = train(work, "phases-1", common | first | {"load_path": start})
        last = tokens - tokens * 9 // 10
        return train(work, arm, common | decaying(last, last) | {"load_path": middle})
    if arm == "detour":
        first = constant(tokens * 10 // 11) | steady | {"objective": "{name: next_token, boundaries: isolated}"}
        middle = train(work, "detour-1", common | first | {"load_path": start})
        last = tokens - tokens * 10 // 11
        return train(work, arm, common | decaying(last, last) | {"load_path": middle})
    if arm == "falling":
        rates = "{shape: steps, rates: {0tok: 0.3, 0.7667dur: 0.15, 0.9667dur: 0.05}}"
        return train(work, arm, common | decaying(tokens, tokens // 10, rates) | {"load_path": start})
    every = {"save_interval": f"{tokens // 50}tok", "save_num_checkpoints_to_keep": 8}
    run = train(work, "averaging-1", common | constant(tokens) | steady | every | {"load_path": start}).parent
    return averaged(run, tokens // 10, work / "runs" / "averaging.pt")


def train(work: Path, name: str, values: dict[str, Any]) -> Path:
    """Runs a recipe to its end, or goes on with it; its last checkpoint."""
    from bioclinical.pretraining.recipe.load import load_recipe
    from bioclinical.pretraining.recipe.preflight import how_it_ended
    from bioclinical.pretraining.training.run import run

    folder = work / "runs" / name
    given = [
        f"{key}={value}"
        for key, value in (values | {"run_name": name, "save_folder": folder, "eval_loader": "null"}).items()
    ]
    recipe = load_recipe(RECIPE, given)
    if how_it_ended(recipe) is None:
        say(f"pre-training: {name}, {recipe.max_duration}")
        run(recipe)
    return folder / "latest-rank0.pt"


def averaged(run: Path, span: int, out: Path) -> Path:
    from bioclinical.checkpoints import average

    if not out.exists():
        paths, clocks = average.in_span(run, span)
        weights = average.decay_weights(clocks, "one_minus_sqrt")
        average.write_average(average.average(paths, weights), paths[-1], out, {"weights": weights})
    return out


def score_masked(size: Size, work: Path, mds: Path, models: dict[str, Path]) -> dict[str, list[dict[str, float]]]:
    """Model -> measures of masked held-out text (15 %), under three draws of the masks."""
    from bioclinical.pretraining.recipe.load import load_recipe
    from bioclinical.pretraining.training.evaluation import evaluate

    path = work / "masked.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    say("masked text")
    common = common_keys(size, mds, models[START])
    found = {}
    for name, folder in models.items():
        found[name] = []
        for seed in SEEDS:
            values = common | {"eval_loader.dataset.shuffle_seed": seed}
            found[name].append(evaluate(load_recipe(RECIPE, [f"{k}={v}" for k, v in values.items()]), str(folder)))
    write_json(path, found)
    return found


def fine_tune(args: argparse.Namespace, size: Size, work: Path, models: dict[str, Path]) -> None:
    runs = [(task, name, seed) for task in args.tasks for name in models for seed in SEEDS]
    for number, (task, name, seed) in enumerate(runs, 1):
        done = work / "outputs" / f"{task}-{name}-{seed}.done"
        if done.exists():
            continue
        say(f"fine-tuning {number} of {len(runs)}: {task}, {name}, seed {seed}")
        command(
            ROOT / "main.py", "--dataset", task, "--model", models[name], "--seed", seed, "--lr", 1e-3,
            "--epochs", size.epochs, "--limit", size.examples, "--data_dir", args.data_dir,
            "--output_dir", work / "outputs", "--overwrite",
        )  # fmt: skip
        write_text(done, "")


def table(work: Path, masked: dict[str, list[dict[str, float]]], names: list[str], tasks: list[str]) -> list[dict]:
    """A row per model: masked text, then each task's official metric, its 95 % interval, difference to REFERENCE, p."""
    from bioclinical.results.collection import read_results
    from bioclinical.results.compare import against, measure
    from bioclinical.results.panel import panels

    rows = {name: {"model": name} for name in names}
    for name, draws in masked.items():
        for metric in ("MaskedAccuracy", "LanguageCrossEntropy"):
            rows[name][metric] = interval([draw[metric] for draw in draws])
    for panel in panels(read_results(work / "outputs")[0]):
        if panel.dataset not in tasks:
            continue
        metric = panel.official
        measured = measure(panel, [metric])
        for row in panel.rows:
            if row.model in rows and (estimate := measured.estimate(row, metric)):
                cell = {"metric": metric.name, "mean": estimate.value, "interval": estimate.interval}
                cell["seeds"] = estimate.seeds
                rows[row.model][panel.dataset] = cell
        for found in against(measured, REFERENCE, [metric]):
            if found.other.model in rows:
                rows[found.other.model][panel.dataset] |= {
                    "difference": found.estimate.value, "difference_interval": found.estimate.interval,
                    "p": found.estimate.p,
                }  # fmt: skip
    return list(rows.values())


def interval(values: list[float]) -> dict[str, Any]:
    """Mean and its 95 % interval by Student's t."""
    import numpy as np
    from scipy.stats import t

    mean = float(np.mean(values))
    half = float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return {"mean": mean, "interval": (mean - half, mean + half)}


def render(rows: list[dict], tasks: list[str]) -> str:
    columns = list(cells(rows[0], tasks))
    lines = [" | ".join(["model", *columns])]
    lines += [" | ".join([row["model"], *cells(row, tasks).values()]) for row in rows]
    note = (
        f"tasks: mean [95 %] over {len(SEEDS)} seeds and test documents, difference to {REFERENCE} with p (uncorrected)"
    )
    return "\n".join([*lines, note])


def cells(row: dict, tasks: list[str]) -> dict[str, str]:
    """What a row of the printed table shows, by column."""

    def shown(cell: dict | None, scale: float, digits: int) -> str:
        if cell is None:
            return "-"
        low, high = (scale * side for side in cell["interval"])
        text = f"{scale * cell['mean']:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
        return text + (f" {scale * cell['difference']:+.{digits}f} p={cell['p']:.2f}" if "difference" in cell else "")

    masked = {
        "masked accuracy": shown(row.get("MaskedAccuracy"), 100, 2),
        "cross-entropy": shown(row.get("LanguageCrossEntropy"), 1, 4),
    }
    return masked | {task: shown(row.get(task), 100, 2) for task in tasks}


def draw(rows: list[dict], tasks: list[str], path: Path) -> None:
    """A panel per measure: each model's mean and interval."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * (1 + len(tasks)), 2.8), layout="constrained")
    for ax, (title, key) in zip(figure.subplots(1, 1 + len(tasks), squeeze=False)[0], measures(tasks)):
        for place, row in enumerate(row for row in rows if key in row):
            low, high = (100 * side for side in row[key]["interval"])
            ax.plot([low, high], [-place, -place], color="tab:blue" if row["model"] != START else "gray")
            ax.plot(100 * row[key]["mean"], -place, "o", color="black", ms=4)
        ax.set_yticks([-place for place in range(len(rows))], [row["model"] for row in rows])
        ax.set_title(title, fontsize=10)
    figure.savefig(path, dpi=120)


def measures(tasks: list[str]) -> Iterator[tuple[str, str]]:
    yield "masked accuracy, %", "MaskedAccuracy"
    yield from ((f"{task}, %", task) for task in tasks)


def where() -> dict[str, Any]:
    from bioclinical.runtime.provenance import git_commit, hardware, installed_versions

    parts: dict[str, Callable[[], Any]] = {
        "versions": installed_versions, "hardware": hardware, "git_commit": git_commit
    }  # fmt: skip
    return {name: get() for name, get in parts.items()}


if __name__ == "__main__":
    run_cli(main)
