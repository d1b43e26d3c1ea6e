"""main.py --explain: says what the run would do, in the numbers of the run itself, and leaves nothing."""

import re


def test_the_plan_is_that_of_the_run_and_nothing_is_written(run_main, sample, tiny_model, tmp_path):
    arguments = (
        "--dataset", "chemprot", "--model", tiny_model("bert"), "--limit", 20, "--batch_size", 8, "--epochs", 3,
        "--accumulation_steps", 2, "--max_length", 12, "--data_dir", sample / "raw", "--output_dir", tmp_path / "outputs",
    )  # fmt: skip
    code, out, err = run_main(*arguments, "--explain")
    assert code == 0 and not (tmp_path / "outputs").exists(), err
    assert (
        "training: 6 steps of up to 16 rows" in out
        and "train: 20 examples in 20 rows, 240 tokens, longest row 12" in out
    )
    assert re.search(r"measured here: \d+\.\d{3} s for a batch of 8; so training about 0:00:\d\d", out)
    path = re.search(r"would write: (\S+)$", out, re.MULTILINE)[1]
    code, out, err = run_main(*arguments)
    assert code == 0 and "step 6/6" in err and out.splitlines()[-1] == path, err
    code, out, _ = run_main(*arguments, "--explain")
    assert code == 0 and f"{path} (finished already)" in out
