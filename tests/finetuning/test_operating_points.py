"""--calibrate and --operating_point through main.py, and what predict makes of the saved model."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from bioclinical import predict
from bioclinical.errors import run_cli

QUICK = ("--limit", 40, "--batch_size", 8, "--epochs", 1, "--lr", "2e-3")


@pytest.fixture
def common(sample, tiny_model, tmp_path):
    return ("--model", tiny_model("bert"), *QUICK, "--data_dir", sample / "raw", "--output_dir", tmp_path / "outputs")


@pytest.fixture
def run_predict(monkeypatch, capsys, sample, tmp_path):
    def run(model, name, *arguments):
        texts = tmp_path / "in.csv"
        texts.write_text("text\nthe chemical inhibits the gene\nno relation at all\n\n")
        output = tmp_path / f"{name}.jsonl"
        command = ["predict", "--model", model, "--input", texts, "--output", output, *arguments]
        monkeypatch.setattr(sys, "argv", list(map(str, command)))
        try:
            run_cli(predict.main)
            code = 0
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        rows = [json.loads(line) for line in output.read_text().splitlines()] if code == 0 else []
        return code, rows, captured.out + captured.err

    return run


def read(stdout: str) -> dict:
    return json.loads(Path(stdout.splitlines()[-1]).read_text())


def test_a_class_task_is_calibrated_saved_and_predicted(run_main, common, run_predict, tmp_path):
    arguments = ("--dataset", "chemprot", "--calibrate", "--operating_point", "recall@precision=0.3")
    code, out, err = run_main(*arguments, *common, "--save_model", tmp_path / "saved")
    assert code == 0 and "operating point chosen on validation: temperature" in out, err
    result = read(out)
    found = result["calibration"]
    assert set(found["point"]["thresholds"]) == {"false"} and found["decisions"] == 40
    assert set(result["uncalibrated_test"]) >= {"ece", "micro_f1_5"} and found["nll"][1] <= found["nll"][0]
    stored = json.loads((tmp_path / "saved" / "config.json").read_text())["bioclinical"]["operating_point"]
    assert stored == found["point"]

    code, rows, said = run_predict(tmp_path / "saved", "own")
    assert code == 0, said
    (tmp_path / "plain.json").write_text("{}")
    code, plain, said = run_predict(tmp_path / "saved", "plain", "--operating_point", tmp_path / "plain.json")
    assert code == 0 and plain[0]["probabilities"] != rows[0]["probabilities"], said
    (tmp_path / "never.json").write_text('{"thresholds": {"false": 1}}')
    _, never, _ = run_predict(tmp_path / "saved", "never", "--operating_point", tmp_path / "never.json")
    assert "false" not in {row["label"] for row in never}
    code, rows, said = run_predict(tmp_path / "saved", "unsure", "--abstain_below", "0.99")
    assert [row["label"] for row in rows] == ["[abstained]", "[abstained]", None]
    assert "2 of them with an abstention" in said

    (tmp_path / "other.json").write_text('{"thresholds": {"Drug": 0.4}}')
    code, _, said = run_predict(tmp_path / "saved", "x", "--operating_point", tmp_path / "other.json")
    assert code == 2 and "--operating_point is for other labels: 1 of its 1" in said
    (tmp_path / "broken.json").write_text("{")
    code, _, said = run_predict(tmp_path / "saved", "x", "--operating_point", tmp_path / "broken.json")
    assert code == 2 and "is no JSON file" in said
    shutil.copytree(tmp_path / "saved", tmp_path / "edited")
    config = json.loads((tmp_path / "edited" / "config.json").read_text())
    config["bioclinical"]["operating_point"]["thresholds"] = {"unheard": 0.5}
    (tmp_path / "edited" / "config.json").write_text(json.dumps(config))
    code, _, said = run_predict(tmp_path / "edited", "x")
    assert code == 2 and "config.json is for other labels" in said


@pytest.mark.parametrize("dataset", ["Phenotype", "COS"])
def test_several_labels_and_tags(run_main, common, dataset):
    code, out, err = run_main("--dataset", dataset, "--calibrate", *common)
    assert code == 0, err
    plain = run_main("--dataset", dataset, *common)
    result, other = read(out), read(plain[1])
    shared = set(result["uncalibrated_test"]) & set(other["metrics"]["test"])
    assert len(shared) > 3
    for name in shared:  # calibrating changes the test's decisions, nothing of the training
        assert result["uncalibrated_test"][name] == other["metrics"]["test"][name]
    if dataset == "COS":
        assert result["metrics"]["test"]["f1"] == other["metrics"]["test"]["f1"]  # a temperature moves no best tag


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("chemprot", "--operating_point", "recall@precision=0.9"), "add --calibrate"),
        (("chemprot", "--calibrate", "--operating_point", "f1"), "write recall@precision=0.95"),
        (("chemprot", "--calibrate", "--limit", "1"), "has 1 label(s) among its 1 validation examples; 2 are needed"),
    ],
)
def test_what_cannot_be_calibrated(run_main, common, arguments, message):
    code, _, err = run_main("--dataset", *common, *()) if not arguments else run_main(*common, "--dataset", *arguments)
    assert code == 2 and message in err and err.count("\n") == 1
