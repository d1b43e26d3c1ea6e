"""A table as aligned text, as Markdown, as LaTeX (booktabs) and as HTML."""

import html
from collections.abc import Sequence

from bioclinical.results.table import Cell, Table

NAME_COLUMNS = ("model", "minus")
LATEX_SPECIAL = str.maketrans(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "†": r"$^\dagger$", "<": r"$<$",
    }
)  # fmt: skip


def to_text(table: Table) -> str:
    """For the terminal: names to the left, numbers to the right; the best is starred."""
    lines = [table.columns, *([plain(cell) for cell in row] for row in table.rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    shown = []
    for line in lines:
        cells = [
            cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(line, widths))
        ]
        shown.append("  ".join(cells).rstrip())
    notes = [note.replace("best in bold", "^: best") for note in table.notes]
    return "\n".join([table.title, "", *shown, "", *notes]).rstrip() + "\n"


def plain(cell: Cell) -> str:
    return cell.text + (" ^" if cell.best else " †" if cell.close else "  " if "±" in cell.text else "")


def to_markdown(table: Table) -> str:
    """A GitHub table under its title."""
    lines = [table.columns, ["---"] * len(table.columns)]
    lines += [[emphasised(cell, "**{}**").replace("|", "\\|") for cell in row] for row in table.rows]
    rows = ["| " + " | ".join(cells) + " |" for cells in lines]
    return "\n".join([f"**{table.title}**", "", *rows, "", *(f"- {note}" for note in table.notes)]).rstrip() + "\n"


def emphasised(cell: Cell, bold: str) -> str:
    return bold.format(cell.text) if cell.best else cell.text + (" †" if cell.close else "")


def to_latex(table: Table) -> str:
    """A `table` environment for the package booktabs."""
    head = " & ".join(escape_latex(column) for column in table.columns)
    rows = [" & ".join(latex_cell(cell) for cell in row) + r" \\" for row in table.rows]
    caption = escape_latex(". ".join([table.title, *table.notes]))
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
            r"\toprule",
            rf"{head} \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            rf"\caption{{{caption}}}",
            r"\end{table}",
            "",
        ]
    )


def latex_cell(cell: Cell) -> str:
    text = escape_latex(cell.text)
    return rf"\textbf{{{text}}}" if cell.best else text + (r"$^\dagger$" if cell.close else "")


def escape_latex(text: str) -> str:
    return text.translate(LATEX_SPECIAL)


def to_html(table: Table) -> str:
    """A table and its notes, for the page. Columns of names may break their lines, those of numbers may not."""
    kinds = [' class="name"' if i == 0 or column in NAME_COLUMNS else "" for i, column in enumerate(table.columns)]
    head = html_row([Cell(column) for column in table.columns], kinds, "th")
    body = "".join(html_row(row, kinds, "td") for row in table.rows)
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in table.notes)
    return (
        f'<div class="wide"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>'
        + (f'<ul class="notes">{notes}</ul>' if notes else "")
    )  # fmt: skip


def html_row(cells: Sequence[Cell], kinds: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}{kind}>{html_cell(cell)}</{tag}>" for cell, kind in zip(cells, kinds)) + "</tr>"


def html_cell(cell: Cell) -> str:
    text = html.escape(cell.text).replace("/", "/<wbr>")  # hub names may break after their slash
    return f"<b>{text}</b>" if cell.best else text + (" †" if cell.close else "")
