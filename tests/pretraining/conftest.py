"""A tiny pre-training set-up: MDS splits of the sample notes, a config, and runs in this process."""

from pathlib import Path

import numpy as np
import pytest
from pretraining_setup import CONFIGS, write_mds

from bioclinical.pretraining.recipe.load import load_recipe
from bioclinical.pretraining.recipe.schema import Recipe
from bioclinical.pretraining.training.run import run
from bioclinical.text.tokenization import load_tokenizer


@pytest.fixture(scope="session")
def mds(notes, tiny_model, tmp_path_factory) -> Path:
    """train/ (120 notes) and eval/ (20), tokenised by the tiny ModernBERT's tokenizer. Read only."""
    tokenizer = load_tokenizer(tiny_model())
    ids = [np.array(one, np.uint16) for one in tokenizer([note[:300] for note in notes[:140]])["input_ids"]]
    root = tmp_path_factory.mktemp("mds")
    for split, part in (("train", ids[:120]), ("eval", ids[120:])):
        write_mds(root / split, {"input_ids": "ndarray:uint16"}, [{"input_ids": one} for one in part])
    return root


@pytest.fixture(scope="session")
def overrides(mds, tiny_model) -> dict[str, object]:
    """What makes the miniature recipe still smaller: a model of 4 layers x 32, batches of 4 x 128 tokens, 8 steps."""
    return {
        "data_local": mds,
        "tokenizer_name": tiny_model(),
        "load_path": "null",
        "model.model_config.vocab_size": 504,
        "model.model_config.hidden_size": 32,
        "model.model_config.intermediate_size": 48,
        "max_seq_len": 128,
        "max_duration": "8ba",
        "eval_interval": "100ba",
        "save_interval": "4ba",
        "save_num_checkpoints_to_keep": -1,
        "scheduler.t_warmup": "2ba",
        "log_to_console": "false",
    }


@pytest.fixture
def tiny_config(overrides, tmp_path):
    """tiny_config(name, key=value, ...) -> config of a tiny run whose folder is tmp_path / name."""

    def get(name: str = "run", recipe: str = "smoke/phase1", **changes: object) -> Recipe:
        merged = {**overrides, "run_name": name, "save_folder": tmp_path / name}
        if "phase2" in recipe:
            merged.pop("scheduler.t_warmup")
        merged.update({key.replace("__", "."): value for key, value in changes.items()})
        return load_recipe(CONFIGS / f"{recipe}.yaml", [f"{key}={value}" for key, value in merged.items()])

    return get


@pytest.fixture
def train(tiny_config, tmp_path):
    """Runs a tiny config in this process; returns its folder."""

    def go(name: str = "run", **changes: object) -> Path:
        run(tiny_config(name, **changes))
        return tmp_path / name

    return go
