"""Fine-tunes an encoder on a downstream task, picks the best epoch by validation, tests once, writes one result.

python main.py --dataset ChemProt --model answerdotai/ModernBERT-base [--seed 42 ...]
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from bioclinical.arguments import at_least_zero, fraction, positive
from bioclinical.encoders.attention_names import ATTENTION_CHOICES
from bioclinical.encoders.stored import stored_encoder
from bioclinical.errors import UserError, run_cli
from bioclinical.finetuning.identity import identify
from bioclinical.finetuning.lora_spec import LoraSpec, frozen_layers
from bioclinical.finetuning.saved_model import refuse_unsaved_model
from bioclinical.finetuning.settings import SEED_SCOPES, Settings
from bioclinical.problems.losses import LOSSES
from bioclinical.problems.prompts import FORMS
from bioclinical.results.store import is_finished, store_label
from bioclinical.tasks.example import SPLITS
from bioclinical.tasks.loading import load_task
from bioclinical.tasks.recipes import RECIPES, recipe_for
from bioclinical.tasks.splits import PROTOCOLS, SPLIT_SEED, Protocol
from bioclinical.tasks.task import Task, TaskData
from dataloader import get_task

LARGEST_SEED = 2**32 - 1  # of NumPy


def main() -> None:
    args = parse_args(sys.argv[1:])
    settings = Settings(**{field.name: getattr(args, field.name) for field in dataclasses.fields(Settings)})
    task = get_task(args.dataset)
    data = load_task(task, Path(args.data_dir), protocol_of(args, task))
    data = limited(data, settings.limit)
    data.options(settings.options)  # unknown ones end here
    if fault := data.problem.pooling_fault(settings.pooling, data.splits["train"]):
        raise UserError(f"--pooling {settings.pooling}: {task.name} {fault}")
    if settings.loss not in data.problem.losses:
        raise UserError(
            f"--loss {settings.loss}: {task.name} is trained by {', '.join(data.problem.losses)} ({task.problem})"
        )
    check_calibration(settings, data)
    if settings.zero_shot or settings.shots:
        check_zero_shot(args, settings, data)
    if args.explain:
        from bioclinical.finetuning.explain import explain

        explain(args, settings, data)
        return
    path = None if args.overwrite else finished_run(args, settings, data)
    if path is None:
        path = run_of(settings)(args, settings, data)
    else:
        print("this run is finished already (--overwrite repeats it)")
    print(path)


def check_calibration(settings: Settings, data: TaskData) -> None:
    """Raises UserError where no operating point can be chosen, or only one on the test."""
    aim = settings.aim
    if aim and not settings.calibrate:
        raise UserError(
            f"--operating_point {settings.operating_point} is what thresholds are chosen for; add --calibrate"
        )
    if not settings.calibrate:
        return
    if data.task.selects_on_test and data.protocol.startswith("paper"):
        raise UserError(f"--calibrate: validation is the test fold of {data.task.name}; add --protocol strict")
    if fault := data.problem.calibration_fault(data.splits["validation"], aim, data.task.negative_label):
        raise UserError(f"--calibrate: {data.task.name} {fault}")


def run_of(settings: Settings) -> Callable[[argparse.Namespace, Settings, TaskData], Path]:
    """What makes a result: a training, or a model as it is. Imports torch and transformers."""
    if settings.zero_shot:
        from bioclinical.finetuning import zero_shot

        return zero_shot.run
    from bioclinical.finetuning import experiment

    return experiment.run


def check_zero_shot(args: argparse.Namespace, settings: Settings, data: TaskData) -> None:
    """Raises UserError for what a run without training cannot do."""
    if not settings.zero_shot:
        raise UserError(f"--shots {settings.shots} shows examples to a model that is not trained; add --zero_shot")
    forms = data.problem.zero_shot_forms
    if settings.zero_shot not in forms:
        raise UserError(f"--zero_shot is for multiple_choice; {data.task.name} ({data.task.problem}) needs a training")
    if wrong := settings.of_training or [name for name in ("save_model", "resume", "explain") if getattr(args, name)]:
        raise UserError(f"--zero_shot trains nothing; leave out {', '.join(f'--{name}' for name in wrong)}")
    if settings.shots > (there := len(data.splits["train"])):
        raise UserError(f"--shots {settings.shots}: the training split has {there:,} examples here")


def finished_run(args: argparse.Namespace, settings: Settings, data: TaskData) -> Path | None:
    """The result of this run where it is finished and the encoder's files alone say so.

    Raises UserError where a model was asked for that was not kept.
    """
    stored = stored_encoder(args.model, args.revision, settings.max_length)
    if stored is None:
        return None
    path = identify(args.model, stored[0], data, settings, stored[1]).path(Path(args.output_dir))
    if not is_finished(path):
        return None
    refuse_unsaved_model(args.save_model)
    store_label(path, args.model_label)
    return path


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
    parser.add_argument(
        "--explain", action="store_true", help="print data, steps, tokens, time and memory of the run; train nothing"
    )
    recipe = parser.add_argument_group("recipe (defaults as published)")
    recipe.add_argument("--lr", type=positive(float), default=default.lr, help="peak learning rate (default: 2e-5)")
    recipe.add_argument(
        "--wd", type=at_least_zero(float), default=default.wd, help="AdamW weight decay (default: 0.01)"
    )
    recipe.add_argument("--epochs", type=positive(int), default=default.epochs, help="default: 3")
    seed = at_least_zero(int, LARGEST_SEED)
    recipe.add_argument("--seed", type=seed, default=default.seed, help="training seed (default: 42); splits stay")
    recipe.add_argument(
        "--seed_scope",
        choices=SEED_SCOPES,
        default=default.seed_scope,
        help="what the seed decides: all that is random (default), or as published the new head alone",
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
    recipe.add_argument(
        "--layer_decay",
        type=fraction,
        default=default.layer_decay,
        help="learning rate of a layer over that of the next (ELECTRA: 0.8; default: 1, all alike)",
    )
    recipe.add_argument(
        "--lora",
        type=lambda text: str(LoraSpec.parse(text)),
        metavar="r=8[,...]",
        help="train low-rank adapters: r=8,alpha=16,dropout=0.05,targets=query+value (docs/adapters.md)",
    )
    recipe.add_argument("--freeze", metavar="LAYERS", help="not trained, such as embeddings,0-11")
    recipe.add_argument(
        "--loss",
        choices=LOSSES,
        default=default.loss,
        help="plain (default), weighted by how rare a label is, or focal (docs/operating_points.md)",
    )
    recipe.add_argument(
        "--patience",
        type=positive(int),
        metavar="N",
        help="stop after N evaluations without a better one (default: no)",
    )
    recipe.add_argument(
        "--calibrate", action="store_true", help="a temperature, and thresholds of labels, chosen on validation"
    )
    recipe.add_argument(
        "--operating_point",
        metavar="AIM",
        help="what --calibrate chooses thresholds for: recall@precision=0.95, or the reverse (default: F1)",
    )
    recipe.add_argument("--eval_steps", type=positive(int), help="evaluate every N steps (default: every epoch)")
    recipe.add_argument("--recipe", choices=RECIPES, help="a published recipe's values in place of these defaults")
    recipe.add_argument("--protocol", choices=PROTOCOLS, help="default: paper, the published examples")
    recipe.add_argument("--fold", type=at_least_zero(int), metavar="K", help="one of a task's published folds")
    recipe.add_argument("--split_seed", type=seed, default=SPLIT_SEED, help="of the strict split (default: 42)")
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
    untrained = parser.add_argument_group("without training")
    untrained.add_argument(
        "--zero_shot",
        nargs="?",
        const=FORMS[0],
        choices=FORMS,
        help="choices by a causal model's likelihoods: of the options' letters (default) or their texts",
    )
    untrained.add_argument(
        "--shots",
        type=at_least_zero(int),
        default=default.shots,
        help="the first N training examples stand, answered, before each question (default: 0)",
    )
    speed = parser.add_argument_group("speed")
    speed.add_argument(
        "--precision", choices=("fp32", "bf16"), default=default.precision, help="default: fp32 (TF32 on GPU)"
    )
    speed.add_argument("--attn", choices=ATTENTION_CHOICES, default=default.attn, help="default: auto")
    speed.add_argument("--group_by_length", action="store_true", help="batches of similar length: faster, other order")
    speed.add_argument("--limit", type=positive(int), help="first N examples of each split, for a quick try")
    files = parser.add_argument_group("files")
    files.add_argument("--data_dir", default="data/raw", help="folder of the raw files' folders (default: data/raw)")
    files.add_argument("--output_dir", default="outputs", help="folder of the results (default: outputs)")
    files.add_argument("--resume", action="store_true", help="continue after the last completed epoch of a stopped run")
    files.add_argument("--overwrite", action="store_true", help="repeat a finished run, replace a saved model")
    files.add_argument("--save_model", metavar="DIR", help="keep the best epoch's model and tokenizer there")
    files.add_argument(
        "--save_as",
        choices=("model", "adapter"),
        default="model",
        help="with --lora: merged (default), or the adapter alone",
    )
    files.add_argument("--model_label", metavar="NAME", help="what tables call this model (default: its own name)")
    files.add_argument("--revision", help="branch, tag or commit of a hub model")
    files.add_argument("--trust_remote_code", action="store_true", help="run Python code that comes with a hub model")
    args = parser.parse_args(argv)
    if args.recipe:  # its values are defaults: what the command line says counts
        parser.set_defaults(**recipe_for(args.recipe, get_task(args.dataset)))
        args = parser.parse_args(argv)
    check_adapters(args)
    args.options = tuple(sorted(args.options))
    return args


def check_adapters(args: argparse.Namespace) -> None:
    """Raises UserError for a combination that cannot be."""
    if args.freeze:
        frozen_layers(args.freeze)
    if args.lora and args.freeze:
        raise UserError("--lora trains nothing but the adapters and the head; leave out --freeze")
    if args.save_as == "adapter" and not (args.lora and args.save_model):
        raise UserError("--save_as adapter saves the adapters of --lora to the folder of --save_model; give both")
    if args.lora and find_spec("peft") is None:
        raise UserError("--lora needs peft; install it with: pip install 'bioclinical[adapters]'")


def limited(data: TaskData, limit: int | None) -> TaskData:
    """The first N examples of each split."""
    return dataclasses.replace(data, splits={split: data.splits[split][:limit] for split in SPLITS})


def command() -> None:
    """The console command bioclinical-finetune."""
    run_cli(main)


if __name__ == "__main__":
    command()
