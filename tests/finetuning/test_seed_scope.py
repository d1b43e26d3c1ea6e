"""What --seed decides: all that is random, or, as published, the new head alone."""

import json
from pathlib import Path

import pytest

from bioclinical.finetuning.trainer import GuardedTrainer
from bioclinical.problems.encoding import EXAMPLE_INDEX
from bioclinical.results.panel import panels


@pytest.fixture
def trained(monkeypatch, run_main, sample, tiny_model, tmp_path):
    """(order of the examples, the head's first weights, predictions, result) of a run of main.py."""
    seen: list[tuple[list[int], list]] = []
    original = GuardedTrainer.compute_loss

    def record(self, model, inputs, *args, **kwargs):
        if model.training:
            seen.append((inputs[EXAMPLE_INDEX].tolist(), model.classifier.weight.detach().flatten().tolist()))
        return original(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(GuardedTrainer, "compute_loss", record)

    def run(scope: str, seed: int) -> tuple[list[int], list[float], str, dict]:
        seen.clear()
        code, out, err = run_main(
            *("--dataset", "ChemProt", "--model", tiny_model("bert"), "--limit", 16, "--epochs", 1, "--batch_size", 4),
            *("--lr", "1e-2", "--seed", seed, "--seed_scope", scope),
            *("--data_dir", sample / "raw", "--output_dir", tmp_path / "outputs"),
        )
        assert code == 0, err
        path = Path(out.splitlines()[-1])
        result = json.loads(path.read_text()) | {"path": str(path)}
        order = [i for batch, _ in seen for i in batch]
        return order, seen[0][1], path.with_suffix(".predictions.jsonl").read_text(), result

    return run


def test_the_scope_decides_what_varies_and_is_part_of_the_run(trained):
    all_42, all_43, head_43 = (trained(*run) for run in (("all", 42), ("all", 43), ("head", 43)))
    assert all_42[1] != all_43[1] and all_42[0] != all_43[0]
    assert head_43[1] == all_43[1] and head_43[0] == all_42[0]  # the head of 43, shuffled as 42
    assert len({run[2] for run in (all_42, all_43, head_43)}) == 3
    (panel,) = panels([run[3] for run in (all_42, all_43, head_43)])
    assert {"seed_scope=head" in row.name: row.seeds for row in panel.rows} == {False: [42, 43], True: [43]}
