"""The precision of a run is its own, whatever ran before it in the same process."""

from pathlib import Path


def test_a_run_in_fp32_after_one_in_bf16_is_one_in_fp32(run_main, sample, tiny_model, tmp_path):
    def probabilities(output: str, *precision: str) -> str:
        arguments = ("--dataset", "ChemProt", "--model", tiny_model(), "--limit", 16, "--epochs", 1, "--lr", "1e-3")
        code, out, err = run_main(
            *arguments, *precision, "--data_dir", sample / "raw", "--output_dir", tmp_path / output
        )
        assert code == 0, err
        return Path(out.splitlines()[-1]).with_suffix(".predictions.jsonl").read_text()

    before = probabilities("before")
    assert probabilities("bf16", "--precision", "bf16") != before
    assert probabilities("after") == before
