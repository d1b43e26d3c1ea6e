"""The registry of downstream tasks, and a look at what their readers make of the raw files.

    python dataloader.py --dataset ChemProt [--data_dir data/raw] [--protocol paper] [--dump FILE.jsonl]
    python dataloader.py --list              every task, and whether its files are there
    python dataloader.py --check blurb       a suite's counts beside the published ones
    python dataloader.py --test_texts FILE.jsonl         the test texts, for the converter's --exclude
    python dataloader.py --contamination MDS_DIR         how much of them stands in a pre-training corpus

Adding a task is adding one entry to TASKS (README, "Add your own task").
"""

import argparse
import json
from pathlib import Path

import numpy as np

from bioclinical.arguments import at_least_zero
from bioclinical.errors import RunFailed, UserError, run_cli
from bioclinical.files import atomic_path
from bioclinical.mds.index import read_index
from bioclinical.problems.label_names import is_printable
from bioclinical.tasks.catalogue import BENCHMARK_TASKS, relations
from bioclinical.tasks.corpora import cos, deid, phenotype, social_history
from bioclinical.tasks.example import SPLITS, texts_of
from bioclinical.tasks.gold_spans import span_rows
from bioclinical.tasks.loading import load_task
from bioclinical.tasks.overview import check_tasks, has_files, task_lines
from bioclinical.tasks.readers.brat import BratReader
from bioclinical.tasks.readers.conll import ConllReader  # noqa: F401  (for entries of your own)
from bioclinical.tasks.readers.delimited import DelimitedReader
from bioclinical.tasks.splits import PROTOCOLS, SPLIT_SEED, Protocol
from bioclinical.tasks.suites import Suite, get_suite
from bioclinical.tasks.task import Task, TaskData
from bioclinical.text.words import WHITESPACE_TOKENS

TASKS = [
    Task(
        name="Phenotype",
        problem="multi_label_classification",
        reader=phenotype.PhenotypeReader(),
        labels=phenotype.LABELS,
        folder="phenotype",
        source="Get both files from PhysioNet: phenotype-annotations-mimic 1.20.03 and MIMIC-III 1.4",
    ),
    Task(
        name="ChemProt",
        problem="single_label_classification",
        reader=DelimitedReader(
            files=("train.tsv", "dev.tsv", "test.tsv"),
            text_column="sentence",
            label_column="label",
            id_column="index",
            delimiter="\t",
            group_column="index",
            group_pattern="[^.]*",  # <abstract>.<chemical>.<gene>
        ),
        labels=("CPR:3", "CPR:4", "CPR:5", "CPR:6", "CPR:9", "false"),
        negative_label="false",
        published=relations.CHEMPROT_PUBLISHED,
        folder="ChemProt",
        source="Get it from bert_data.zip of the BLUE_Benchmark GitHub release 0.1",
    ),
    Task(
        name="DEID",
        problem="token_classification",
        reader=deid.DeidReader(),
        labels=deid.TAGS,
        folder="DEID",
        source="Get id.text and id.res from PhysioNet deidentifiedmedicaltext 1.0",
    ),
    Task(
        name="COS",
        problem="token_classification",
        reader=cos.CosReader(),
        labels=cos.TAGS,
        folder="COS",
        source="Get events-COS-corpus.zip from depts.washington.edu/bionlp/data/corpora/files/",
    ),
    Task(
        name="SocialHistory",
        problem="token_classification",
        reader=BratReader(
            token_pattern=WHITESPACE_TOKENS,
            types=social_history.TYPES,
            strict_types=social_history.STRICT_TYPES,
        ),
        labels=social_history.TAGS,
        strict_labels=social_history.STRICT_TAGS,
        folder="SocialHistory",
        source="Get SocialHistoryMTSamples.zip from depts.washington.edu/bionlp/data/corpora/files/",
    ),
    *BENCHMARK_TASKS,
]


def get_task(name: str) -> Task:
    """The task of that name, whatever its case; raises UserError listing the names."""
    for task in TASKS:
        if task.name.lower() == name.lower():
            return task
    raise UserError(f"unknown dataset '{name}'; known: {', '.join(task.name for task in TASKS)}")


def main() -> None:
    args = parse_args()
    if args.list:
        print("\n".join(task_lines(TASKS, Path(args.data_dir))))
        return
    if args.check:
        check_counts(get_suite(args.check), Path(args.data_dir))
        return
    if args.test_texts:
        write_test_texts(Path(args.data_dir), Path(args.test_texts))
        return
    if args.contamination:
        print_contamination(Path(args.data_dir), Path(args.contamination), args.tokenizer)
        return
    protocol = Protocol(args.protocol, args.split_seed, args.fold)
    data = load_task(get_task(args.dataset), Path(args.data_dir), protocol)
    print_summary(data)
    if args.dump:
        dump(data, Path(args.dump))
        print(f"written: {args.dump} (holds the texts; keep it where the raw data may be kept)")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What a task's reader makes of its raw files (counts only).")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--dataset", help="one of the tasks (any case)")
    what.add_argument("--list", action="store_true", help="every task with its kind, metric, suites and licence")
    what.add_argument("--check", metavar="SUITE", help="read what is there and compare counts with the published ones")
    what.add_argument("--test_texts", metavar="FILE.jsonl", help="write the test texts of all tasks that are there")
    what.add_argument("--contamination", metavar="MDS_DIR", help="how much of these stands in a pre-training corpus")
    parser.add_argument("--tokenizer", help="of MDS_DIR (default: the one that the converter noted)")
    parser.add_argument("--data_dir", default="data/raw", help="folder of the raw files' folders (default: data/raw)")
    parser.add_argument("--protocol", choices=PROTOCOLS, default="paper", help="default: paper, the published examples")
    parser.add_argument(
        "--split_seed", type=at_least_zero(int), default=SPLIT_SEED, help="of the strict split (default: 42)"
    )
    parser.add_argument("--fold", type=int, metavar="K", help="one of a task's published folds")
    parser.add_argument("--dump", metavar="FILE.jsonl", help="write every example, its text included, as JSON lines")
    return parser.parse_args()


def check_counts(suite: Suite, data_dir: Path) -> None:
    """Prints a suite's counts beside the published ones; raises RunFailed where one differs or cannot be read."""
    check = check_tasks([get_task(name) for name in suite.tasks], data_dir)
    print("\n".join(check.lines))
    if check.different or check.unreadable:
        raise RunFailed(check.summary)
    print(check.summary)


def test_texts(data_dir: Path) -> dict[str, list[str]]:
    """The different test texts of every task whose files are there; of a task with folds, those of the first."""
    texts = {}
    for task in TASKS:
        if has_files(task, data_dir):
            fold = task.folds[0] if task.folds and task.default_fold is None else None
            test = load_task(task, data_dir, Protocol(fold=fold)).splits["test"]
            texts[task.name] = list(dict.fromkeys(text for example in test for text in texts_of(example)))
    if not texts:
        raise UserError(f"'{data_dir}' holds the files of no task; give --data_dir, or see: dataloader.py --list")
    return texts


def write_test_texts(data_dir: Path, path: Path) -> None:
    """One JSON object per test text, with its task."""
    texts = test_texts(data_dir)
    with atomic_path(path) as partial, open(partial, "w", encoding="utf-8") as file:
        for task, own in texts.items():
            for text in own:
                file.write(json.dumps({"task": task, "text": text}, ensure_ascii=False) + "\n")
    print(f"written: {path}, {sum(map(len, texts.values())):,} test texts of {', '.join(texts)}")


def print_contamination(data_dir: Path, folder: Path, tokenizer: str | None) -> None:
    """Prints for each task how much of its test texts stands in a tokenised corpus."""
    infos = read_index(folder)
    texts = test_texts(data_dir)
    # Slow to import, and only wanted once the arguments and the inputs are known to be in order.
    from bioclinical.mds import contamination
    from bioclinical.text.tokenization import load_tokenizer

    corpus = contamination.decoded(folder, infos, load_tokenizer(tokenizer or contamination.tokenizer_of(folder)))
    print("\n".join(contamination.lines(contamination.overlaps(texts, corpus))))


def print_summary(data: TaskData) -> None:
    """Split sizes, what the problem counts (labels, say), length quantiles and warnings; no text."""
    print(f"{data.task.name}  protocol={data.protocol}  raw files sha256={data.raw_sha256[:16]}")
    problem = data.problem
    counts = [problem.counts(data.splits[split], data.labels) for split in SPLITS]
    names = {name: row_name(data, name, sum(int(count[name]) for count in counts)) for name in counts[0]}
    of_gold = span_rows([data.splits[split] for split in SPLITS])
    width = max(map(len, [*names.values(), *of_gold])) + 2
    print("".ljust(width) + "".join(split.rjust(12) for split in SPLITS))
    print("examples".ljust(width) + "".join(f"{len(data.splits[split]):12,}" for split in SPLITS))
    for name in counts[0]:
        print(names[name].ljust(width) + "".join(f"{count[name]:12,.{decimals(count[name])}f}" for count in counts))
    for name, values in of_gold.items():
        print(name.ljust(width) + "".join(f"{value:12,.{decimals(value)}f}" for value in values))
    for name, quantile in (("median", 0.5), ("95 %", 0.95), ("longest", 1.0)):
        lengths = [np.quantile([problem.length(e) for e in data.splits[split]], quantile) for split in SPLITS]
        print(f"{problem.length_unit}, {name}".ljust(width) + "".join(f"{value:12,.0f}" for value in lengths))
    for warning in data.warnings:
        print(f"warning: {warning}")


def row_name(data: TaskData, name: str, count: int) -> str:
    """What a row is called: labels collected from the data that may be text have a number instead of their name."""
    if data.task.labels is not None or name not in data.labels or is_printable(name, count):
        return name
    return f"label {data.labels.index(name) + 1} ({len(name)} characters)"


def decimals(number: float) -> int:
    """Counts are shown without decimals, scores with two."""
    return 0 if isinstance(number, int) else 2


def dump(data: TaskData, path: Path) -> None:
    """One JSON object per example: train, then validation, then test, each in its split's order.

    `group` is written where it decided the split.
    """
    hidden = {"gold_spans"} | ({"group"} if data.protocol.startswith("paper") else set())
    with atomic_path(path) as partial, open(partial, "w", encoding="utf-8") as file:
        for split in SPLITS:
            for example in data.splits[split]:
                shown = {key: value for key, value in example.items() if key not in hidden}
                file.write(json.dumps({"split": split, **shown}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    run_cli(main)
