"""main.py's published recipes, evaluation by steps, and folds."""

import json

import pytest

import main
from bioclinical.errors import UserError
from bioclinical.finetuning.settings import Settings
from dataloader import get_task


def test_a_recipe_gives_defaults_and_the_command_line_counts():
    args = main.parse_args(["--dataset", "gad", "--model", "m", "--recipe", "blurb", "--epochs", "2"])
    assert (args.lr, args.batch_size, args.max_length, args.epochs, args.wd) == (3e-5, 32, 256, 2, 0.0)
    args = main.parse_args(["--dataset", "NCBI-disease", "--model", "m", "--recipe=biolm"])
    assert (args.lr, args.batch_size, args.epochs, args.eval_steps) == (1e-5, 32, 20, 500)
    args = main.parse_args(["--dataset", "NCBI-disease", "--model", "m"])
    assert (args.lr, args.batch_size, args.epochs, args.eval_steps) == (2e-5, 16, 3, None)


def test_new_settings_at_their_defaults_name_no_other_run():
    assert not {"warmup", "eval_steps"} & set(Settings().identity())
    assert Settings(eval_steps=200).identity()["eval_steps"] == 200


def test_a_training_shorter_than_the_interval_is_evaluated_at_its_end():
    from bioclinical.finetuning.trainer import evaluation_interval

    for epochs, expected in ((10, 200), (3, 60)):  # EU-ADR: 320 rows, batch 16
        interval = evaluation_interval(Settings(eval_steps=200, epochs=epochs), rows=320)
        assert interval["eval_steps"] == interval["save_steps"] == expected


def test_choosing_on_the_test_fold_has_to_be_asked_for():
    args = main.parse_args(["--dataset", "EU-ADR", "--model", "m", "--fold", "2"])
    with pytest.raises(UserError, match="chooses its checkpoint on the test fold of EU-ADR; say --protocol paper"):
        main.protocol_of(args, get_task("EU-ADR"))
    args = main.parse_args(["--dataset", "EU-ADR", "--model", "m", "--fold", "2", "--protocol", "strict"])
    assert main.protocol_of(args, get_task("EU-ADR")).label == "strict-fold2"


def test_a_fold_is_run_by_steps_and_stored(sample, tiny_model, run_main, tmp_path):
    arguments = ("--dataset", "EU-ADR", "--fold", 3, "--protocol", "strict", "--model", tiny_model("bert"))
    quick = ("--epochs", 1, "--max_length", 32, "--eval_steps", 2, "--warmup", 0.1, "--batch_size", 8)
    code, _, err = run_main(*arguments, *quick, "--data_dir", sample / "raw", "--output_dir", tmp_path)
    assert code == 0, err[-500:]
    (path,) = tmp_path.glob("EU-ADR/*/seed=42_????????.json")
    result = json.loads(path.read_text())
    assert (result["fold"], result["protocol"], result["config"]["warmup"]) == (3, "strict-fold3", 0.1)
    assert [entry["step"] for entry in result["metrics"]["validation"]] == [2, 4, 6]
    assert result["best_epoch"] in {entry["epoch"] for entry in result["metrics"]["validation"]}
