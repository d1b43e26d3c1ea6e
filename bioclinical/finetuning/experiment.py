"""One experiment of main.py: load the encoder, train unless that was done already, write one result."""

import argparse
import dataclasses
import sys
import time
from pathlib import Path

from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from bioclinical.encoders.adapters import add_adapter, freeze
from bioclinical.encoders.loading import load_model
from bioclinical.encoders.source import Source, load_config, model_identity
from bioclinical.files import exclusive, remove
from bioclinical.finetuning.identity import identify
from bioclinical.finetuning.lora_spec import LoraSpec, frozen_layers
from bioclinical.finetuning.run import Outcome, finetune
from bioclinical.finetuning.saved_model import TrainedFacts, check_target, refuse_unsaved_model, save_model
from bioclinical.finetuning.settings import Settings
from bioclinical.finetuning.trainer import NonFiniteError
from bioclinical.metrics.metric import Metric
from bioclinical.results.identity import Identity
from bioclinical.results.model_card import model_card
from bioclinical.results.store import Result, is_finished, read_result, store_label, write_result
from bioclinical.runtime import machine, provenance
from bioclinical.runtime.choice import Choice
from bioclinical.tasks.example import SPLITS
from bioclinical.tasks.gold_spans import ceiling_sentence, summed
from bioclinical.tasks.task import TaskData
from bioclinical.text.tokenization import choose_max_length, load_tokenizer, require_padding

SCHEMA = 2  # of result files; 1, without the key: no official metric, `config` without settings at their default


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What a run is made of, before its encoder is loaded."""

    source: Source
    config: PretrainedConfig
    tokenizer: PreTrainedTokenizerFast
    max_length: int
    choices: dict[str, Choice]
    identity: Identity

    @property
    def device(self) -> str:
        return self.choices["device"].value


def run(args: argparse.Namespace, settings: Settings, data: TaskData) -> Path:
    """The result's file. args: main.py's. Raises UserError where the encoder cannot be used or the run is taken."""
    prepared = prepare(args, settings, data)
    path = prepared.identity.path(Path(args.output_dir))
    busy = f"another process is working on this run ('{path}'); wait for it or change --seed"
    with exclusive(path.with_suffix(".lock"), busy):
        if not args.overwrite and is_finished(path):
            refuse_unsaved_model(args.save_model)
            store_label(path, args.model_label)
            print("this run is finished already (--overwrite repeats it)")
            return path
        if args.save_model:
            check_target(Path(args.save_model), Path(args.model), args.overwrite)
        model = load(prepared, settings, data)
        print_plan(data, prepared.choices)
        result = new_result(args, prepared.identity, settings, data, prepared.choices)
        result["parameters"] = model.num_parameters()
        limit_training(model, settings)
        result["trained_parameters"] = model.num_parameters(only_trainable=True)
        train_and_store(args, settings, model, prepared.tokenizer, data, prepared.max_length, result, path)
    return path


def prepare(args: argparse.Namespace, settings: Settings, data: TaskData) -> Prepared:
    """Reads the encoder's config and tokenizer and decides where and how to compute; writes nothing."""
    machine.use_one_gpu()
    source = Source(args.model, args.revision, args.trust_remote_code)
    device = machine.choose_device()
    choices: dict[str, Choice] = {"device": device, "dtype": machine.choose_precision(settings.precision, device.value)}
    config, tokenizer = load_config(source), load_tokenizer(source.name, **source.options)
    require_padding(tokenizer, args.model)
    if config.pad_token_id is None:
        config.pad_token_id = tokenizer.pad_token_id
    max_length, reason = choose_max_length(settings.max_length, tokenizer, config)
    choices["max_length"] = Choice(str(max_length), reason)
    identity = identify(source.name, model_identity(source, config), data, settings, max_length)
    return Prepared(source, config, tokenizer, max_length, choices, identity)


def load(prepared: Prepared, settings: Settings, data: TaskData) -> PreTrainedModel:
    """The encoder under a new head; adds the attention to the choices, before the length."""
    machine.seed_everything(settings.seed)
    data.problem.configure(prepared.config, data.labels)
    model, prepared.choices["attention"] = load_model(
        prepared.source,
        prepared.config,
        data.problem.head_class(prepared.config, prepared.source.name),
        settings.attn,
        prepared.device,
        settings.precision,
    )
    prepared.choices["max_length"] = prepared.choices.pop("max_length")
    return model


def limit_training(model: PreTrainedModel, settings: Settings) -> None:
    """Puts adapters in, or freezes layers, where that was asked for. Raises UserError where the network has no such."""
    whole = model.num_parameters()
    if settings.lora:
        spec = LoraSpec.parse(settings.lora)
        add_adapter(model, spec.r, spec.alpha, spec.dropout, spec.targets)
        print(f"adapters: {spec}")
    if settings.freeze:
        print(freeze(model, *frozen_layers(settings.freeze)))
    if settings.lora or settings.freeze:
        print(f"trained: {model.num_parameters(only_trainable=True):,} weights beside {whole:,} of the model")


def print_plan(data: TaskData, choices: dict[str, Choice]) -> None:
    """What is about to run, and why so."""
    print(
        f"{data.task.name}: "
        + ", ".join(f"{len(data.splits[split]):,} {split}" for split in SPLITS)
        + f", protocol {data.protocol}"
    )
    for warning in data.warnings:
        print(f"warning: {warning}")
    if sentence := ceiling_sentence(summed(data.splits["test"])):
        print(f"ceiling: {sentence}")
    for name, choice in choices.items():
        print(f"{name}: {choice}")


def new_result(
    args: argparse.Namespace,
    identity: Identity,
    settings: Settings,
    data: TaskData,
    choices: dict[str, Choice],
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
        "gold_spans": {split: summed(data.splits[split]) for split in SPLITS},
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
            operating_point=dataclasses.asdict(outcome.calibration.point) if outcome.calibration else None,
            texts=list(data.problem.texts(data.splits["train"][0])),
            base=base_of(args, result) if args.save_as == "adapter" else None,
        )
        card = model_card(read_result(path) | {"path": str(path)})
        save_model(model, tokenizer, facts, Path(args.save_model), card)
    remove(run_dir)
    print_scores(outcome, data)


def base_of(args: argparse.Namespace, result: Result) -> dict[str, str | None]:
    """The model that an adapter belongs to."""
    folder = Path(args.model)
    name = str(folder.resolve()) if folder.is_dir() else args.model
    return {"name": name, "revision": args.revision, "sha256": result["identity"]["model_sha256"]}


def finished_part(outcome: Outcome) -> Result:
    """The part of a result that a finished run adds."""
    calibrated = outcome.calibration is not None
    return {
        "status": "finished",
        "best_epoch": outcome.best_epoch,
        "metrics": {"validation": outcome.validation, "test": outcome.test, "baseline": outcome.baseline}
        | ({"more_baselines": outcome.more_baselines} if outcome.more_baselines else {}),
        "splits": outcome.sizes,
        "times_s": {name: round(seconds, 3) for name, seconds in outcome.times_s.items()},
        "train_tokens_per_s": round(outcome.train_tokens_per_s, 1),
        "peak_memory_bytes": outcome.peak_memory_bytes,
        "options": outcome.options,
        **({"calibration": dataclasses.asdict(outcome.calibration)} if calibrated else {}),
        **({"uncalibrated_test": outcome.uncalibrated} if calibrated else {}),
    }


def print_calibration(outcome: Outcome, scored: list[Metric]) -> None:
    """The operating point, what it reached where it was chosen, and the test scores without it."""
    found = outcome.calibration
    thresholds = "  ".join(f"{label} {least:.4g}" for label, least in found.point.thresholds.items())
    print(
        f"operating point chosen on validation: temperature {found.point.temperature:.3f}"
        + (f"; thresholds: {thresholds}" if thresholds else "")
    )
    for label, values in found.scores.items():
        print(f"validation, {label}: " + "  ".join(f"{name} {100 * value:.2f}" for name, value in values.items()))
    if not found.reached:
        print("warning: no threshold meets the condition on validation (for every label); the nearest one was taken")
    before = outcome.uncalibrated
    print(
        "test, uncalibrated: " + "  ".join(f"{metric.name} {metric.display(before[metric.name])}" for metric in scored)
    )


def print_scores(outcome: Outcome, data: TaskData) -> None:
    """Test scores, fractions in percent."""
    print(f"best epoch by validation {data.selection_metric.name}: {outcome.best_epoch:g}")
    scored = [metric for metric in data.metrics if metric.name in outcome.test]
    if outcome.calibration:
        print_calibration(outcome, scored)
    parts = {"test": outcome.test} | {f"test, {k}": part for k, part in outcome.test.get("by_part", {}).items()}
    for name, found in parts.items():
        print(f"{name}: " + "  ".join(f"{m.name} {m.display(found[m.name])}" for m in scored if m.name in found))
    counts = {k: v for k, v in outcome.test.items() if isinstance(v, int)}
    if counts:
        print("test: " + "  ".join(f"{name} {value:,}" for name, value in counts.items()))
    print(f"training: {outcome.train_tokens_per_s:,.0f} tokens/s, {outcome.times_s['training_steps']:.0f} s of steps")
