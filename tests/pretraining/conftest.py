"""A tiny pre-training set-up: MDS splits of the sample notes, a config, and runs in this process."""

import gc
from pathlib import Path

import numpy as np
import pytest
from pretraining_setup import CONFIGS, write_mds

from bioclinical.pretraining.recipe.load import load_recipe
from bioclinical.pretraining.recipe.schema import Recipe
from bioclinical.pretraining.training.run import run
from bioclinical.text.tokenization import load_tokenizer
from bioclinical.text.train_tokenizer import TokenizerSettings, save_tokenizer, train_tokenizer

# Every run collects garbage twice; looking through all that torch and Composer consist of takes half a second each time.
gc.collect()
gc.freeze()


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
        "global_train_batch_size": 4,
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


@pytest.fixture(scope="session")
def prepared(notes, tmp_path_factory):
    """family -> folder with a vocabulary of its own and the MDS mds/ (train/ and eval/) of the sample notes."""
    made: dict[str, Path] = {}

    def get(family: str) -> Path:
        if family not in made:
            root = tmp_path_factory.mktemp(family)
            settings = TokenizerSettings(family, 390)
            save_tokenizer(train_tokenizer(settings, lambda: notes[:100]), settings, root / "vocabulary", [])
            tokenizer = load_tokenizer(root / "vocabulary")
            end = [] if tokenizer.cls_token_id is not None else [tokenizer.eos_token_id]
            ids = [np.array(one[:126] + end, np.uint16) for one in tokenizer(notes[:100])["input_ids"]]
            for split, part in (("train", ids[:80]), ("eval", ids[80:])):
                samples = [{"input_ids": one} for one in part]
                write_mds(root / "mds" / split, {"input_ids": "ndarray:uint16"}, samples)
            made[family] = root
        return made[family]

    return get


@pytest.fixture(scope="session")
def miniature(prepared):
    """miniature(recipe, family, save_folder, key=value, ...): a recipe of configs/smoke on `prepared` data."""

    def get(name: str, family: str, save_folder: Path, **changes: object) -> Recipe:
        root = prepared(family)
        values = {
            "data_local": root / "mds", "tokenizer_name": root / "vocabulary", "save_folder": save_folder,
            "model.model_config.vocab_size": 448, "global_train_batch_size": 8, "log_to_console": "false",
            "load_path": "null", **changes,
        }  # fmt: skip
        return load_recipe(CONFIGS / "smoke" / f"{name}.yaml", [f"{key}={value}" for key, value in values.items()])

    return get
