"""Averages of checkpoints: golden weights, equality with a decayed run, files that start a phase and are exported."""

import sys

import numpy as np
import pytest
import torch
from pretraining_setup import CONFIGS
from repository import ROOT

from bioclinical.checkpoints.average import DECAYS, average, decay_weights, in_span, largest, ties
from bioclinical.checkpoints.export import export
from bioclinical.checkpoints.read import load_checkpoint
from bioclinical.errors import run_cli
from bioclinical.pretraining.recipe.load import load_recipe
from bioclinical.pretraining.training.evaluation import evaluate

sys.path.append(str(ROOT / "pretraining_resources"))
import average_checkpoints

GOLDEN = {
    "linear": [0.2] * 5,
    "one_minus_sqrt": [0.4472, 0.1852, 0.1421, 0.1198, 0.1056],
    "cosine": [0.0955, 0.25, 0.309, 0.25, 0.0955],
}


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs the script in this process: (exit code, stdout, stderr)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["average_checkpoints.py", *map(str, arguments)])
        try:
            run_cli(average_checkpoints.main)
            code = 0
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_the_script_offers_every_decay():
    assert set(average_checkpoints.DECAY_NAMES) == set(DECAYS)


@pytest.mark.parametrize("decay", GOLDEN)
def test_published_weights(decay):
    assert decay_weights([100, 200, 300, 400, 500], decay) == pytest.approx(GOLDEN[decay], abs=5e-5)


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("clocks", [[10, 20, 30, 40], [5, 6, 30, 31, 100]], ids=["even", "uneven"])
def test_the_average_of_a_linear_losss_run_is_the_decayed_run(clocks, decay):
    """SGD on a loss whose gradients do not depend on the weights: here averaging and decay are the same thing."""
    rng = np.random.default_rng(0)
    start, updates = rng.normal(size=8), rng.normal(size=(len(clocks) - 1, 8))
    constant = np.vstack([start, start + updates.cumsum(axis=0)])
    whole = (clocks[-1] - clocks[0]) * len(clocks) / (len(clocks) - 1)
    scales = [DECAYS[decay]((clock - clocks[0]) / whole) for clock in clocks[1:]]
    decayed = start + (np.array(scales)[:, None] * updates).sum(axis=0)
    weights = decay_weights(clocks, decay)
    assert sum(weights) == pytest.approx(1) and min(weights) >= 0
    np.testing.assert_allclose(np.array(weights) @ constant, decayed, rtol=1e-12)


def test_a_runs_checkpoints_become_one_that_is_scored_exported_and_starts_a_phase(
    train, tiny_model, tmp_path, command, overrides
):
    run = train(max_duration="6ba", save_interval="2ba")
    out = tmp_path / "average.pt"
    held_out = (CONFIGS / "smoke/phase2.yaml", *(f"{key}={value}" for key, value in overrides.items()
                if key in ("data_local", "tokenizer_name", "max_seq_len")))  # fmt: skip
    code, printed, err = command(
        run, "--decay", "linear", "--span", "1_000_000tok", "--out", out, "--evaluate", *held_out
    )
    assert code == 0 and printed.count("-rank0.pt") == 6, err
    header, *rows = printed[printed.rindex("LanguageCrossEntropy") :].splitlines()
    assert header.split() == ["LanguageCrossEntropy", "LanguagePerplexity", "MaskedAccuracy", "masked_tokens", "model"]
    scores = {row.split()[-1]: float(row.split()[0]) for row in rows}
    assert len(rows) == 4 and rows[-1].endswith(str(out)) and len({row.split()[3] for row in rows}) == 1
    recipe = load_recipe(held_out[0], list(held_out[1:]))
    assert scores[str(out)] == pytest.approx(evaluate(recipe, str(out))["LanguageCrossEntropy"], abs=5e-5)
    paths, clocks = in_span(run, 1_000_000)
    sources, weights = [load_checkpoint(path).weights for path in paths], decay_weights(clocks, "linear")
    assert len(paths) == 3 and clocks == sorted(clocks)
    ours = load_checkpoint(out).weights
    assert ours.keys() == sources[0].keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, sum(w * one[name] for w, one in zip(weights, sources)), rtol=1e-5, atol=1e-6)
    assert ours["decoder.weight"].data_ptr() == ours["model.embeddings.tok_embeddings.weight"].data_ptr()
    assert export(out, tmp_path / "hf", str(tiny_model()), None, False) < 1e-4
    train("second", recipe="smoke/phase2", load_path=out, load_weights_only="true", max_duration="1ba")


def save(path, **tensors):
    torch.save({"state": {"model": {f"model.{name}": tensor for name, tensor in tensors.items()}}}, path)
    return path


def test_ties_keeps_the_largest_changes_and_those_that_agree(tmp_path):
    base = save(tmp_path / "base.pt", w=torch.zeros(4), steps=torch.tensor(3))
    first = save(tmp_path / "a.pt", w=torch.tensor([4.0, -3.0, 0.1, 2.0]), steps=torch.tensor(3))
    second = save(tmp_path / "b.pt", w=torch.tensor([2.0, 1.0, 0.1, -5.0]), steps=torch.tensor(3))
    merged = ties(base, [first, second], keep=0.75)
    # The smallest quarter of each is dropped; signs of the sums: +, -, 0, -.
    assert merged["w"].tolist() == [3.0, -3.0, 0.0, -5.0] and merged["steps"] == 3
    assert largest(torch.tensor([1.0, -2.0, 3.0]), keep=0.01).tolist() == [0.0, 0.0, 3.0]


def test_half_precision_is_summed_in_fp32(tmp_path):
    files = [save(tmp_path / f"{i}.pt", w=torch.full((2,), 1 + i / 128, dtype=torch.bfloat16)) for i in range(3)]
    assert average(files, [0.5, 0.3, 0.2])["w"].tolist() == pytest.approx([1 + 0.3 / 128 + 0.4 / 128] * 2, abs=1e-7)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("A", "B", "--weights", "0.5,0.4"), "they sum to 0.9; they must sum to 1"),
        (("A", "B", "--weights", "1"), "1 weights for 2 checkpoints"),
        (("A", "OTHER"), "are not of one architecture: w is (3,) and (2,)"),
        (("A",), "give two .pt files or more"),
        (("A", "B", "--decay", "linear", "--span", "5tok"), "--decay takes one run's folder"),
        (("EMPTY", "--decay", "linear", "--span", "5tok"), "holds no checkpoints"),
        (("EMPTY", "--decay", "linear"), "--decay and --span go together"),
        (("EMPTY", "--decay", "linear", "--span", "5"), "'5' is no number of tokens"),
        (("A", "missing.pt"), "there is no checkpoint 'missing.pt'"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, command, arguments, message):
    (tmp_path / "empty").mkdir()
    places = {
        "A": save(tmp_path / "a.pt", w=torch.zeros(2)),
        "B": save(tmp_path / "b.pt", w=torch.zeros(2)),
        "OTHER": save(tmp_path / "other.pt", w=torch.zeros(3)),
        "EMPTY": tmp_path / "empty",
    }
    code, _, err = command(*(places.get(a, a) for a in arguments), "--out", tmp_path / "out.pt")
    assert code == 2 and message in err and "Traceback" not in err
    assert not (tmp_path / "out.pt").exists()


def test_one_checkpoint_in_the_span_is_refused(train, tmp_path, command):
    run = train(max_duration="2ba", save_interval="2ba")
    code, _, err = command(run, "--decay", "linear", "--span", "1tok", "--out", tmp_path / "out.pt")
    assert code == 2 and "1 checkpoint(s) in the span; averaging needs two or more" in err
