"""The quickstart's story in one table and one picture: masked accuracy and task scores before and after pre-training.

python scripts/quickstart_report.py --mlm mlm.json --results outputs --runs CHECKPOINTS/RUN ... --out FOLDER
"""

import argparse
import json
from pathlib import Path

import matplotlib
import pandas as pd

from bioclinical.errors import run_cli
from bioclinical.files import make_folder, write_text
from bioclinical.pretraining.training.metrics_file import read_metrics
from bioclinical.results.collection import read_results
from bioclinical.results.panel import panels

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mlm", type=Path, required=True, help="what evaluate_mlm.py --output wrote")
    parser.add_argument("--results", type=Path, required=True, help="folder of main.py's results")
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="run folders, in the order of the phases")
    parser.add_argument("--out", type=Path, required=True, help="folder for story.md and story.png")
    args = parser.parse_args()
    story = story_table(json.loads(args.mlm.read_text(encoding="utf-8")), args.results)
    make_folder(args.out)
    text = story.to_string(float_format=lambda value: f"{value:.2f}")
    write_text(args.out / "story.txt", text + "\n")
    draw(story, args.runs).savefig(args.out / "story.png", dpi=120, bbox_inches="tight")
    print(f"{text}\n\nwritten: {args.out}/story.txt, {args.out}/story.png")


def story_table(mlm: dict[str, dict[str, float]], results: Path) -> pd.DataFrame:
    """One row per model: masked accuracy and the tasks' official metrics, in percent, means over seeds."""
    rows = {Path(model).name: {"masked accuracy": 100 * values["MaskedAccuracy"]} for model, values in mlm.items()}
    for panel in panels(read_results(results)[0]):
        metric = panel.official
        for row in panel.rows:
            if row.model in rows and len(row.scores(metric)):
                rows[row.model][f"{panel.dataset} {metric.name}"] = 100 * row.scores(metric).mean()
    return pd.DataFrame.from_dict(rows, orient="index")


def draw(story: pd.DataFrame, runs: list[Path]) -> plt.Figure:
    """Left: training loss and evaluated cross-entropy over all phases; right: the table as bars."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    offset = 0
    for run, color in zip(runs, ("tab:blue", "tab:orange", "tab:green", "tab:red")):
        frame = pd.DataFrame(read_metrics(run))
        for name, style in (("loss/train/total", "-"), ("metrics/eval/LanguageCrossEntropy", "o--")):
            points = frame.dropna(subset=[name])
            label = f"{run.name}, {'training' if style == '-' else 'evaluation'}"
            left.plot(offset + points["token"], points[name], style, color=color, label=label, alpha=0.9)
        offset += frame["token"].max()
    left.set(xlabel="tokens", ylabel="cross-entropy per masked token", title="Pre-training")
    left.legend(fontsize=8)
    story.T.plot.bar(ax=right, rot=0, ylim=(0, 115), ylabel="percent", title="Before and after")
    right.legend(loc="upper left", ncols=2, fontsize=8)
    for bars in right.containers:
        right.bar_label(bars, fmt="%.1f", fontsize=8)
    return figure


if __name__ == "__main__":
    run_cli(main)
