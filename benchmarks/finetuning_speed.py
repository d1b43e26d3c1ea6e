"""Training speed of main.py's path against a plain Trainer script that pads every example to 512 tokens.

    python benchmarks/finetuning_speed.py --model FOLDER --data_dir data/raw [--steps 50] --output FILE.json

Both sides see the same examples in the same order with the same batch size, one after the other in one process.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from transformers import (
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bioclinical.encoders.loading import load_model
from bioclinical.encoders.source import Source, load_config
from bioclinical.errors import run_cli
from bioclinical.files import write_json
from bioclinical.finetuning.run import coder_of
from bioclinical.finetuning.settings import Settings
from bioclinical.finetuning.trainer import build_trainer
from bioclinical.runtime import machine, provenance
from bioclinical.tasks.loading import load_task
from bioclinical.text.tokenization import load_tokenizer
from dataloader import get_task


class Clock(TrainerCallback):
    """Times training steps after the first, which pays for warming up."""

    def on_step_end(self, args, state, control, **kwargs) -> None:
        if state.global_step == 1:
            self.started = time.perf_counter()
        self.finished = time.perf_counter()

    def steps_per_s(self, steps: int) -> float:
        return (steps - 1) / (self.finished - self.started)


def main() -> None:
    parser = argparse.ArgumentParser(description="main.py's training speed against padding to 512.")
    parser.add_argument("--model", required=True, help="hub id or folder")
    parser.add_argument("--data_dir", default="data/raw")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--output", required=True, help="JSON file to write")
    args = parser.parse_args()
    device = machine.choose_device().value
    data = load_task(get_task("ChemProt"), Path(args.data_dir))
    ours = time_ours(args.model, data, args.steps, device)
    plain = time_plain(args.model, data, args.steps, device)
    record = {
        "command": f"python benchmarks/finetuning_speed.py --steps {args.steps}",
        "model": Path(args.model).name,
        "steps": args.steps,
        "batch_size": 16,
        "main_py_steps_per_s": ours,
        "plain_trainer_padded_to_512_steps_per_s": plain,
        "ratio": ours / plain,
        "versions": provenance.installed_versions(),
        "hardware": provenance.hardware(),
    }
    write_json(Path(args.output), record)
    print(f"main.py {ours:.3f} steps/s, plain Trainer padded to 512 {plain:.3f} steps/s, ratio {ours / plain:.2f}")


def time_ours(name: str, data, steps: int, device: str) -> float:
    """Steps per second of the trainer that main.py builds."""
    config, tokenizer = load_config(Source(name)), load_tokenizer(name)
    data.problem.configure(config, data.labels)
    model, _ = load_model(Source(name), config, data.problem.head_class(config, name), "auto", device, "fp32")
    coder = coder_of(model, tokenizer, data, 512, Settings())
    train = data.problem.encode(coder, data.splits["train"])
    with tempfile.TemporaryDirectory() as folder:
        trainer = build_trainer(model, coder, data, train, train, Settings(), Path(folder), device)
        return timed(trainer, steps)


def time_plain(name: str, data, steps: int, device: str) -> float:
    """Steps per second of the script that most people would write."""
    tokenizer = load_tokenizer(name)
    model = AutoModelForSequenceClassification.from_pretrained(name, num_labels=len(data.labels))
    examples = data.splits["train"]
    encoded = tokenizer([e["text"] for e in examples], truncation=True, padding="max_length", max_length=512)
    rows = [
        {"input_ids": ids, "attention_mask": mask, "labels": data.labels.index(example["labels"])}
        for ids, mask, example in zip(encoded["input_ids"], encoded["attention_mask"], examples)
    ]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, per_device_train_batch_size=16, learning_rate=2e-5, report_to="none", use_cpu=device == "cpu"
        )
        return timed(Trainer(model, arguments, DataCollatorWithPadding(tokenizer), rows), steps)


def timed(trainer: Trainer, steps: int) -> float:
    """Runs the first steps only, without evaluation or saving."""
    clock = Clock()
    trainer.add_callback(clock)
    trainer.args.max_steps = steps
    trainer.args.eval_strategy = trainer.args.save_strategy = "no"
    trainer.args.load_best_model_at_end = False
    trainer.train()
    return clock.steps_per_s(steps)


if __name__ == "__main__":
    run_cli(main)
