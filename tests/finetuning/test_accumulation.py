"""A step's gradient does not depend on how its examples are divided into micro-batches."""

import json
import shutil

import pytest
import torch
from accelerate import Accelerator

DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob")


@pytest.fixture
def gradients(monkeypatch, run_main, sample, tmp_path):
    """The gradients of the first step before they are clipped, of a run of main.py."""
    seen: list[list[torch.Tensor]] = []
    original = Accelerator.clip_grad_norm_

    def record(self, parameters, *args, **kwargs):
        parameters = list(parameters)
        seen.append([p.grad.detach().clone() for p in parameters if p.grad is not None])
        return original(self, parameters, *args, **kwargs)

    monkeypatch.setattr(Accelerator, "clip_grad_norm_", record)

    def get(model, dataset: str, micro: int, steps: int, loss: str) -> list[torch.Tensor]:
        seen.clear()
        code, _, err = run_main(
            *("--dataset", dataset, "--model", model, "--limit", 16, "--epochs", 1, "--batch_size", micro, "--loss", loss),
            *("--accumulation_steps", steps, "--data_dir", sample / "raw", "--output_dir", tmp_path / f"{micro}x{steps}"),
        )  # fmt: skip
        assert code == 0, err
        return seen[0]

    return get


@pytest.mark.parametrize(
    "family, dataset, loss",
    [
        ("modernbert", "ChemProt", "plain"),
        ("modernbert", "COS", "plain"),
        ("bert", "COS", "plain"),
        ("modernbert", "Phenotype", "plain"),
        ("bert", "COS", "weighted"),
    ],
)
def test_equal_batches_have_equal_gradients(gradients, tiny_model, tmp_path, family, dataset, loss):
    model = tmp_path / "model"
    shutil.copytree(tiny_model(family), model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | dict.fromkeys(DROPOUTS, 0.0)))
    whole = gradients(model, dataset, 16, 1, loss)
    for micro, steps in ((4, 4), (2, 8)):
        divided = gradients(model, dataset, micro, steps, loss)
        scale = max(float(g.abs().max()) for g in whole)
        assert max(float((a - b).abs().max()) for a, b in zip(whole, divided, strict=True)) < 1e-4 * scale
