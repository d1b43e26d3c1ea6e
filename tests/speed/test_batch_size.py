"""The searches as functions of what fits and how fast it runs; memory errors told from others."""

import pytest
import torch

from bioclinical.speed import batch_size
from bioclinical.speed.batch_size import is_out_of_memory, largest_that_fits, largest_worthwhile


@pytest.mark.parametrize("true", [0, 1, 5, 10, 16, 17, 98, 100, 770, 1604, 4095, 4096])
@pytest.mark.parametrize("most", [1, 8, 4096])
def test_largest_that_fits_in_at_most_14_tries(true, most):
    asked = []
    found, tries = largest_that_fits(lambda n: asked.append(n) or n <= true, most)
    expected = min(true, most)
    assert tries == len(asked) <= 14 and len(set(asked)) == tries and max(asked) <= most
    assert found <= expected and expected - found <= expected / 50


def test_small_answers_are_exact():
    assert all(largest_that_fits(lambda n: n <= true, 4096)[0] == true for true in range(300))


@pytest.mark.parametrize(
    "throughput, has_room, most, expected, tries, reason",
    [
        (lambda n: min(n, 8), lambda: True, 64, 8, 5, "less than 5 %"),
        (lambda n: n, lambda: True, 6, 6, 4, "all samples"),
        (lambda n: n, lambda: False, 64, 1, 1, "half of the free memory"),
        (lambda n: 1 / n, lambda: True, 64, 1, 2, "less than 5 %"),
        (lambda n: n, lambda: True, 1, 1, 1, "all samples"),
    ],
)
def test_largest_worthwhile(throughput, has_room, most, expected, tries, reason):
    choice, took = largest_worthwhile(throughput, has_room, most)
    assert (int(choice.value), took) == (expected, tries) and reason in choice.reason


def test_out_of_memory_is_told_from_other_errors():
    assert is_out_of_memory(torch.cuda.OutOfMemoryError("Tried to allocate 20 GiB"))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"))
    assert not is_out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_the_cpu_allocators_own_error_is_recognised():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55)
    assert is_out_of_memory(caught.value)


def test_free_memory_is_positive_and_below_a_containers_limit(monkeypatch):
    free = batch_size.free_memory_bytes()
    assert 0 < free <= batch_size.psutil.virtual_memory().total
    contents = {"memory.max": "3000000", "memory.current": "1000000"}
    monkeypatch.setattr(batch_size.Path, "read_text", lambda path: contents[path.name])
    assert batch_size.free_memory_bytes() == 2_000_000
    contents["memory.max"] = "max"
    assert batch_size.free_memory_bytes() > 2_000_000
