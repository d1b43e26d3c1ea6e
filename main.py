"""Fine-tunes an encoder on a downstream task, picks the best epoch by validation, tests once, writes one result.

python main.py --dataset ChemProt --model answerdotai/ModernBERT-base [--seed 42 ...]
"""

import argparse
import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from bioclinical.encoders import attention_choice
from bioclinical.encoders.loading import load_model
from bioclinical.encoders.source import Source, load_config, model_identity
from bioclinical.errors import UserError, run_cli
from bioclinical.files import make_folder, remove, write_json
from bioclinical.finetuning.run import Outcome, finetune
from bioclinical.finetuning.saved_model import TrainedFacts, check_target, save_model
from bioclinical.finetuning.settings import Settings
from bioclinical.finetuning.trainer import NonFiniteError
from bioclinical.results.identity import Identity
from bioclinical.results.store import Result, is_finished, read_result, write_result
from bioclinical.runtime import machine, provenance
from bioclinical.tasks.example import SPLITS
from bioclinical.tasks.loading import load_task
from bioclinical.tasks.recipes import RECIPES, recipe_for
from bioclinical.tasks.splits import PROTOCOLS, SPLIT_SEED, Protocol
from bioclinical.tasks.task import Task, TaskData
from bioclinical.text.tokenization import choose_max_length, load_tokenizer, require_padding
from dataloader import get_task

SCHEMA = 2  # of result files; 1, without the key: no official metric, `config` without settings at their default
LARGEST_NUMBER = 2**32  # NumPy takes no larger seed


def main() -> None:
    args = parse_args(sys.argv[1:])
    machine.use_one_gpu()
    settings = Settings(**{field.name: getattr(args, field.name) for field in dataclasses.fields(Settings)})
    source = Source(args.model, args.revision, args.trust_remote_code)
    task = get_task(args.dataset)
    device = machine.choose_device()
    dtype = machine.choose_precision(settings.precision, device.value)
    config, tokenizer = load_config(source), load_tokenizer(source.name, **source.options)
    require_padding(tokenizer, args.model)
    if config.pad_token_id is None:
        config.pad_token_id = tokenizer.pad_token_id
    max_length, reason = choose_max_length(settings.max_length, tokenizer, config)
    data = load_task(task, Path(args.data_dir), protocol_of(args, task))
    data = limited(data, settings.limit)
    data.options(settings.options)  # unknown ones end here
    if fault := data.problem.pooling_fault(settings.pooling, data.splits["train"]):
        raise UserError(f"--pooling {settings.pooling}: {task.name} {fault}")
    identity = identify(source, config, data, settings, max_length)
    path = identity.path(Path(args.output_dir))
    make_folder(path.parent)
    with exclusive(path):
        if not args.overwrite and is_finished(path):
            refuse_unsaved_model(args.save_model)
            store_label(path, args.model_label)
            print("this run is finished already (--overwrite repeats it)")
        else:
            if args.save_model:
                check_target(Path(args.save_model), Path(args.model), args.overwrite)
            machine.seed_everything(settings.seed)
            data.problem.configure(config, data.labels)
            model, attention = load_model(
                source, config, data.problem.auto_class, settings.attn, device.value, settings.precision
            )
            model = data.problem.adapt(model)
            choices = {"device": device, "dtype": dtype, "attention": attention}
            choices["max_length"] = machine.Choice(str(max_length), reason)
            print_plan(data, choices)
            result = new_result(args, identity, settings, data, choices) | {"parameters": model.num_parameters()}
            train_and_store(args, settings, model, tokenizer, data, max_length, result, path)
    print(path)


def identify(source: Source, config: PretrainedConfig, data: TaskData, settings: Settings, max_length: int) -> Identity:
    """What decides this run's scores."""
    return Identity(
        dataset=data.task.name,
        model=source.name,
        model_sha256=model_identity(source, config),
        raw_sha256=data.raw_sha256,
        protocol=data.protocol,
        settings=settings.identity() | {"max_length": max_length},
        seed=settings.seed,
    )


def protocol_of(args: argparse.Namespace, task: Task) -> Protocol:
    """The protocol asked for. Raises UserError where it would choose on the test fold without having been asked for."""
    if task.selects_on_test and args.protocol is None:
        raise UserError(
            f"the published code chooses its checkpoint on the test fold of {task.name}; say --protocol paper to do "
            "the same, or --protocol strict to choose on a tenth of the fold's train part"
        )
    return Protocol(args.protocol or "paper", args.split_seed, args.fold)


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Parses the command line; a pre-training YAML given by mistake is sent to the right script."""
    if argv and argv[0].endswith((".yaml", ".yml")):
        raise UserError(
            f"'{argv[0]}' is a pre-training config; run: cd pretraining_resources && composer main.py {argv[0]}"
        )
    default = Settings()
    parser = argparse.ArgumentParser(description="Fine-tune an encoder on a downstream task and write one result file.")
    parser.add_argument("--dataset", required=True, help="a task of dataloader.py --list (any case)")
    parser.add_argument("--model", required=True, help="hub id, or folder in Hugging Face layout")
    recipe = parser.add_argument_group("recipe (defaults as published)")
    recipe.add_argument("--lr", type=positive(float), default=default.lr, help="peak learning rate (default: 2e-5)")
    recipe.add_argument(
        "--wd", type=at_least_zero(float), default=default.wd, help="AdamW weight decay (default: 0.01)"
    )
    recipe.add_argument("--epochs", type=positive(int), default=default.epochs, help="default: 3")
    recipe.add_argument(
        "--seed", type=at_least_zero(int), default=default.seed, help="training seed (default: 42); splits stay"
    )
    recipe.add_argument(
        "--batch_size", type=positive(int), default=default.batch_size, help="examples a step (default: 16)"
    )
    recipe.add_argument(
        "--accumulation_steps", type=positive(int), default=default.accumulation_steps, help="default: 1"
    )
    recipe.add_argument(
        "--max_length", type=positive(int), help="tokens, special ones included (default: the tokenizer's)"
    )
    recipe.add_argument(
        "--warmup", type=at_least_zero(float), default=default.warmup, help="share of all steps, or steps (default: 0)"
    )
    recipe.add_argument("--eval_steps", type=positive(int), help="evaluate every N steps (default: every epoch)")
    recipe.add_argument("--recipe", choices=RECIPES, help="a published recipe's values in place of these defaults")
    recipe.add_argument("--protocol", choices=PROTOCOLS, help="default: paper, the published examples")
    recipe.add_argument("--fold", type=at_least_zero(int), metavar="K", help="one of a task's published folds")
    recipe.add_argument(
        "--split_seed", type=at_least_zero(int), default=SPLIT_SEED, help="of the strict protocol's split (default: 42)"
    )
    recipe.add_argument(
        "--pooling",
        choices=("head", "windows"),
        default=default.pooling,
        help="test texts longer than the context: their head (published, default) or the mean over windows",
    )
    recipe.add_argument(
        "--option",
        dest="options",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="setting of the kind of problem, e.g. doc_stride=64 for questions (docs/questions.md); repeatable",
    )
    speed = parser.add_argument_group("speed")
    speed.add_argument(
        "--precision", choices=("fp32", "bf16"), default=default.precision, help="default: fp32 (TF32 on GPU)"
    )
    speed.add_argument("--attn", choices=attention_choice.ATTENTION_CHOICES, default=default.attn, help="default: auto")
    speed.add_argument("--group_by_length", action="store_true", help="batches of similar length: faster, other order")
    speed.add_argument("--limit", type=positive(int), help="first N examples of each split, for a quick try")
    files = parser.add_argument_group("files")
    files.add_argument("--data_dir", default="data/raw", help="folder of the raw files' folders (default: data/raw)")
    files.add_argument("--output_dir", default="outputs", help="folder of the results (default: outputs)")
    files.add_argument("--resume", action="store_true", help="continue after the last completed epoch of a stopped run")
    files.add_argument("--overwrite", action="store_true", help="repeat a finished run, replace a saved model")
    files.add_argument("--save_model", metavar="DIR", help="keep the best epoch's model and tokenizer there")
    files.add_argument("--model_label", metavar="NAME", help="what tables call this model (default: its own name)")
    files.add_argument("--revision", help="branch, tag or commit of a hub model")
    files.add_argument("--trust_remote_code", action="store_true", help="run Python code that comes with a hub model")
    args = parser.parse_args(argv)
    if args.recipe:  # its values are defaults: what the command line says counts
        parser.set_defaults(**recipe_for(args.recipe, get_task(args.dataset)))
        args = parser.parse_args(argv)
    args.options = tuple(sorted(args.options))
    return args


def positive(number: type):
    """An argparse type: a number above zero."""

    def parse(text: str):
        value = number(text)
        if not 0 < value < LARGEST_NUMBER:
            raise argparse.ArgumentTypeError(f"{text} is not above zero, or too large")
        return value

    parse.__name__ = f"positive {number.__name__}"
    return parse


def at_least_zero(number: type):
    """An argparse type: zero or a positive number."""

    def parse(text: str):
        value = number(text)
        if not 0 <= value < LARGEST_NUMBER:
            raise argparse.ArgumentTypeError(f"{text} is below zero or too large")
        return value

    parse.__name__ = number.__name__
    return parse


def limited(data: TaskData, limit: int | None) -> TaskData:
    """The first N examples of each split."""
    return dataclasses.replace(data, splits={split: data.splits[split][:limit] for split in SPLITS})


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Holds the run's lock; raises UserError where another process works on the same run."""
    lock = FileLock(path.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(f"another process is working on this run ('{path}'); wait for it or change --seed") from error
    try:
        yield
    finally:
        lock.release()
        remove(path.with_suffix(".lock"))


def store_label(path: Path, label: str | None) -> None:
    """A label is no setting: a finished run takes a new one."""
    result = read_result(path)
    if label and result.get("model_label") != label:
        write_json(path, result | {"model_label": label})


def refuse_unsaved_model(folder: str | None) -> None:
    """A finished run keeps no weights, so a model asked for later needs the run again."""
    if folder and not Path(folder).exists():
        raise UserError(
            f"this run is finished and its weights were not kept; add --overwrite to train again for '{folder}'"
        )


def print_plan(data: TaskData, choices: dict[str, machine.Choice]) -> None:
    """What is about to run, and why so."""
    print(
        f"{data.task.name}: "
        + ", ".join(f"{len(data.splits[split]):,} {split}" for split in SPLITS)
        + f", protocol {data.protocol}"
    )
    for warning in data.warnings:
        print(f"warning: {warning}")
    for name, choice in choices.items():
        print(f"{name}: {choice}")


def new_result(
    args: argparse.Namespace,
    identity: Identity,
    settings: Settings,
    data: TaskData,
    choices: dict[str, machine.Choice],
) -> Result:
    """The part of a result that is known before training."""
    return {
        "schema": SCHEMA,
        "dataset": identity.dataset,
        "model": identity.model,
        "model_name": identity.model_name,
        "model_label": args.model_label,
        "revision": args.revision,
        "protocol": identity.protocol,
        "split_seed": args.split_seed,
        "fold": args.fold,
        "recipe": args.recipe,
        "seed": identity.seed,
        "status": "running",
        "config": dataclasses.asdict(settings) | identity.settings,
        "identity": {"model_sha256": identity.model_sha256, "raw_sha256": identity.raw_sha256, "group": identity.group},
        "problem": data.task.problem,
        "labels": list(data.labels),
        "negative_label": data.task.negative_label,
        "metric": data.metrics[0].name,
        "selection_metric": data.selection_metric.name,
        "metrics": {},
        "warnings": data.warnings,
        **{name: choice.value for name, choice in choices.items()},
        "reasons": {name: choice.reason for name, choice in choices.items()},
        "versions": provenance.installed_versions(),
        "hardware": provenance.hardware(),
        "git_commit": provenance.git_commit(),
        "command": sys.argv,
        "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def train_and_store(
    args: argparse.Namespace,
    settings: Settings,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    data: TaskData,
    max_length: int,
    result: Result,
    path: Path,
) -> None:
    """Runs, then writes the result and only then drops the checkpoints. A diverged run leaves a `failed` result."""
    run_dir = path.with_suffix(".run")
    try:
        outcome = finetune(model, tokenizer, data, settings, max_length, run_dir, result["device"], args.resume)
    except NonFiniteError as error:
        write_result(path, result | {"status": "failed", "failure": str(error)}, predictions=[])
        raise
    write_result(path, result | finished_part(outcome), outcome.predictions)
    if args.save_model:
        facts = TrainedFacts(
            dataset=data.task.name,
            protocol=data.protocol,
            problem=data.task.problem,
            max_length=max_length,
            token_pattern=data.token_pattern,
            pooling=settings.pooling,
            options=outcome.options,
            texts=list(data.problem.texts(data.splits["train"][0])),
        )
        save_model(model, tokenizer, facts, Path(args.save_model))
    remove(run_dir)
    print_scores(outcome, data)


def finished_part(outcome: Outcome) -> Result:
    """The part of a result that a finished run adds."""
    return {
        "status": "finished",
        "best_epoch": outcome.best_epoch,
        "metrics": {"validation": outcome.validation, "test": outcome.test, "baseline": outcome.baseline},
        "splits": outcome.sizes,
        "times_s": {name: round(seconds, 3) for name, seconds in outcome.times_s.items()},
        "train_tokens_per_s": round(outcome.train_tokens_per_s, 1),
        "peak_memory_bytes": outcome.peak_memory_bytes,
        "options": outcome.options,
    }


def print_scores(outcome: Outcome, data: TaskData) -> None:
    """Test scores, fractions in percent."""
    print(f"best epoch by validation {data.selection_metric.name}: {outcome.best_epoch:g}")
    scored = [metric for metric in data.metrics if metric.name in outcome.test]
    print("test: " + "  ".join(f"{metric.name} {metric.display(outcome.test[metric.name])}" for metric in scored))
    counts = {k: v for k, v in outcome.test.items() if isinstance(v, int)}
    if counts:
        print("test: " + "  ".join(f"{name} {value:,}" for name, value in counts.items()))
    print(f"training: {outcome.train_tokens_per_s:,.0f} tokens/s, {outcome.times_s['training_steps']:.0f} s of steps")


if __name__ == "__main__":
    run_cli(main)
