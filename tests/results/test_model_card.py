"""Model cards: the hub's own parser reads them, they hold the result's numbers and none of the data's text."""

import json

from huggingface_hub import ModelCard
from invented_results import identity, run_results, single_label_run, store_tokens

from bioclinical.results.model_card import model_card
from bioclinical.results.store import read_predictions, read_result, write_result


def stored(folder, share=0.7):
    """One finished run as main.py writes it, with its path."""
    who = identity(42)
    result, predictions = single_label_run(who, share)
    result |= {
        "best_epoch": 2,
        "splits": {"test": {"examples": 120, "tokens": 2400, "examples_cut": 3}},
        "parameters": 1000,
        "trained_parameters": 10,
        "calibration": {
            "point": {"temperature": 1.5, "thresholds": {"false": 0.4}},
            "decisions": 80,
            "scores": {"all but false": {"precision": 0.9, "recall": 0.5, "f1": 0.64}},
        },
        "uncalibrated_test": {"ece": 0.25},
        "hardware": {"cpu": "a processor", "gpus": []},
        "versions": {"torch": "2.7.0"},
    }
    write_result(who.path(folder), result, predictions)
    return read_result(who.path(folder)) | {"path": str(who.path(folder))}


def test_the_hub_reads_the_card(tmp_path):
    result = stored(tmp_path)
    card = ModelCard(model_card(result))
    assert card.data.base_model == "org/model" and card.data.pipeline_tag == "text-classification"
    values = {one.metric_type: one.metric_value for one in card.data.eval_results}
    test = result["metrics"]["test"]
    assert values == {name: test[name] for name in values} and {"micro_f1_2", "ece", "accuracy"} <= set(values)


def test_the_card_says_what_the_result_holds(tmp_path):
    result = stored(tmp_path)
    text = model_card(result)
    score = result["metrics"]["test"]["micro_f1_2"]
    row = next(line for line in text.splitlines() if line.startswith("| micro_f1_2"))
    assert f"{100 * score:.2f}" in row
    low, high = json.loads(row.split("|")[3].strip())
    assert low < 100 * score < high
    for expected in (
        "Temperature 1.500, thresholds `false` 0.4, chosen on 80 decisions",
        "calibration error on test: 25.00 before",
        "10 weights were trained beside 1,000",
        result["identity"]["model_sha256"],
        result["identity"]["raw_sha256"],
        "no medical device",
        "Labels: `a`, `b`, `false`.",
    ):
        assert expected in text
    assert str(tmp_path) not in text


def test_labels_that_may_be_text_are_counted_only(tmp_path):
    labels = ["a", "b", "the patient was seen in the clinic today"]
    result = stored(tmp_path) | {"labels": labels, "negative_label": None, "metric": "weighted_f1"}
    result["metrics"] = {"test": {}, "baseline": {}}
    text = model_card(result)
    assert "seen in the clinic" not in text and "3 labels, in the model's config" in text


def test_cards_of_existing_results(tmp_path, monkeypatch, capsys):
    stored(tmp_path / "outputs")
    store_tokens(tmp_path / "outputs", "m", 512, seeds=(42,))
    code, out, err = run_results(monkeypatch, capsys, tmp_path / "outputs", "--model_card", tmp_path / "cards")
    assert code == 0 and "written: 2 model cards" in out, err
    names = sorted(path.name for path in (tmp_path / "cards").iterdir())
    assert len(names) == 2 and names[0].startswith("ChemProt_org--model-aaaaaaaa_seed=42_")
    prediction = read_predictions(stored(tmp_path / "outputs"))[0]
    assert all(f'"{key}"' not in (tmp_path / "cards" / names[0]).read_text() for key in prediction)
