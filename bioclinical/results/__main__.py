"""The table over seeds from result files, scores in percent.

python -m bioclinical.results outputs [--dataset D] [--reference MODEL] [--csv FILE] [--markdown FILE] [--html FILE]
"""

import argparse
from pathlib import Path

from bioclinical.errors import UserError, run_cli
from bioclinical.files import atomic_path, write_text
from bioclinical.results.collection import read_results
from bioclinical.results.compare import compared
from bioclinical.results.table import printable, table, to_markdown


def main() -> None:
    parser = argparse.ArgumentParser(description="Table over seeds from result files; scores in percent.")
    parser.add_argument("output_dir", help="the folder given to main.py as --output_dir")
    parser.add_argument("--dataset", help="only this one")
    parser.add_argument("--reference", metavar="MODEL", help="add each model's difference to this one, tested")
    parser.add_argument("--html", metavar="FILE", help="write a page of tables and figures that needs no network")
    parser.add_argument("--csv", metavar="FILE", help="write every metric, unrounded")
    parser.add_argument("--markdown", metavar="FILE", help="write the printed table as Markdown")
    args = parser.parse_args()
    results, problems = read_results(Path(args.output_dir), args.dataset)
    for problem in problems:
        print(f"skipped: {problem}")
    if not results:
        raise UserError(f"no results under '{args.output_dir}'" + (f" for {args.dataset}" if args.dataset else ""))
    summary, notes = table(results), []
    if args.reference:
        summary, notes = compared(summary, results, args.reference)
    shown = [printable(rows) for _, rows in summary.groupby("protocol")]  # no column mixes protocols
    print("\n\n".join(rows.to_string(index=False) for rows in shown))
    if single := sorted(set(summary.loc[(summary["n"] == 1) & (summary["group"] != ""), "model"])):
        notes.append(f"no interval over seeds where there is one seed only: {', '.join(single)}")
    print("\n".join(["", *notes]) if notes else "", end="\n" if notes else "")
    if args.html:
        from bioclinical.report.page import write_report  # matplotlib takes a second to load

        write_report(Path(args.html), results, summary, [*problems, *notes])
    if args.csv:
        with atomic_path(Path(args.csv)) as partial:
            summary.to_csv(partial, index=False)
    if args.markdown:
        write_text(Path(args.markdown), "\n".join(map(to_markdown, shown)))


if __name__ == "__main__":
    run_cli(main)
