"""What the figures share: axes, names that fit, colours, matrices of cells."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bioclinical.results.panel import Panel, Row

NAME_WIDTH = 34  # characters a line


def axes(height: float, columns: int = 1, rows: int = 1, width: float = 9) -> tuple[Figure, np.ndarray]:
    """A figure and its axes, in a flat array; sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False).ravel()


def wrapped(name: str, width: int = NAME_WIDTH) -> str:
    """A name over as many lines as it needs, hub names broken after their slash; nothing of it is cut."""
    parts = name.replace("/", "/ ").split() if len(name) > width else [name]
    lines = textwrap.wrap(" ".join(parts), width, break_on_hyphens=True)
    return "\n".join(line.replace("/ ", "/") for line in lines)


def color(panel: Panel, row: Row) -> tuple:
    """The same for a row in all figures of its panel."""
    palette = colormaps["tab10"] if len(panel.rows) <= 10 else colormaps["tab20"]
    return palette([own.group for own in panel.rows].index(row.group) % palette.N)


def label_rows(ax: Axes, labels: Sequence[str]) -> None:
    """One label for each whole number on the vertical axis, the first on top."""
    ax.set_yticks(range(len(labels)), labels, fontsize=9)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.grid(axis="x", alpha=0.3)


def height_of(labels: Sequence[str]) -> float:
    """Inches for rows with these labels."""
    return 0.9 + sum(max(0.45, 0.2 * (label.count("\n") + 1) + 0.15) for label in labels)


def draw_matrix(ax: Axes, percent: np.ndarray, cells: list[str], columns: list[str], rows: list[str]) -> None:
    """Cells shaded by percent; names wrapped."""
    ax.imshow(percent, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (y, x), text in zip(np.ndindex(percent.shape), cells):
        ax.text(x, y, text, ha="center", va="center", fontsize=8, color="white" if percent[y, x] > 60 else "black")
    steep = any(len(name) > 12 for name in columns)
    ax.set_xticks(range(len(columns)), [wrapped(name, 24) for name in columns], fontsize=8)
    ax.tick_params(axis="x", rotation=35 if steep else 0)
    if steep:
        for label in ax.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(rows)), [wrapped(name, 24) for name in rows], fontsize=8)


def legend_below(figure: Figure, ax: Axes, columns: int = 2) -> None:
    """One legend for the whole figure, under it."""
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(
        handles, [wrapped(label, 48) for label in labels], fontsize=8, loc="outside lower left", ncols=columns
    )
