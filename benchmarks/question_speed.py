"""How fast questions become windows, and scores of windows become answers, without the model between.

    python benchmarks/question_speed.py --questions COVID-QA.json --tokenizer FOLDER --output FILE.json

Encoding: a file in SQuAD's form, at several lengths. Selection: 10,000 invented questions over contexts of 300 words
with random scores, from the outputs of the windows to predictions with their exact match and F1. Rates are by seconds
of processor time, which other work on the machine does not lengthen; both clocks are recorded.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bioclinical.arguments import positive
from bioclinical.errors import run_cli
from bioclinical.files import write_json
from bioclinical.problems.encoding import Coder
from bioclinical.problems.span_answer import SpanAnswer, SpanOptions
from bioclinical.runtime import provenance
from bioclinical.tasks.example import Example
from bioclinical.tasks.readers.squad import read_squad
from bioclinical.text.tokenization import load_tokenizer

LENGTHS = (384, 512, 1024, 8192)
SELECTION_LENGTH = 384
WORDS = ("patient", "fever", "aspirin", "insulin", "stable", "overnight", "dose", "mg", "daily", "discharged")


def main() -> None:
    args = parse_args()
    examples = read_squad(Path(args.questions))
    tokenizer = load_tokenizer(args.tokenizer)
    encoding = [encoding_speed(tokenizer, examples, length, args.repeats) for length in LENGTHS]
    selection = selection_speed(tokenizer, args.count, args.repeats)
    write_json(
        Path(args.output),
        {
            "command": f"python benchmarks/question_speed.py --count {args.count} --repeats {args.repeats}",
            "tokenizer": Path(args.tokenizer).name,
            "encoding": encoding,
            "selection": selection,
            "versions": provenance.installed_versions(),
            "hardware": provenance.hardware(),
        },
    )
    for row in encoding:
        print(
            f"{row['max_length']:>5} tokens: {row['windows']:,} windows, {row['questions_per_s']:,.0f} questions/s, "
            f"{row['documents_per_s']:,.1f} documents/s"
        )
    count, windows = selection["questions"], selection["windows"]
    print(f"selection: {count:,} questions, {windows:,} windows, {selection['median_cpu_s']:.2f} s of processor time")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speed of encoding questions and of selecting answers.")
    parser.add_argument("--questions", required=True, help="a file in SQuAD's form")
    parser.add_argument("--tokenizer", required=True, help="hub id or folder")
    parser.add_argument("--count", type=positive(int), default=10_000, help="invented questions (default: 10000)")
    parser.add_argument("--repeats", type=positive(int), default=3, help="the median is reported (default: 3)")
    parser.add_argument("--output", required=True, help="JSON file to write")
    return parser.parse_args()


def coder_of(tokenizer: Any, length: int) -> Coder:
    arguments = frozenset(("input_ids", "attention_mask", "token_type_ids"))
    return Coder(tokenizer, length, arguments, (), SpanOptions(no_answer=True, null_threshold=0.0))


def encoding_speed(tokenizer: Any, examples: list[Example], length: int, repeats: int) -> dict[str, Any]:
    """Questions and distinct contexts (documents) a second, tokenisation included."""
    problem, coder, seconds = SpanAnswer(), coder_of(tokenizer, length), []
    for _ in range(repeats):
        taken, split = timed(lambda: problem.encode(coder, examples))
        seconds.append(taken)
    documents = len({example["context"] for example in examples})
    return {
        "max_length": length,
        "questions": len(examples),
        "documents": documents,
        "windows": len(split.features),
        **both_clocks(seconds),
        "questions_per_s": len(examples) / cpu_s(seconds),
        "documents_per_s": documents / cpu_s(seconds),
    }


def timed(work: Callable[[], Any]) -> tuple[tuple[float, float], Any]:
    """Seconds of wall clock and of processor time, and what came of the work."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return (time.perf_counter() - wall, time.process_time() - cpu), found


def both_clocks(seconds: list[tuple[float, float]]) -> dict[str, list[float]]:
    return {"wall_s": [wall for wall, _ in seconds], "cpu_s": [cpu for _, cpu in seconds]}


def cpu_s(seconds: list[tuple[float, float]]) -> float:
    return median(cpu for _, cpu in seconds)


def selection_speed(tokenizer: Any, count: int, repeats: int) -> dict[str, Any]:
    """Seconds from windows' scores to predictions."""
    problem, coder, rng = SpanAnswer(), coder_of(tokenizer, SELECTION_LENGTH), np.random.default_rng(0)
    split = problem.encode(coder, invented(count))
    outputs = [rng.normal(size=(2, len(row["input_ids"]))).astype(np.float32) for row in split.features]
    seconds = []
    for _ in range(repeats):
        seconds.append(timed(lambda: problem.predictions(coder, split, outputs))[0])
    return {
        "questions": count,
        "windows": len(split.features),
        "max_length": SELECTION_LENGTH,
        **both_clocks(seconds),
        "median_cpu_s": cpu_s(seconds),
    }


def invented(count: int) -> list[Example]:
    """Questions to a hundred contexts, every other one with an answer."""
    rng = random.Random(0)
    contexts = [" ".join(rng.choices(WORDS, k=300)) for _ in range(100)]
    return [
        {
            "id": str(i),
            "question": "which drug was given",
            "context": (context := contexts[i % len(contexts)]),
            "answers": [{"text": context.split()[0], "start": 0}] if i % 2 else [],
        }
        for i in range(count)
    ]


if __name__ == "__main__":
    run_cli(main)
