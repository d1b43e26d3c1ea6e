"""ALBERT's sentence order: what the halves are, the loss of transformers, and a run with its export."""

import numpy as np
import pytest
import torch
from transformers import AlbertForPreTraining, AutoModel

from bioclinical.checkpoints.export import export
from bioclinical.errors import UserError
from bioclinical.pretraining.training.metrics_file import read_metrics
from bioclinical.pretraining.training.run import build, run
from bioclinical.text.labels import IGNORED_LABEL
from bioclinical.text.tokenization import load_tokenizer

OPTION = {"objective": "sentence_order"}


@pytest.fixture(scope="module")
def parts(miniature, tmp_path_factory):
    changes = {**OPTION, "model.model_config.num_hidden_layers": 1}
    return build(miniature("albert", "albert", tmp_path_factory.mktemp("run"), **changes))


def test_halves_are_the_text_cut_behind_a_sentence(parts, prepared):
    tokenizer = load_tokenizer(prepared("albert") / "vocabulary")
    halves = parts.train.loader.reader.examples
    ends = {i for i, end in enumerate(halves.ends) if end}
    swapped = []
    for unit in range(60):
        ids, document, _ = parts.train.windows.read(unit)
        example = halves(ids, 0, document)
        assert len(example.input_ids) == len(ids)
        labels, order = example.targets["labels"], example.targets["order"]
        seen = np.where(labels == IGNORED_LABEL, example.input_ids, labels)
        again = halves(ids, 0, document)
        assert all(np.array_equal(again.targets[name], value) for name, value in example.targets.items())
        if order[0] == IGNORED_LABEL:
            assert len(ids) < 5 and not example.targets["segments"].any()
            continue
        swapped.append(order[0])
        assert (order[1:] == IGNORED_LABEL).all() and example.weights["sentence_order"] == 1
        second = int(example.targets["segments"].argmax())
        parts_of_text = [seen[1 : second - 1], seen[second:-1]]
        assert seen[second - 1] == tokenizer.sep_token_id and seen[-1] == ids[-1] and all(map(len, parts_of_text))
        text = np.concatenate(parts_of_text[::-1] if order[0] else parts_of_text)
        assert np.array_equal(text, ids[1:-2])
        if ends & set(ids[1:-3].tolist()):
            assert parts_of_text[1 if order[0] else 0][-1] in ends
    assert 0.25 < np.mean(swapped) < 0.75


def test_loss_is_hugging_faces_own(parts):
    """Both terms of AlbertForPreTraining on the padded documents, and the gradient of their sum."""
    row = next(iter(parts.train.loader))["rows"][0]
    objective, model = parts.model.objective, parts.model.model.eval()
    sums = objective.loss_sums({"model": model}, row)
    split = lambda one: one.split(row["lengths"])  # noqa: E731
    pad = lambda values, fill: torch.nn.utils.rnn.pad_sequence(values, batch_first=True, padding_value=fill)  # noqa: E731
    targets = row["targets"]
    given = {
        "input_ids": pad(split(row["input_ids"]), 0), "token_type_ids": pad(split(targets["segments"]), 0),
        "attention_mask": pad([torch.ones(length, dtype=torch.long) for length in row["lengths"]], 0),
    }  # fmt: skip
    outputs = model(**given)
    labels, order = pad(split(targets["labels"]), -100), torch.stack([one[0] for one in split(targets["order"])])
    cross_entropy = lambda scores, wanted: torch.nn.functional.cross_entropy(scores, wanted, reduction="sum")  # noqa: E731
    theirs = {"masked_tokens": cross_entropy(outputs.prediction_logits.flatten(0, 1), labels.flatten()),
              "sentence_order": cross_entropy(outputs.sop_logits, order)}  # fmt: skip
    for term, value in theirs.items():
        torch.testing.assert_close(sums[term], value, rtol=1e-5, atol=1e-4)
    ours = torch.autograd.grad(sum(sums.values()), model.albert.pooler.weight)[0]
    torch.testing.assert_close(
        ours, torch.autograd.grad(sum(theirs.values()), model.albert.pooler.weight)[0], rtol=1e-4, atol=1e-5
    )


def test_a_run_and_its_folder(miniature, tmp_path):
    times = dict.fromkeys(("max_duration", "eval_interval", "save_interval"), "4ba")
    run(miniature("albert", "albert", tmp_path / "run", **OPTION, **times))
    assert any("loss/train/sentence_order" in record for record in read_metrics(tmp_path / "run"))
    assert export(tmp_path / "run" / "latest-rank0.pt", tmp_path / "hf", None, None, False) < 1e-4
    assert AutoModel.from_pretrained(tmp_path / "hf").config.model_type == "albert"
    _, report = AlbertForPreTraining.from_pretrained(tmp_path / "hf", output_loading_info=True)
    assert not report["missing_keys"]


def test_other_architectures_are_refused(miniature, tmp_path):
    with pytest.raises(UserError, match="sentence_order needs model.architecture albert, not roberta"):
        build(miniature("roberta", "roberta", tmp_path / "run", **OPTION))
