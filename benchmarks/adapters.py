"""Low-rank adapters beside full fine-tuning on NCBI-disease: step time, optimizer memory, saved size, score.

    python benchmarks/adapters.py --model FOLDER --data_dir data/raw --output FILE.json

Step times are taken in turns (full, adapters, full, adapters, ...) over the same batches in one process; then each side
is trained and tested once as main.py does it.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from bioclinical.encoders.loading import load_model
from bioclinical.encoders.source import Source, load_config
from bioclinical.errors import run_cli
from bioclinical.files import write_json
from bioclinical.finetuning.experiment import limit_training, run
from bioclinical.finetuning.run import coder_of
from bioclinical.finetuning.settings import Settings
from bioclinical.problems.encoding import EXAMPLE_INDEX
from bioclinical.results.store import read_result
from bioclinical.runtime import machine, provenance
from bioclinical.tasks.loading import load_task
from bioclinical.tasks.task import TaskData
from bioclinical.text.tokenization import load_tokenizer
from dataloader import get_task

SIDES = {"full": {"lr": 5e-4}, "adapters": {"lr": 3e-3, "lora": "r=8,alpha=16,dropout=0"}}
TURNS, STEPS = 3, 4


def main() -> None:
    parser = argparse.ArgumentParser(description="Adapters beside full fine-tuning.")
    parser.add_argument("--model", required=True, help="hub id or folder")
    parser.add_argument("--data_dir", default="data/raw")
    parser.add_argument("--limit", type=int, default=400, help="sentences of each split (default: 400)")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--output", required=True, help="JSON file to write")
    args = parser.parse_args()
    data = load_task(get_task("NCBI-disease"), Path(args.data_dir))
    data.splits = {name: examples[: args.limit] for name, examples in data.splits.items()}
    steps = [TimedSteps(args.model, data, Settings(**changes)) for changes in SIDES.values()]
    for _ in range(TURNS):
        for side in steps:
            side.take(STEPS)
    rows = {name: side.row() for name, side in zip(SIDES, steps)}
    for name, changes in SIDES.items():
        settings = Settings(epochs=args.epochs, limit=args.limit, **changes)
        rows[name] |= trained(args.model, data, settings)
        print(name, rows[name], flush=True)
    record = {
        "command": f"python benchmarks/adapters.py --model {Path(args.model).name} --limit {args.limit}",
        "task": "NCBI-disease",
        "batch_size": Settings().batch_size,
        "timed_steps": TURNS * STEPS,
        "rows": rows,
        "versions": provenance.installed_versions(),
        "hardware": provenance.hardware(),
    }
    write_json(Path(args.output), record)


class TimedSteps:
    """One side's model, optimizer and batches; steps are timed one by one after the first."""

    def __init__(self, name: str, data: TaskData, settings: Settings) -> None:
        config, tokenizer = load_config(Source(name)), load_tokenizer(name)
        data.problem.configure(config, data.labels)
        device = machine.choose_device().value
        self.model, _ = load_model(Source(name), config, data.problem.auto_class, "auto", device, "fp32")
        limit_training(self.model, settings)
        coder = coder_of(self.model, tokenizer, data, 512, settings)
        rows = data.problem.encode(coder, data.splits["train"]).features
        rows = [{k: v for k, v in row.items() if k != EXAMPLE_INDEX} for row in rows]
        self.batches = [rows[i : i + 16] for i in range(0, (1 + TURNS * STEPS) * 16, 16)]
        self.collate = data.problem.collator(coder)
        trained = [weight for weight in self.model.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=settings.lr)
        self.seconds: list[float] = []
        self.model.train()
        self.take(1)
        self.seconds.clear()

    def take(self, count: int) -> None:
        for _ in range(count):
            batch = self.collate(self.batches[len(self.seconds) % len(self.batches)])
            batch = {key: values.to(self.model.device) for key, values in batch.items()}
            started = time.perf_counter()
            self.model(**batch).loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            if self.model.device.type == "cuda":
                torch.cuda.synchronize()
            self.seconds.append(time.perf_counter() - started)

    def row(self) -> dict[str, float]:
        state = [v for own in self.optimizer.state.values() for v in own.values() if torch.is_tensor(v)]
        trained = sum(weight.numel() for weight in self.model.parameters() if weight.requires_grad)
        return {
            "trained_parameters": trained,
            "gradient_bytes": 4 * trained,
            "optimizer_bytes": sum(value.numel() * value.element_size() for value in state),
            "median_step_s": round(statistics.median(self.seconds), 4),
            "steps_s": [round(value, 3) for value in self.seconds],
        }


def trained(model: str, data: TaskData, settings: Settings) -> dict[str, float]:
    """Test scores of one run, its peak memory, and the bytes of what it saved."""
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "saved"
        args = argparse.Namespace(
            model=model,
            output_dir=folder,
            save_model=str(saved),
            save_as="adapter" if settings.lora else "model",
            revision=None,
            trust_remote_code=False,
            overwrite=True,
            resume=False,
            model_label=None,
            split_seed=42,
            fold=None,
            recipe=None,
        )
        result = read_result(run(args, settings, data))
        size = sum(path.stat().st_size for path in saved.glob("*.safetensors"))
    test = result["metrics"]["test"]
    return {
        "settings": settings.identity(),
        "f1": test["f1"],
        "precision": test["precision"],
        "recall": test["recall"],
        "saved_weight_bytes": size,
        "training_steps_s": result["times_s"]["training_steps"],
    }


if __name__ == "__main__":
    run_cli(main)
