"""A run of main.py without training: a causal model's likelihoods answer the test questions; the result is as any."""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from bioclinical.encoders.source import Source
from bioclinical.errors import RunFailed
from bioclinical.files import exclusive
from bioclinical.finetuning.experiment import new_result, print_plan
from bioclinical.finetuning.identity import identify
from bioclinical.finetuning.run import trivial_scores
from bioclinical.finetuning.settings import Settings
from bioclinical.inference.language_model import LanguageModel
from bioclinical.inference.likelihood import split_text
from bioclinical.problems.problem import scores
from bioclinical.problems.prompts import Prompt
from bioclinical.results.store import Result, is_finished, store_label, write_result
from bioclinical.runtime import machine
from bioclinical.tasks.task import TaskData


def run(args: argparse.Namespace, settings: Settings, data: TaskData) -> Path:
    """The result's file. args: main.py's. Raises UserError where the model cannot be used or the run is taken."""
    source = Source(args.model, args.revision, args.trust_remote_code)
    model = LanguageModel(source, settings.max_length, settings.precision, "--zero_shot")
    identity = identify(source.name, model.identity, data, settings, model.max_length)
    path = identity.path(Path(args.output_dir))
    with exclusive(path.with_suffix(".lock"), f"another process is working on this run ('{path}'); wait for it"):
        if not args.overwrite and is_finished(path):
            store_label(path, args.model_label)
            print("this run is finished already (--overwrite repeats it)")
            return path
        model.load(settings.attn)
        print_plan(data, model.choices)
        result = new_result(args, identity, settings, data, model.choices)
        answer_and_store(settings, model, data, result | {"parameters": model.model.num_parameters()}, path)
    return path


def answer_and_store(settings: Settings, model: LanguageModel, data: TaskData, result: Result, path: Path) -> None:
    """Answers the test questions and writes the result. Raises RunFailed for values that are not finite."""
    started, problem, test = time.perf_counter(), data.problem, data.splits["test"]
    prompts = problem.prompts(data.splits["train"][: settings.shots], test, settings.zero_shot)
    likelihoods, cut = prompt_likelihoods(model, prompts, settings.batch_size)
    for example, values in zip(test, likelihoods):
        if not all(map(math.isfinite, values)):
            raise RunFailed(f"the model gives non-finite likelihoods for example {example['id']}")
    predictions = problem.chosen_answers(test, prompts, likelihoods)
    found = scores(problem, data.metrics, predictions, data.labels, has_windows=True)
    baselines = trivial_scores(data)
    seconds = round(time.perf_counter() - started, 3)
    finished = {
        "status": "finished",
        "metrics": {"test": found, "baseline": baselines.pop(problem.baseline_name), "more_baselines": baselines},
        "splits": {"test": {"examples": len(test), "examples_cut": cut}},
        "times_s": {"test": seconds},
        "peak_memory_bytes": machine.peak_memory_bytes(model.device),
        "options": asdict(data.options(settings.options)),
    }
    write_result(path, result | finished, predictions)
    shown = [metric for metric in data.metrics if metric.name in found]
    print("test: " + "  ".join(f"{metric.name} {metric.display(found[metric.name])}" for metric in shown))
    print(f"{len(test):,} questions, {cut:,} of them cut on the left to {model.max_length:,} tokens, {seconds:.0f} s")


def prompt_likelihoods(
    model: LanguageModel, prompts: Sequence[Prompt], batch_size: int
) -> tuple[list[list[float]], int]:
    """For each prompt the log-likelihood of each answer; and how many prompts lost their beginning."""
    requests = [[split_text(model.tokenizer, prompt.text, text) for text in prompt.continuations] for prompt in prompts]
    flat = [request for own in requests for request in own]
    with tqdm(total=len(flat), unit="answer", mininterval=2, file=sys.stderr) as bar:
        found = iter(model.log_likelihoods(flat, batch_size, bar.update))
    cut = sum(any(request.is_cut(model.max_length) for request in own) for own in requests)
    return [[next(found) for _ in own] for own in requests], cut
