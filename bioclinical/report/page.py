"""One self-contained page of tables and figures, and the figures as files.

python -m bioclinical.results DIR --html report.html --figures FOLDER
"""

import base64
import html
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from bioclinical.files import atomic_path, make_folder, write_text
from bioclinical.report.class_figures import classes, confusions
from bioclinical.report.curve_figures import context, cost, learning, reliability, risk_coverage
from bioclinical.report.score_figures import differences, seeds
from bioclinical.results.analysis import Analysis
from bioclinical.results.compare import Measured
from bioclinical.results.render import to_html

FIGURES = {
    seeds: "Each seed (points), their mean (bar) and its 95 % interval over seeds and documents (band); the thin line "
    "is the interval of these runs over documents alone",
    differences: "Difference to the reference: 95 % interval over seeds and documents (band), over documents alone "
    "(line); p after Holm's correction",
    classes: "F1 by class, percent, mean over seeds; gold examples in parentheses",
    confusions: "Confusion, summed over seeds: rows gold, columns predicted",
    learning: "Validation by epoch: seeds thin, their mean thick",
    reliability: "Reliability: how often what was given a probability came true",
    risk_coverage: "Risk and coverage: how many answers are wrong when the least certain ones are not given",
    context: "Score against context length",
    cost: "Quality against cost",
}
FORMATS = ("pdf", "svg")
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1440px; margin: 1.5em auto; padding: 0 1.2em; }
h1, h2, h3 { line-height: 1.25; margin: 1.6em 0 .5em; overflow-wrap: anywhere; } h2 { border-bottom: 2px solid #ddd; }
h3 { font-size: 1.02em; } .wide { overflow-x: auto; }
figure { margin: 1.6em 0; overflow-x: auto; } figcaption { color: #444; margin-bottom: .4em; max-width: 60em; }
img { max-width: min(100%, 1000px); height: auto; display: block; }
table { border-collapse: collapse; font-size: 12.4px; }
th, td { padding: .25em .38em; text-align: right; white-space: nowrap; }
th { border-bottom: 2px solid #bbb; vertical-align: bottom; }
.name { text-align: left; white-space: normal; overflow-wrap: break-word; }
th.name:first-child { min-width: 7em; } th.name { min-width: 10.5em; }
tr:nth-child(even) { background: #f6f6f6; } .notes { font-size: 13px; color: #444; padding-left: 1.2em; }
@media (max-width: 600px) {
  body { padding: 0 .6em; } table { font-size: 12px; } th, td { padding: .2em .4em; }
  img { max-width: none; width: 640px; }
  .name:first-child { position: sticky; left: 0; background: #fff; }
  tr:nth-child(even) .name:first-child { background: #f6f6f6; }
}
"""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def figures(measured: Measured, analysis: Analysis) -> Iterator[tuple[str, str, Figure]]:
    """(name, caption, figure) of what a panel has to show."""
    for draw, caption in FIGURES.items():
        if figure := draw(measured, analysis.comparisons + analysis.exploratory):
            yield draw.__name__, caption, figure


def write_page(path: Path, analysis: Analysis, skipped: Sequence[str]) -> None:
    """What was left out, the tables over all tasks, then each panel's table and figures; the page loads nothing."""
    of_panels = len(analysis.measured)
    body = [f"<p>left out: {html.escape(sentence)}</p>" for sentence in skipped]
    for table in analysis.tables[of_panels:]:
        body += [f"<h2>{html.escape(table.title)}</h2>", to_html(table)]
    for measured, table in zip(analysis.measured, analysis.tables[:of_panels]):
        title, _, settings = table.title.partition(": ")
        body += [f"<h2>{html.escape(title)}</h2><p>{html.escape(settings)}</p>", to_html(table)]
        for name, caption, figure in figures(measured, analysis):
            picture = f'<img alt="{name}" src="data:image/png;base64,{as_png(figure)}">'
            body.append(f"<figure><figcaption>{html.escape(caption)}</figcaption>{picture}</figure>")
    write_text(
        path,
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><title>Results</title><style>{STYLE}</style>'
        "<h1>Results</h1>" + "\n".join(body) + "</html>\n",
    )


def write_figures(folder: Path, analysis: Analysis) -> list[Path]:
    """Every figure as PDF and SVG, named by its panel; text stays text in both."""
    make_folder(folder)
    written = []
    for measured in analysis.measured:
        panel = measured.panel
        stem = re.sub(r"[^\w.-]+", "-", f"{panel.dataset}_{panel.protocol}_{panel.test_set}")
        for name, _, figure in figures(measured, analysis):
            for kind in FORMATS:
                written.append(folder / f"{stem}_{name}.{kind}")
                with atomic_path(written[-1]) as partial, rc_context({"svg.fonttype": "none", "pdf.fonttype": 42}):
                    figure.savefig(partial, format=kind)
    return written


def as_png(figure: Figure) -> str:
    """The figure as base64 PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return base64.b64encode(buffer.getvalue()).decode()
