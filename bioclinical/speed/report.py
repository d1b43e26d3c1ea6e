"""The document that a run writes: new, resumed, as a table, as a plot."""

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no screen needed
import matplotlib.pyplot as plt
import pandas as pd

from bioclinical.errors import UserError
from bioclinical.files import atomic_path

Report = dict[str, Any]
ROW_KEY = ("model", "dataset", "layout")
PLOT_SUFFIXES = (".png", ".pdf", ".svg")
MUST_MATCH = ("config", "models", "device", "device_name", "dtype", "hardware", "versions")


def row_key(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(row[name] for name in ROW_KEY)


def read_report(path: Path) -> Report:
    """A document written by a run. Raises UserError where the file is not one."""
    try:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
        {row_key(row) for row in report["results"]}, [report[name] for name in MUST_MATCH]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"'{path}' is not a result of this script ({type(error).__name__}); name another") from error
    return report


def resumed(path: Path, new: Report) -> Report:
    """The new document with what an earlier run measured. Raises UserError where that was under other conditions."""
    old = read_report(path)
    for name in MUST_MATCH:
        if name == "models":
            differs = any(new["models"].get(model, sha) != sha for model, sha in old["models"].items())
        else:
            differs = old[name] != new[name]
        if differs:
            raise UserError(f"--resume: '{path}' was measured with another {name}; choose another --output")
    return new | {
        "models": old["models"] | new["models"],
        "model": sorted(old["models"] | new["models"]),
        "results": old["results"],
        "started_at": old["started_at"],
    }


def table(report: Report) -> str:
    """The rows for people."""
    if not report["results"]:
        return "nothing was measured"
    rows = pd.DataFrame(report["results"])
    shown = pd.DataFrame(
        {
            "model": [Path(name).name for name in rows.model],
            "dataset": rows.dataset,
            "layout": rows.layout,
            "batch": rows.batch_size,
            "kTok/s": rows.ktok_per_sec,
            "nominal": rows.ktok_per_sec_nominal.astype(float),
            "+-%": 100 * rows.sd_s.astype(float) / rows.mean_s,
            "samples/s": rows.samples_per_sec,
            "ms/batch": rows.ms_per_batch,
            "padding%": 100 * rows.padding_share,
            "GiB": rows.peak_memory_bytes / 2**30,
            "MFU%": 100 * rows.mfu.astype(float),
        }
    )
    return shown.to_string(index=False, na_rep="-", float_format=lambda value: f"{value:.2f}")


def plot(report: Report, path: Path) -> None:
    """Bars of the throughput per workload, and throughput against the mean length of a sample."""
    rows = pd.DataFrame(report["results"])
    rows["series"] = [f"{Path(model).name} {layout}" for model, layout in zip(rows.model, rows.layout)]
    rows["length"] = rows.tokens / rows.samples
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5), layout="constrained")
    bars = rows.pivot(index="dataset", columns="series", values="ktok_per_sec").reindex(rows.dataset.unique())
    bars.plot.bar(ax=left, rot=20, legend=False, xlabel="", ylabel="kTok/s, true tokens", title="by workload")
    for series in bars.columns:
        points = rows[rows.series == series].sort_values("length")
        right.plot(points.length, points.ktok_per_sec, marker="o", label=series)
    right.set(xlabel="mean tokens of a sample", ylim=(0, None), title="by length")
    right.set_xscale("log", base=2)
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.suptitle(f"{report['device_name']}, {report['dtype']}")
    with atomic_path(path) as partial:
        figure.savefig(partial, dpi=120, format=path.suffix[1:])
    plt.close(figure)
