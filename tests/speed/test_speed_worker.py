"""Measuring in this process: figures, early stop, memory errors, work counted against torch's own counter."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModel

from bioclinical.encoders.source import Source
from bioclinical.errors import RunFailed
from bioclinical.runtime.choice import Choice, Device
from bioclinical.runtime.provenance import peak_flops
from bioclinical.speed import worker
from bioclinical.speed.flops import encoder_flops
from bioclinical.speed.job import Job
from bioclinical.speed.worker import figures, measure
from bioclinical.speed.workloads import Workload

CPU, SDPA = Device("cpu", "asked for", "a CPU"), Choice("sdpa", "asked for")
PACKED = Choice("packed:banded_sdpa", "asked for")
LENGTHS = np.array([30, 12, 40, 5, 22, 40, 9])


def job(folder, **changes) -> Job:
    layouts = {"padded": SDPA, "sorted": SDPA, "packed": PACKED}
    workload = Workload("own", 40, LENGTHS)
    defaults = Job(
        source=Source(str(folder)), workload=workload, attention=layouts, device=CPU, dtype="fp32", pad_id=0, n_iters=3
    )
    return dataclasses.replace(defaults, **changes)


def rows_of(job: Job) -> list[dict]:
    sent = []
    measure(job, sent.append)
    return [message["row"] for message in sent if "row" in message]


def test_rows_of_all_layouts(tiny_model):
    rows = rows_of(job(tiny_model("modernbert"), batch_size=3))
    assert [row["layout"] for row in rows] == ["padded", "sorted", "packed"]
    assert [row["padding_share"] for row in rows] == pytest.approx([1 - 158 / 280, 1 - 158 / (120 + 66 + 5), 0])
    for row in rows:
        assert row["tokens"] == 158 and row["batch_size"] == 3 and len(row["times_s"]) == 3
        assert row["p5_s"] <= row["median_s"] <= row["p95_s"] and row["peak_memory_bytes"] > 1e6
        assert row["mfu"] is None and row["weights"] == "loaded"


def test_half_precision_a_searched_batch_size_and_random_weights(tiny_model, tmp_path):
    (tmp_path / "config.json").write_bytes((tiny_model("bert") / "config.json").read_bytes())
    (row,) = rows_of(job(tmp_path, attention={"padded": SDPA}, dtype="bf16"))
    assert row["weights"] == "random" and row["search_tries"] >= 1 and 1 <= row["batch_size"] <= 7


def test_no_time_left_still_gives_one_pass(tiny_model):
    rows = rows_of(job(tiny_model("bert"), attention={"padded": SDPA}, seconds=0, n_iters=50, batch_size=7))
    assert len(rows[0]["times_s"]) == 1 and rows[0]["sd_s"] is None


def test_figures_from_known_times():
    got = figures(Workload("own", 40, LENGTHS, nominal_length=25.0), [1.0, 2.0, 6.0], 280, 4)
    assert got["ktok_per_sec"] == 158 / 2 / 1000 and got["ktok_per_sec_nominal"] == 7 * 25 / 3 / 1000
    assert (got["samples_per_sec"], got["ms_per_batch"], got["mean_s"]) == (3.5, 500.0, 3.0)
    assert got["sd_s"] == pytest.approx(7**0.5) and got["p95_s"] == pytest.approx(5.6)
    assert figures(Workload("own", 40, LENGTHS), [1.0], 280, 4)["ktok_per_sec_nominal"] is None


def rows_in(batch) -> int:
    return len(batch["input_ids"]) if "attention_mask" in batch else len(batch["cu_seqlens"]) - 1


def limited_memory(monkeypatch, error, single_try, full_pass):
    """Stands for a GPU's memory: batches of more rows than allowed raise, in tries of one batch and in full passes."""

    def timed(device, forward, batches):
        if rows_in(batches[0]) > (single_try if len(batches) == 1 else full_pass):
            raise error
        return 1.0

    monkeypatch.setattr(worker, "timed", timed)


def test_a_full_pass_that_does_not_fit_takes_smaller_batches(tiny_model, monkeypatch):
    limited_memory(monkeypatch, torch.cuda.OutOfMemoryError("Tried to allocate"), single_try=6, full_pass=5)
    monkeypatch.setattr(worker, "choose_batch_size", lambda *args: (Choice("6", "the largest that fits"), 4))
    (row,) = rows_of(job(tiny_model("bert"), attention={"padded": SDPA}))
    assert row["batch_size"] == 5 and "full pass" in row["reasons"]["batch_size"]


def test_memory_errors_and_others_in_the_search_on_a_gpu(tiny_model, monkeypatch):
    model = AutoModel.from_pretrained(tiny_model("bert"))
    ids = torch.zeros(7, 40, dtype=torch.int32)
    on_gpu = job(tiny_model("bert"), device=Device("cuda", "stands for a GPU", "no GPU"))
    limited_memory(monkeypatch, torch.cuda.OutOfMemoryError("Tried to allocate"), single_try=5, full_pass=5)
    choice, tries = worker.choose_batch_size(on_gpu, model, ids)
    assert choice == Choice("5", "the largest that fits") and tries <= 14
    limited_memory(monkeypatch, torch.cuda.OutOfMemoryError("Tried to allocate"), single_try=0, full_pass=0)
    with pytest.raises(RunFailed, match="not even one sample of 40 tokens"):
        worker.choose_batch_size(on_gpu, model, ids)
    limited_memory(monkeypatch, RuntimeError("CUDA error: invalid argument"), single_try=5, full_pass=5)
    with pytest.raises(RuntimeError, match="invalid argument"):
        worker.choose_batch_size(on_gpu, model, ids)


def test_a_batch_size_asked_for_is_not_changed(tiny_model, monkeypatch):
    limited_memory(monkeypatch, torch.cuda.OutOfMemoryError("Tried to allocate"), single_try=2, full_pass=2)
    with pytest.raises(RunFailed, match="batches of 3; use --batch_size auto"):
        rows_of(job(tiny_model("bert"), batch_size=3))


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_flops_equal_torchs_count(tiny_model, family):
    model = AutoModel.from_pretrained(tiny_model(family), attn_implementation="eager").eval()
    length = 24  # below every window
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.full((2, length), 9))
    pooler = 2 * 2 * 32 * 32 if family == "bert" else 0
    rotary = counter.get_total_flops() - pooler - encoder_flops(model, np.array([length, length]))
    assert 0 <= rotary <= 0.002 * counter.get_total_flops()  # ModernBERT's angles are a product too
    assert rotary == 0 or family == "modernbert"


def test_flops_count_windows_and_refuse_unknown_families(tiny_model):
    model = AutoModel.from_pretrained(tiny_model("modernbert"))
    one, four = (encoder_flops(model, np.array([n])) for n in (400, 1600))
    assert 4 * one < four < 16 * one
    assert encoder_flops(AutoModel.from_pretrained(tiny_model("albert")), np.array([4])) is None


@pytest.mark.parametrize(
    "name, dtype, teraflops",
    [
        ("NVIDIA H100 80GB HBM3", "bf16", 989.4), ("NVIDIA H100 PCIe", "bf16", 756.5), ("NVIDIA H200", "fp32", 66.9),
        ("NVIDIA A100-SXM4-80GB", "tf32", 156.0), ("NVIDIA L4", "fp16", 121.0), ("NVIDIA L40S", "bf16", 362.1),
        ("Tesla V100-SXM2-16GB", "fp16", 125.0), ("Tesla V100-SXM2-16GB", "bf16", None), ("NVIDIA A10G", "bf16", None),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "bf16", None), ("AMD EPYC", "fp32", None),
    ],
)  # fmt: skip
def test_peak_flops(name, dtype, teraflops):
    assert peak_flops(name, dtype) == (teraflops and teraflops * 1e12)
