"""Tables over seeds from result files, with intervals and tests; scores in percent where they are fractions.

python -m bioclinical.results outputs --reference MODEL --html report.html
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from bioclinical.errors import UserError, run_cli
from bioclinical.files import atomic_path, write_text

if TYPE_CHECKING:
    from pandas import DataFrame

    from bioclinical.results.analysis import Analysis
    from bioclinical.results.panel import Panel


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Tables over seeds from the result files of main.py.")
    parser.add_argument("output_dir", help="the folder given to main.py as --output_dir")
    what = parser.add_argument_group("what")
    what.add_argument("--dataset", help="only this one")
    what.add_argument("--suite", help="the tasks of a suite as one table with its overall score")
    what.add_argument("--reported", action="store_true", help="published rows below the suite's, with their sources")
    what.add_argument("--reference", metavar="MODEL", help="add each model's difference to this one, tested")
    what.add_argument("--all_pairs", action="store_true", help="test every pair of models")
    what.add_argument(
        "--metrics",
        metavar="NAMES",
        help="test these besides the official one, as an exploratory family (comma-separated, or all)",
    )
    what.add_argument("--over_splits", action="store_true", help="tables over split seeds and folds")
    what.add_argument("--all_trials", action="store_true", help="also those that validation did not choose")
    what.add_argument("--exclude_failed", action="store_true", help="failed seeds do not count as the baseline")
    files = parser.add_argument_group("files")
    files.add_argument("--csv", metavar="FILE", help="every metric, unrounded")
    files.add_argument("--markdown", metavar="FILE", help="the printed tables and those of classes")
    files.add_argument("--latex", metavar="FILE", help="the printed tables, for the package booktabs")
    files.add_argument("--per_class", metavar="FILE", help="precision, recall and F1 of each class, as CSV")
    files.add_argument("--html", metavar="FILE", help="a page of tables and figures that needs no network")
    files.add_argument("--model_card", metavar="DIR", help="a card of each finished run, as Markdown for the hub")
    files.add_argument("--submission", metavar="DIR", help="BLURB's prediction files, one JSON a task and model")
    files.add_argument("--figures", metavar="DIR", help="every figure as PDF and SVG")
    files.add_argument(
        "--disagreements",
        nargs=3,
        metavar=("MODEL", "MODEL", "FILE"),
        help="ids of the examples that two models do not get right equally often, as CSV",
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from bioclinical.results.analysis import analyse
    from bioclinical.results.collection import read_results
    from bioclinical.results.model_card import write_cards
    from bioclinical.results.panel import panels
    from bioclinical.results.render import to_latex, to_text
    from bioclinical.results.reported import reported
    from bioclinical.results.selection import chosen_results, read_selections
    from bioclinical.results.submission import write_submissions
    from bioclinical.tasks.suites import get_suite

    suite = get_suite(args.suite) if args.suite else None
    if args.reported and suite is None:
        raise UserError("--reported shows published rows of a suite; add --suite")
    results, skipped = read_results(Path(args.output_dir), args.dataset)
    if suite:
        results = [result for result in results if result["dataset"] in suite.tasks]
    if not args.all_trials:
        results = chosen_results(results, read_selections(Path(args.output_dir)))
    for sentence in skipped:
        print(f"skipped: {sentence}")
    if not results:
        of_what = args.suite or args.dataset
        raise UserError(f"no results under '{args.output_dir}'" + (f" for {of_what}" if of_what else ""))
    found = panels(results, args.exclude_failed)
    published = reported(suite.name) if args.reported else ()
    analysis = analyse(found, args.reference, args.all_pairs, args.metrics, args.over_splits, suite, published)
    # The table of a suite says what those of its many tasks would.
    shown = analysis.tables[len(analysis.measured) :] if suite else analysis.tables
    print("\n".join(map(to_text, shown)), end="")
    if args.latex:
        write_text(Path(args.latex), "\n".join(map(to_latex, shown)))
    if args.submission:
        written = write_submissions(results, Path(args.submission))
        print(f"written: {len(written)} prediction files below '{args.submission}'")
    if args.model_card:
        cards = write_cards(results, Path(args.model_card))
        print(f"written: {len(cards)} model cards below '{args.model_card}'")
    write_tables(args, found, analysis)
    if args.html or args.figures:
        from bioclinical.report.page import write_figures, write_page  # matplotlib takes a second to load

        if args.html:
            write_page(Path(args.html), analysis, skipped)
        if args.figures:
            write_figures(Path(args.figures), analysis)


def write_tables(args: argparse.Namespace, found: "list[Panel]", analysis: "Analysis") -> None:
    """The files of tables that were asked for."""
    from bioclinical.results.class_table import class_frame, class_table
    from bioclinical.results.disagreements import disagreements
    from bioclinical.results.frame import frame
    from bioclinical.results.render import to_markdown

    if args.csv:
        write_csv(args.csv, frame(analysis.measured, analysis.comparisons + analysis.exploratory))
    if args.per_class:
        write_csv(args.per_class, class_frame(found))
    if args.disagreements:
        one, two, path = args.disagreements
        write_csv(path, disagreements(found, one, two))
    if args.markdown:
        classes = [table for table in map(class_table, found) if table]
        write_text(Path(args.markdown), "\n".join(map(to_markdown, analysis.tables + classes)))


def write_csv(path: str, table: "DataFrame") -> None:
    with atomic_path(Path(path)) as partial:
        table.to_csv(partial, index=False)


def command() -> None:
    """The console command bioclinical-results."""
    run_cli(main)


if __name__ == "__main__":
    command()
