"""Tokens per second of this repository's pre-training against a plain Hugging Face Trainer, in turns in one run.

Same architecture, same documents, same tokens per step, fp32, as many threads as given. The plain side pads each batch
to its longest document, computes dense logits for every position (Hugging Face's ForMaskedLM with sdpa,
DataCollatorForLanguageModeling) and uses AdamW. Steps before --warmup are not counted. Real tokens are counted on both
sides. The sides take turns, --rounds times each, and the medians are compared.

python benchmarks/pretraining_speed.py --architecture roberta --texts notes.csv --tokenizer FOLDER --out FILE.json
"""

import argparse
import dataclasses
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from composer.core import Callback
from streaming import MDSWriter
from torch.utils.data import Dataset
from transformers import DataCollatorForLanguageModeling, Trainer, TrainerCallback, TrainingArguments

from bioclinical.errors import run_cli
from bioclinical.files import write_json
from bioclinical.pretraining.architectures import build_architecture
from bioclinical.pretraining.compute import Compute
from bioclinical.pretraining.recipe.load import load_recipe
from bioclinical.pretraining.recipe.schema import Recipe
from bioclinical.pretraining.training import run as pretraining_run
from bioclinical.runtime import provenance
from bioclinical.text.tokenization import load_tokenizer

CONFIGS = Path(__file__).resolve().parents[1] / "pretraining_resources" / "configs" / "smoke"
RECIPES = {"modernbert": "phase1.yaml", "roberta": "roberta.yaml"}
LONGEST = {"modernbert": 1024, "roberta": 512}
TOKENS_PER_STEP = 4096
# Documents; 8 is the default of transformers. ModernBERT's dense logits over 50,368 entries would take gigabytes.
PLAIN_BATCH = {"modernbert": 2, "roberta": 8}


class Clock(Callback):
    """Time and tokens after each of our steps."""

    def __init__(self):
        self.marks: list[tuple[float, int]] = []

    def batch_end(self, state, logger):
        self.marks.append((time.perf_counter(), state.timestamp.token.value))


class HFClock(TrainerCallback):
    """The same for the plain Trainer; the collator counts the tokens."""

    def __init__(self, counted: list[int]):
        self.counted, self.marks = counted, []

    def on_step_end(self, args, state, control, **_):
        self.marks.append((time.perf_counter(), sum(self.counted)))


class Texts(Dataset):
    def __init__(self, ids: list[list[int]]):
        self.ids = ids

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        return {"input_ids": self.ids[index]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", choices=RECIPES, default="modernbert")
    parser.add_argument("--texts", type=Path, required=True, help="CSV with a column 'notes'")
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    tokenizer = load_tokenizer(args.tokenizer)
    notes = pd.read_csv(args.texts, usecols=["notes"], dtype=str, keep_default_na=False)["notes"].tolist()
    ids = tokenizer(notes, truncation=True, max_length=LONGEST[args.architecture])["input_ids"]
    with tempfile.TemporaryDirectory() as scratch:
        recipe = write_recipe(Path(scratch), ids, args)
        ours, plain = [], []
        for number in range(args.rounds):
            own = dataclasses.replace(recipe, save_folder=f"{scratch}/run{number}")
            ours.append(measure(our_marks(own), args.warmup))
            plain.append(measure(plain_marks(recipe, tokenizer, ids, args.steps, Path(scratch)), args.warmup))
    ratio = statistics.median(a["tokens_per_s"] for a in ours) / statistics.median(b["tokens_per_s"] for b in plain)
    record = {
        "command": f"python benchmarks/pretraining_speed.py --architecture {args.architecture} --texts CSV "
                   f"--tokenizer FOLDER --steps {args.steps} --rounds {args.rounds}",
        "documents": len(ids), "tokens_per_document": {"mean": float(np.mean([len(one) for one in ids])),
                                                       "median": float(np.median([len(one) for one in ids]))},
        "threads": args.threads, "ours": ours, "plain": plain, "ratio_of_medians": ratio,
        "versions": provenance.installed_versions(), "hardware": provenance.hardware(),
        "git_commit": provenance.git_commit(),
    }  # fmt: skip
    print({key: record[key] for key in ("ours", "plain", "ratio_of_medians")})
    if args.out:
        write_json(args.out, record)


def write_recipe(scratch: Path, ids: list[list[int]], args: argparse.Namespace) -> Recipe:
    """The miniature recipe with a model of about 10 M weights beside its embeddings, over the documents as MDS."""
    for split, part in (("train", ids), ("eval", ids[:8])):
        with MDSWriter(out=str(scratch / split), columns={"input_ids": "ndarray:uint16"}) as writer:
            for one in part:
                writer.write({"input_ids": np.array(one, np.uint16)})
    longest = LONGEST[args.architecture]
    sequences = TOKENS_PER_STEP // longest
    vocabulary = -(-len(load_tokenizer(args.tokenizer)) // 64) * 64
    layers = {"modernbert": 13, "roberta": 12}[args.architecture]  # ModernBERT's is 1 more than a multiple of 3
    changes = {
        "data_local": scratch, "tokenizer_name": args.tokenizer, "load_path": "null", "max_seq_len": longest,
        "run_name": "speed", "save_folder": scratch / "run", "max_duration": f"{args.steps}ba",
        "eval_interval": "9999ba", "save_interval": "9999ba", "global_train_batch_size": sequences,
        "device_train_microbatch_size": sequences,
        "scheduler.t_warmup": "2ba", "optimizer.lr": 5e-4, "model.model_config.vocab_size": vocabulary,
        "model.model_config.num_hidden_layers": layers, "model.model_config.hidden_size": 256,
        "model.model_config.intermediate_size": 704, "model.model_config.num_attention_heads": 4,
    }  # fmt: skip
    return load_recipe(CONFIGS / RECIPES[args.architecture], [f"{key}={value}" for key, value in changes.items()])


def our_marks(config) -> list[tuple[float, int]]:
    clock, real = Clock(), pretraining_run.build_callbacks
    pretraining_run.build_callbacks = lambda *args: [*real(*args), clock]
    pretraining_run.run(config)
    return clock.marks


def plain_marks(config, tokenizer, ids, steps: int, scratch: Path) -> list[tuple[float, int]]:
    longest = config.train_loader.dataset.max_seq_len
    model = build_architecture(config.model, longest, tokenizer, Compute()).new_model(config.seed)
    batch = PLAIN_BATCH[config.model.architecture]
    per_step = max(1, round(TOKENS_PER_STEP / np.mean([len(one) for one in ids]) / batch))
    counted: list[int] = []
    collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=config.train_loader.dataset.mlm_probability)

    def counting(rows):
        batch = collate(rows)
        counted.append(int(batch["attention_mask"].sum()))
        return batch

    clock = HFClock(counted)
    arguments = TrainingArguments(
        output_dir=str(scratch / "plain"), max_steps=steps, per_device_train_batch_size=batch,
        gradient_accumulation_steps=per_step, learning_rate=5e-4,
        report_to="none", use_cpu=True, save_strategy="no", logging_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    Trainer(model, arguments, train_dataset=Texts(ids), data_collator=counting, callbacks=[clock]).train()
    return clock.marks


def measure(marks: list[tuple[float, int]], warmup: int) -> dict[str, float]:
    """Tokens per second from step `warmup` to the last, and the spread of single steps."""
    (start, tokens_before), (end, tokens) = marks[warmup - 1], marks[-1]
    seconds = [b[0] - a[0] for a, b in zip(marks[warmup - 1 :], marks[warmup:])]
    return {
        "steps": len(seconds), "tokens_per_step": (tokens - tokens_before) / len(seconds),
        "tokens_per_s": (tokens - tokens_before) / (end - start), "median_step_s": statistics.median(seconds),
    }  # fmt: skip


if __name__ == "__main__":
    run_cli(main)
