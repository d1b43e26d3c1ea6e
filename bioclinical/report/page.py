"""One self-contained page of tables and figures: python -m bioclinical.results DIR --html report.html"""

import base64
import html
import io
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from bioclinical.files import write_text
from bioclinical.report.figures import FIGURES, panels
from bioclinical.results.store import Result
from bioclinical.results.table import printable

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1280px; margin: 2em auto; padding: 0 1.5em; }
h1, h2, h3 { line-height: 1.2; margin: 1.6em 0 .5em; } h2 { border-bottom: 2px solid #ddd; }
.wide { overflow-x: auto; } img { max-width: min(100%, 1100px); display: block; }
table { border-collapse: collapse; font-size: 12px; }
th, td { padding: .25em .6em; text-align: right; white-space: nowrap; }
th { border-bottom: 2px solid #bbb; }
tr:nth-child(even) { background: #f6f6f6; } td:nth-child(-n+2) { text-align: left; }
"""


def write_report(path: Path, results: list[Result], summary: pd.DataFrame, notes: list[str]) -> None:
    """One page: what was left out, then a table and the figures of each panel; it loads nothing."""
    body = [f"<p>{html.escape(note)}</p>" for note in notes]
    for panel in panels(results, summary):
        shown = printable(panel.rows).drop(columns=["dataset", "protocol"])
        body += [
            f"<h2>{html.escape(panel.title)}</h2>",
            f'<div class="wide">{shown.to_html(index=False, border=0)}</div>',
        ]
        for draw in FIGURES:
            if figure := draw(panel):
                body.append(f'<img alt="{draw.__name__}" src="data:image/png;base64,{as_png(figure)}">')
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    write_text(
        path,
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
        f'content="{policy}"><title>Results</title><style>{STYLE}</style><h1>Results</h1>'
        + "\n".join(body)
        + "</html>\n",
    )


def as_png(figure: Figure) -> str:
    """The figure as base64 PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return base64.b64encode(buffer.getvalue()).decode()
