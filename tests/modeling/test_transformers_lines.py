"""transformers 4.x and 5.x give the same numbers from the same folder, whichever wrote it.

Needs a second environment with the other line (scripts/test_latest.sh has one): BIOCLINICAL_OTHER_PYTHON is its Python.
This file is also the program that the other Python runs: `save FOLDER` or `forward FOLDER OUTPUT`.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import ModernBertConfig, ModernBertForMaskedLM

from bioclinical.modeling import use_packed_forward

# Away from the defaults, to which a config layout that is not understood would silently fall back.
THETAS = {"global_rope_theta": 300.0, "local_rope_theta": 20.0}
LENGTHS = [200, 3, 129]


def save(folder: Path) -> None:
    torch.manual_seed(0)
    ids = {"pad_token_id": 0, "bos_token_id": 1, "cls_token_id": 1, "eos_token_id": 2, "sep_token_id": 2}
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_hidden_layers": 5}
    other = {"vocab_size": 300, "initializer_range": 0.1, "global_attn_every_n_layers": 2}
    ModernBertForMaskedLM(ModernBertConfig(**ids, **sizes, **other, **THETAS)).save_pretrained(folder)


def forward(folder: Path) -> torch.Tensor:
    """Logits of the packed forward at the tokens."""
    mask = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]).long()
    ids = torch.randint(3, 300, mask.shape, generator=torch.Generator().manual_seed(0)) * mask
    model = ModernBertForMaskedLM.from_pretrained(folder, attn_implementation="sdpa").eval()
    use_packed_forward(model, "banded_sdpa")
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=mask).logits[mask.bool()]


@pytest.fixture
def other_python():
    if not (python := os.environ.get("BIOCLINICAL_OTHER_PYTHON")):
        pytest.skip("no second environment: BIOCLINICAL_OTHER_PYTHON is not set (scripts/test_latest.sh sets it)")
    return lambda *arguments: subprocess.run([python, __file__, *map(str, arguments)], check=True)


@pytest.mark.parametrize("writer", ["this", "other"])
def test_the_same_folder_gives_the_same_numbers(other_python, tmp_path, writer):
    save(tmp_path / "model") if writer == "this" else other_python("save", tmp_path / "model")
    other_python("forward", tmp_path / "model", tmp_path / "theirs.pt")
    ours, theirs = forward(tmp_path / "model"), torch.load(tmp_path / "theirs.pt")
    assert (ours - theirs).abs().max() <= 2e-6 * ours.abs().max()


if __name__ == "__main__":
    if sys.argv[1] == "save":
        save(Path(sys.argv[2]))
    else:
        torch.save(forward(Path(sys.argv[2])), sys.argv[3])
