"""The script as a user runs it: output, failures, interruption, resuming, comparing, mistakes."""

import json
import multiprocessing
import os
import signal
import sys

import pytest
from transformers import AutoTokenizer

import multiprocess_bench as bench
from bioclinical.errors import UserError, run_cli
from bioclinical.speed import measuring, plan, worker
from bioclinical.speed.display import table
from bioclinical.speed.document import read_document
from bioclinical.speed.plan import choose_dtype, use_gpu

SMALL = ("--num_samples", 4, "--n_iters", 2, "--device", "cpu")
SHORT = (*SMALL, "--datasets", "fixed_short,variable_short")


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command line in this process; returns (exit code, stdout's lines, stderr)."""
    before = signal.getsignal(signal.SIGTERM)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["multiprocess_bench.py", *map(str, arguments)])
        try:
            run_cli(bench.main)
            code = 0
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err

    yield call
    signal.signal(signal.SIGTERM, before)


def measure_killed_on_variable(job, send):
    if job.workload.name == "variable_short":
        os.kill(os.getpid(), signal.SIGKILL)
    worker.measure(job, send)


def test_interrupted_resumed_refused_and_compared(run, tiny_model, tmp_path, monkeypatch):
    model, output, plot = tiny_model("modernbert"), tmp_path / "a.json", tmp_path / "a.png"
    take = measuring.Measuring.take

    def stop_after_first_row(self, message, *others):
        take(self, message, *others)
        if "row" in message:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(measuring.Measuring, "take", stop_after_first_row)
        code, out, err = run("--model", model, *SHORT, "--output", output)
    assert code == 130 and "what was measured is kept" in err and not multiprocessing.active_children()
    first = json.loads(out[-1])
    assert [row["layout"] for row in first["results"]] == ["padded"] and not first["complete"]
    assert first == read_document(output)

    code, out, err = run("--model", model, *SHORT, "--output", output)
    assert code == 2 and "--resume goes on with it" in err
    code, out, err = run("--model", model, *SHORT, "--output", output, "--resume", "--batch_size", 2)
    assert code == 2 and "measured with other config" in err and read_document(output) == first

    code, out, err = run("--model", model, *SHORT, "--output", output, "--resume", "--plot", plot)
    report = json.loads(out[-1])
    assert code == 0 and report["complete"] and report == read_document(output) and plot.read_bytes()[:4] == b"\x89PNG"
    assert report["results"][0] == first["results"][0]
    assert [(row["dataset"], row["layout"]) for row in report["results"]] == [
        ("fixed_short", "padded"), ("fixed_short", "packed"),
        ("variable_short", "padded"), ("variable_short", "sorted"), ("variable_short", "packed"),
    ]  # fmt: skip
    wanted = {"model", "device", "dtype", "attention", "versions", "results"}
    assert wanted <= report.keys() and report["attention"] == "packed:banded_sdpa, sdpa"
    assert "kTok/s" in "\n".join(out[:-1]) and out[-2] == table(report).splitlines()[-1]

    code, out, err = run("--compare", output, output)
    assert code == 0 and len(out) == 2 + 1 + 5 + 1 and all(" 1.000 " in line for line in out[3:8])
    other = tmp_path / "other.json"
    other.write_text(json.dumps(report | {"dtype": "bf16"}))
    code, out, err = run("--compare", output, other)
    assert code == 2 and "dtype: fp32 against bf16" in err
    code, out, err = run("--compare", output, other, "--allow_different")
    assert code == 0 and out[0] == "DIFFERENT dtype: fp32 against bf16"


def test_a_killed_child_is_reported_and_the_others_are_measured(run, tiny_model, monkeypatch):
    monkeypatch.setattr(measuring, "measure", measure_killed_on_variable)
    names = "variable_short,fixed_short"
    code, out, err = run("--model", tiny_model("bert"), *SMALL, "--datasets", names, "--batch_size", 4)
    report = json.loads(out[-1])
    assert code == 1 and "killed by SIGKILL" in err and not report["complete"]
    assert [row["dataset"] for row in report["results"]] == ["fixed_short"]
    assert [failure["dataset"] for failure in report["failures"]] == ["variable_short"]


def test_own_texts_and_a_budget_that_is_over(run, tiny_model, sample):
    texts = ("--text_file", sample / "notes.csv")
    code, out, err = run("--model", tiny_model("bert"), *SMALL, *texts, "--batch_size", 4)
    report = json.loads(out[-1])
    assert code == 0 and [row["layout"] for row in report["results"]] == ["padded", "sorted"]
    assert all(row["ktok_per_sec_nominal"] is None for row in report["results"])
    assert not any(note in "\n".join(out) + err for note in (sample / "notes.csv").read_text().splitlines()[1:5])
    code, out, err = run("--model", tiny_model("bert"), *SHORT, "--time_budget", 0.00001)
    report = json.loads(out[-1])
    assert code == 1 and out[-2] == "nothing was measured" and len(report["failures"]) == 2
    assert all(failure["error"] == "the time budget is over" for failure in report["failures"])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--model", "no/such-model"), "no model could be loaded from 'no/such-model'"),
        (("--model", "MODEL", "--num_samples", "0"), "argument --num_samples: 0 is not above zero"),
        (("--model", "MODEL", "--n_iters", "-1"), "argument --n_iters: -1 is not above zero"),
        (("--model", "MODEL", "--batch_size", "many"), "argument --batch_size"),
        (("--model", "MODEL", "--datasets", "fixed_huge"), "unknown 'fixed_huge'; known: fixed_short"),
        (("--model", "MODEL", "--gpu", "7"), "--gpu 7: this machine has"),
        (("--model", "MODEL", "--device", "cpu", "--dtype", "fp16"), "--dtype fp16: this cpu has none"),
        (("--model", "MODEL", "--device", "cpu", "--attn", "flash_attention_2"), "flash_attention_2 cannot run here"),
        (("--model", "MODEL", "--device", "cpu", "--attn", "packed"), "has no packed forward"),
        (("--model", "MODEL", "--plot", "a.xyz"), "must end in one of .png"),
        (("--model", "MODEL", "--resume"), "--resume needs the --output"),
        (("--compare", "absent.json", "absent.json"), "'absent.json' holds no result"),
        ((), "--model is needed"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(run, tiny_model, arguments, message):
    code, _out, err = run(*(tiny_model("bert") if a == "MODEL" else a for a in arguments))
    assert code == 2 and message in err and "Traceback" not in err


def test_a_model_without_padding_token_or_context_limit(run, tiny_model, tmp_path):
    config = json.loads((tiny_model("bert") / "config.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(tiny_model("bert"))
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"pad_token_id": None}))
    code, _, err = run("--model", tmp_path, *SHORT)
    assert code == 2 and "has a padding token; batches need one" in err
    code, _, err = run("--model", tiny_model("deberta-v2"), *SMALL)
    assert code == 2 and "states no context limit; name sets" in err


def test_dtypes_by_device():
    assert choose_dtype("auto", "cuda", (9, 0)).value == "bf16"
    assert choose_dtype("auto", "cuda", (7, 0)).value == choose_dtype("auto", "mps", (0, 0)).value == "fp32"
    for dtype, device, capability in (("bf16", "cuda", (7, 0)), ("tf32", "cpu", (0, 0)), ("bf16", "mps", (0, 0))):
        with pytest.raises(UserError, match=f"--dtype {dtype}: this {device} has none"):
            choose_dtype(dtype, device, capability)


def test_the_gpu_is_one_of_those_the_user_allows(monkeypatch):
    monkeypatch.setattr(plan.torch.cuda, "device_count", lambda: 2)  # stands for a machine with two GPUs
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    use_gpu(1)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5"
    for number in (2, -1):
        with pytest.raises(UserError, match=f"--gpu {number}: this machine has 2 usable GPUs"):
            use_gpu(number)
