"""A run's rows for people: a table, and a plot."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no screen needed
import matplotlib.pyplot as plt
import pandas as pd

from bioclinical.files import atomic_path
from bioclinical.speed.document import Document


def table(document: Document) -> str:
    """The rows for people."""
    if not document["results"]:
        return "nothing was measured"
    rows = pd.DataFrame(document["results"])
    shown = pd.DataFrame({"model": [Path(name).name for name in rows.model]})
    shown[["dataset", "layout", "batch"]] = rows[["dataset", "layout", "batch_size"]]
    shown["kTok/s"], shown["nominal"] = rows.ktok_per_sec, rows.ktok_per_sec_nominal.astype(float)
    shown["+-%"] = 100 * rows.sd_s.astype(float) / rows.mean_s
    shown["samples/s"], shown["ms/batch"] = rows.samples_per_sec, rows.ms_per_batch
    shown["padding%"], shown["GiB"] = 100 * rows.padding_share, rows.peak_memory_bytes / 2**30
    shown["MFU%"] = 100 * rows.mfu.astype(float)
    return shown.to_string(index=False, na_rep="-", float_format=lambda value: f"{value:.2f}")


def plot(document: Document, path: Path) -> None:
    """Bars of the throughput per workload, and throughput against the mean length of a sample."""
    rows = pd.DataFrame(document["results"])
    rows["series"] = [f"{Path(model).name} {layout}" for model, layout in zip(rows.model, rows.layout)]
    rows["length"] = rows.tokens / rows.samples
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5), layout="constrained")
    bars = rows.pivot(index="dataset", columns="series", values="ktok_per_sec")
    bars = bars.reindex(index=rows.dataset.unique(), columns=rows.series.unique())
    bars.plot.bar(ax=left, rot=20, legend=False, xlabel="", ylabel="kTok/s, true tokens", title="by workload")
    for number, series in enumerate(bars.columns):
        own = rows[rows.series == series].sort_values("length")
        is_fixed = own.dataset.str.startswith("fixed_")
        for points, style in ((own[is_fixed], "o-"), (own[~is_fixed], "s--")):
            right.plot(points.length, points.ktok_per_sec, style, color=f"C{number}")
    right.set(xlabel="mean tokens of a sample", ylim=(0, None), title="by length (solid: fixed, dashed: variable)")
    figure.legend(left.containers, bars.columns, loc="outside lower center", ncols=3)
    figure.suptitle(f"{document['device_name']}, {document['dtype']}")
    with atomic_path(path) as partial:
        figure.savefig(partial, dpi=120, format=path.suffix[1:])
    plt.close(figure)
