"""Trains a tokenizer on files of notes, and compares tokenizers by how they cut words.

python pretraining_resources/train_tokenizer.py --dataset notes.csv --family roberta --vocab_size 50000 --out DIR
python pretraining_resources/train_tokenizer.py --dataset notes.csv abstracts.csv --compare DIR roberta-base
"""

import argparse
import glob
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bioclinical.errors import UserError, run_cli
from bioclinical.files import write_json
from bioclinical.text.fertility import EXAMPLE_WORDS, Fertility, fertility, pieces_of_words
from bioclinical.text.tables import Format, TextReader, stem_and_suffix
from bioclinical.text.tokenizer_families import ALGORITHMS, FAMILIES
from bioclinical.text.train_tokenizer import TokenizerSettings, save_tokenizer, train_tokenizer
from bioclinical.text.word_counts import count_words

FIGURE_KINDS = (".png", ".pdf", ".svg")


def main() -> None:
    args = parse_args()
    paths = expand(args.dataset)
    stems = [stem_and_suffix(path)[0] for path in paths]
    corpora = [Corpus(name, path, read_format(args)) for name, path in zip(distinct(stems, paths), paths)]
    settings = read_settings(args)
    for corpus in corpora:
        corpus.check()
    terms = read_terms(args.terms) if args.terms else []
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    compared = list(args.compare)
    if settings:
        train(settings, corpora, args.out)
        compared.append(str(args.out))
    if args.compare:
        compare(compared, corpora, terms, args)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a tokenizer on notes, compare tokenizers, or both.")
    # Input
    parser.add_argument("--dataset", nargs="+", required=True, help="files or globs: .csv .tsv .jsonl, each also .gz")
    parser.add_argument("--text_column", default="notes", help="column with the text (default: notes)")
    parser.add_argument("--encoding", default="utf-8", help="of the files (default: utf-8, with or without BOM)")
    parser.add_argument(
        "--on_bad_rows",
        choices=("error", "skip"),
        default="error",
        help="rows with NUL, invalid bytes or a wrong cell count: stop (default) or skip and count",
    )
    # Training
    parser.add_argument("--out", type=Path, help="folder to write the new tokenizer to")
    parser.add_argument("--family", choices=FAMILIES, default="roberta", help="whose form it takes (default: roberta)")
    parser.add_argument("--algorithm", choices=ALGORITHMS, help="default: the family's own")
    parser.add_argument("--vocab_size", type=int, help="entries wanted, special tokens included")
    parser.add_argument(
        "--lowercase", action=argparse.BooleanOptionalAction, help="default: as the family's published tokenizers"
    )
    parser.add_argument("--max_length", type=int, help="model_max_length in tokens (default: the family's)")
    parser.add_argument("--min_frequency", type=int, default=2, help="of a joined pair; not for unigram (default: 2)")
    # Comparison
    parser.add_argument("--compare", nargs="+", default=[], metavar="TOK", help="folders or hub ids to measure")
    parser.add_argument("--terms", type=Path, help="text file, one term a line, measured besides the texts")
    parser.add_argument("--figure", type=Path, help=f"image of the comparison: {', '.join(FIGURE_KINDS)}")
    parser.add_argument("--json", type=Path, help="file for the comparison's numbers")
    args = parser.parse_args()
    check_combination(args)
    return args


def check_combination(args: argparse.Namespace) -> None:
    """Raises UserError for options that have no effect or lack their partner."""
    if not args.out and not args.compare:
        raise UserError(
            "nothing to do: give --out DIR to train a tokenizer, --compare TOK ... to measure some, or both"
        )
    if bool(args.out) != (args.vocab_size is not None):
        raise UserError("--out and --vocab_size belong together; give both to train a tokenizer")
    for name in ("terms", "figure", "json"):
        if getattr(args, name) and not args.compare:
            raise UserError(f"--{name} has no effect without --compare; give both")
    if args.figure and args.figure.suffix not in FIGURE_KINDS:
        raise UserError(f"--figure '{args.figure}' must end in {', '.join(FIGURE_KINDS)}")
    if args.out and args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        raise UserError(f"--out '{args.out}' exists already; choose another folder or delete it")


def read_format(args: argparse.Namespace) -> Format:
    return Format(args.text_column, None, args.encoding, args.on_bad_rows)


def read_settings(args: argparse.Namespace) -> TokenizerSettings | None:
    """The new tokenizer's settings, checked; None where none is to be trained."""
    if not args.out:
        return None
    return TokenizerSettings(
        args.family, args.vocab_size, args.algorithm, args.lowercase, args.max_length, args.min_frequency
    ).resolved()


def expand(patterns: list[str]) -> list[Path]:
    """The input files, globs resolved. Raises UserError where a pattern matches nothing."""
    sources: list[str] = []
    for pattern in patterns:
        matches = [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern, recursive=True))
        if not matches:
            raise UserError(f"--dataset '{pattern}' matches no file")
        sources += matches
    return [Path(source) for source in dict.fromkeys(sources)]


def read_terms(path: Path) -> list[str]:
    """The distinct terms of a file, one a line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise UserError(f"--terms '{path}' is not a readable UTF-8 text file with one term a line") from error
    terms = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not terms:
        raise UserError(f"--terms '{path}' holds no term; give one a line")
    return terms


@dataclass
class Corpus:
    """A file of texts, read as often as needed; after a reading it knows its hash, rows and characters."""

    name: str
    path: Path
    format: Format
    facts: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raises UserError where the file is absent, empty or lacks its column."""
        reader = TextReader(self.path, self.format)
        reader.check_columns()
        reader.close()

    def texts(self) -> Iterator[str]:
        """Every usable text, with a bar over the file's bytes."""
        reader = TextReader(self.path, self.format)
        rows = characters = 0
        seconds = 0.5 if sys.stderr.isatty() else 30
        with tqdm(
            desc=self.name, total=self.path.stat().st_size, unit="B", unit_scale=True, mininterval=seconds
        ) as bar:
            for row in reader.texts():
                rows, characters = rows + 1, characters + len(row.text)
                bar.update(reader.raw.bytes_read - bar.n)
                yield row.text
        reader.close()
        self.facts = {
            "file": self.path.name,
            "sha256": reader.raw.sha256.hexdigest(),
            "texts": rows,
            "characters": characters,
            "skipped_rows": dict(sorted(reader.skipped.items())),
        }


def train(settings: TokenizerSettings, corpora: list[Corpus], out: Path) -> None:
    """Trains and writes the tokenizer, and says how large it became."""
    backend = train_tokenizer(settings, lambda: (text for corpus in corpora for text in corpus.texts()))
    if not any(corpus.facts["texts"] for corpus in corpora):
        raise UserError("the input holds no usable text; nothing was written")
    tokenizer = save_tokenizer(backend, settings, out, [corpus.facts for corpus in corpora])
    texts = sum(corpus.facts["texts"] for corpus in corpora)
    characters = sum(corpus.facts["characters"] for corpus in corpora)
    skipped = sum(sum(corpus.facts["skipped_rows"].values()) for corpus in corpora)
    print(f"{settings.algorithm} ({settings.family}) from {texts:,} texts, {characters:,} characters", end="")
    print(f"; {skipped:,} rows skipped" if skipped else "")
    print(f"entries: {len(tokenizer):,} of {settings.vocab_size:,} asked for", end="")
    print("; the texts hold no more" if len(tokenizer) < settings.vocab_size else "")
    special = ", ".join(f"{token} {tokenizer.convert_tokens_to_ids(token)}" for token in tokenizer.all_special_tokens)
    print(f"special tokens: {special}; at most {tokenizer.model_max_length:,} tokens")
    print(f"in the model's recipe: vocab_size: {-(-len(tokenizer) // 64) * 64}  # next multiple of 64")
    print(f"written: {out}")


def compare(names: list[str], corpora: list[Corpus], terms: list[str], args: argparse.Namespace) -> None:
    """Prints, and where asked writes and draws, the fertility of each tokenizer on each corpus."""
    from bioclinical.text.tokenization import load_tokenizer

    labels = distinct([name.rstrip("/").split("/")[-1] for name in names], names)
    tokenizers = {label: load_tokenizer(name) for label, name in zip(labels, names)}
    measured: dict[str, dict[str, Fertility]] = {}
    for corpus in corpora:
        words = count_words(corpus.texts())
        if not words.counts:
            raise UserError(f"'{corpus.path}' holds no usable text to compare on")
        if words.dropped:
            print(f"{corpus.name}: {words.dropped:,} occurrences of rare words are left out, to bound the memory")
        both = {label: fertility(tokenizer, words.counts) for label, tokenizer in tokenizers.items()}
        measured[corpus.name] = {label: text for label, (text, _) in both.items()}
        measured[f"{corpus.name}, distinct words"] = {label: distinct for label, (_, distinct) in both.items()}
    if terms:
        listed = dict.fromkeys(terms, 1)
        measured["terms"] = {label: fertility(tokenizer, listed)[1] for label, tokenizer in tokenizers.items()}
    for name, by_tokenizer in measured.items():
        print_table(name, by_tokenizer, {label: len(tokenizer) for label, tokenizer in tokenizers.items()})
    examples = {label: pieces_of_words(tokenizer, EXAMPLE_WORDS) for label, tokenizer in tokenizers.items()}
    print_examples(examples)
    if args.json:
        numbers = {name: {label: one.to_json() for label, one in by.items()} for name, by in measured.items()}
        write_json(args.json, {"fertility": numbers, "pieces_of_example_words": examples})
    if args.figure:
        from bioclinical.text.fertility_figure import draw_fertility

        draw_fertility(measured, args.figure)


def distinct(short: list[str], full: Sequence[object]) -> list[str]:
    """The short names, or the full ones where two share a short one."""
    return [one if short.count(one) == 1 else str(whole) for one, whole in zip(short, full)]


def print_table(title: str, by_tokenizer: dict[str, Fertility], entries: dict[str, int]) -> None:
    """One corpus, a line per tokenizer."""
    words = next(iter(by_tokenizer.values())).words
    print(f"\n{title}: {words:,} words")
    width = max(len(label) for label in by_tokenizer)
    print(f"{'':{width}}  {'entries':>8}  {'tokens/word':>11}  {'kept whole':>10}  {'chars/token':>11}  {'unknown':>8}")
    for label, one in by_tokenizer.items():
        print(
            f"{label:{width}}  {entries[label]:>8,}  {one.tokens_per_word:>11.3f}  {one.whole_share:>10.1%}  "
            f"{one.characters_per_token:>11.2f}  {one.unknown_share:>8.3%}"
        )


def print_examples(examples: dict[str, dict[str, int]]) -> None:
    """Pieces of each example word, a column per tokenizer."""
    print("\npieces of the example words")
    width = max(map(len, EXAMPLE_WORDS))
    print(" " * width + "".join(f"  {label}" for label in examples))
    for word in EXAMPLE_WORDS:
        print(f"{word:{width}}" + "".join(f"  {counts[word]:>{len(label)}}" for label, counts in examples.items()))


if __name__ == "__main__":
    run_cli(main)
