"""What the two measurements of the packed forward share: models, real lengths, interleaved timing, the record."""

import csv
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoTokenizer, ModernBertConfig

from bioclinical.errors import UserError
from bioclinical.files import write_json
from bioclinical.runtime.provenance import git_commit, hardware, installed_versions

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
SIDES = ("hf_sdpa_padded", "packed_banded_sdpa")


def base_config(layers: int) -> ModernBertConfig:
    """ModernBERT-base's shapes; every third layer global, as published."""
    return ModernBertConfig(num_hidden_layers=layers, attn_implementation="sdpa", reference_compile=False)


def note_lengths(longest: int, count: int, seed: int = 0) -> list[int]:
    """Token counts of randomly drawn real clinical notes, clipped."""
    data = Path(os.environ.get("BIOCLINICAL_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not data.is_dir():
        raise UserError(f"no real notes at '{data}'; set BIOCLINICAL_REAL_DATA to the folder that holds corpora/")
    with open(data / "corpora" / "clinical_notes.csv", encoding="utf-8", newline="") as file:
        notes = [row["notes"] for row in csv.DictReader(file)]
    tokenizer = AutoTokenizer.from_pretrained(next((data / "tokenizers").glob("*/tokenizer.json")).parent)
    order = torch.randperm(len(notes), generator=torch.Generator().manual_seed(seed))[:count].tolist()
    return [min(len(tokenizer(notes[i])["input_ids"]), longest) for i in order]


def padded_batch(lengths: list[int]) -> dict[str, torch.Tensor]:
    """Random tokens at the given lengths."""
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(5, 50_000, mask.shape, generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids * mask, "attention_mask": mask}


def interleaved(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each call, side by side: one warm-up each, then in turns, so that load on the machine hits both."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for repeat in range(repeats + 1):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            if repeat:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def compared(seconds: dict[str, list[float]], tokens: int) -> dict[str, object]:
    """Both sides' times, real tokens a second, and how many times faster the packed side is."""
    theirs, ours = (seconds[side] for side in SIDES)
    ratios = [slow / fast for slow, fast in zip(theirs, ours)]
    return {
        "seconds": {side: [round(s, 4) for s in values] for side, values in seconds.items()},
        "real_tokens_per_s": {side: round(tokens / statistics.median(seconds[side]), 1) for side in SIDES},
        "speed_up": round(statistics.median(ratios), 2),
        "speed_up_range": [round(min(ratios), 2), round(max(ratios), 2)],
    }


def write_record(name: str, settings: dict[str, object], results: list[dict[str, object]]) -> None:
    """Writes benchmarks/results/<name>.json with what is needed to repeat the measurement."""
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    about = {"command": command, "versions": installed_versions(), "hardware": hardware(), "git_commit": git_commit()}
    write_json(RESULTS / f"{name}.json", {**about, **settings, "results": results})
    print(f"wrote benchmarks/results/{name}.json")
