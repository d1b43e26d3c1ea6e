"""ELECTRA: the step against an independent computation, the draws' frequencies, what the two networks share."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModel, ElectraConfig, ModernBertConfig

from bioclinical.errors import UserError
from bioclinical.pretraining.architectures.modernbert import PackedModernBert
from bioclinical.pretraining.architectures.padded import PaddedEncoder
from bioclinical.pretraining.compute import Compute
from bioclinical.pretraining.data.rows import RowReader
from bioclinical.pretraining.objectives.replaced_tokens import ReplacedTokens, drawn
from bioclinical.pretraining.recipe.schema import Dataset
from bioclinical.pretraining.recipe.schema import ReplacedTokens as Keys
from bioclinical.text.labels import IGNORED_LABEL
from bioclinical.text.tokenization import load_tokenizer

VOCABULARY = 512
DATASET = Dataset(local="", split="train", max_seq_len=64, mlm_probability=0.15, shuffle_seed=5)


def electra() -> PaddedEncoder:
    config = ElectraConfig(vocab_size=VOCABULARY, embedding_size=16, hidden_size=48, num_hidden_layers=3,
                           num_attention_heads=4, intermediate_size=96, hidden_dropout_prob=0,
                           attention_probs_dropout_prob=0, pad_token_id=0)  # fmt: skip
    return PaddedEncoder(config, Compute())


def modernbert() -> PackedModernBert:
    config = ModernBertConfig(vocab_size=VOCABULARY, hidden_size=48, num_hidden_layers=7, num_attention_heads=4,
                              intermediate_size=64, pad_token_id=0, attention_dropout=0, cls_token_id=2,
                              bos_token_id=2, sep_token_id=3, eos_token_id=3)  # fmt: skip
    return PackedModernBert(config, Compute())


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    return load_tokenizer(tiny_model("electra"))


class Texts:
    """Documents of these lengths, as Windows reads them."""

    def __init__(self, tokenizer, lengths):
        rng = np.random.default_rng(0)
        inner = [rng.integers(10, 400, length - 2) for length in lengths]
        self.ids = [np.r_[tokenizer.cls_token_id, one, tokenizer.sep_token_id] for one in inner]

    def read(self, unit):
        return self.ids[unit], unit, 0


def parts(architecture, tokenizer, lengths=(20, 64, 33, 9), **keys):
    objective = ReplacedTokens(Keys(name="replaced_tokens", **keys), architecture, tokenizer)
    texts = Texts(tokenizer, lengths)
    row = RowReader(texts, objective.examples(DATASET)).read_row([(0, n) for n in range(len(lengths))], silent=False)
    return objective, objective.networks(1), row, texts


def test_the_step_is_the_one_of_a_plain_computation(tokenizer):
    objective, networks, row, texts = parts(electra(), tokenizer)
    sums = objective.loss_sums(networks, row)
    generator_loss = discriminator_loss = 0.0
    bounds = row["cu_seqlens"].tolist()
    for number, original in enumerate(texts.ids):
        here = slice(bounds[number], bounds[number + 1])
        masked, labels, draws = row["input_ids"][here], row["targets"]["labels"][here], row["targets"]["draws"][here]
        logits = networks["generator"](input_ids=masked[None]).logits[0]
        generator_loss += F.cross_entropy(logits, labels, ignore_index=IGNORED_LABEL, reduction="sum")
        filled = torch.tensor(original)
        for place in (labels != IGNORED_LABEL).nonzero().flatten().tolist():
            reached = logits[place].double().softmax(-1).cumsum(-1)
            filled[place] = int((reached <= draws[place]).sum())
        replaced = (filled != torch.tensor(original)).float()
        output = networks["model"](
            input_ids=filled[None], attention_mask=torch.ones_like(filled[None]), labels=replaced[None]
        )
        discriminator_loss += output.loss * len(original)
    torch.testing.assert_close(sums["generator"], generator_loss, atol=1e-4, rtol=1e-6)
    torch.testing.assert_close(sums["discriminator"], discriminator_loss, atol=1e-4, rtol=1e-6)
    assert objective.terms == {"generator": 1.0, "discriminator": 50.0}
    assert row["weights"] == {"generator": int((row["targets"]["labels"] >= 0).sum()), "discriminator": 126}


@pytest.mark.parametrize("build", [electra, modernbert])
def test_the_discriminators_loss_reaches_the_generator_through_the_embeddings_only(build, tokenizer):
    objective, networks, row, _ = parts(build(), tokenizer)
    objective.loss_sums(networks, row)["discriminator"].backward()
    reached = {name for name, one in networks["generator"].named_parameters() if one.grad is not None}
    assert reached and all("embeddings" in name for name in reached)
    shared = {one.data_ptr() for one in networks["model"].parameters()}
    tied = {name for name, one in networks["generator"].named_parameters() if one.data_ptr() in shared}
    assert tied == {name for name, _ in networks["generator"].named_parameters() if ".embeddings." in name}
    names = torch.nn.ModuleDict(networks)
    assert len({id(one) for one in names.parameters()}) == len(list(names.parameters()))  # each counted once
    assert networks["generator"].get_output_embeddings().weight is networks["model"].get_input_embeddings().weight


def test_a_lucky_filling_is_an_original_and_every_real_token_is_judged(tokenizer):
    objective, networks, row, texts = parts(modernbert(), tokenizer)
    judged = objective.predictions(networks, row)
    chosen = row["targets"]["labels"] != IGNORED_LABEL
    torch.testing.assert_close(judged.replaced[chosen], judged.fillings != judged.labels)
    assert not judged.replaced[~chosen].any() and len(judged.scores) == sum(map(len, texts.ids))
    lucky = {**row, "targets": {**row["targets"], "labels": row["targets"]["labels"].clone()}}
    lucky["targets"]["labels"][chosen] = judged.fillings  # the originals are what the generator draws
    assert not objective.predictions(networks, lucky).replaced.any()


def test_draws_have_the_softmaxs_frequencies():
    logits = torch.tensor([2.0, -1.0, 0.5, -30.0, 1.0])
    count = 100_000
    draws = torch.from_numpy(np.random.default_rng(0).random(count))
    ids = drawn(logits.expand(count, -1), draws)
    found = torch.bincount(ids, minlength=5) / count
    torch.testing.assert_close(found, logits.softmax(-1), atol=0.005, rtol=0)
    assert drawn(logits[None], torch.tensor([0.999999999999])) == 4 and drawn(logits[None], torch.tensor([0.0])) == 0


def test_a_row_is_a_function_of_seed_epoch_and_document(tokenizer):
    objective, _, row, texts = parts(electra(), tokenizer)
    alone = RowReader(texts, objective.examples(DATASET)).read_row([(0, 2)], silent=False)
    start, end = row["cu_seqlens"][2:4].tolist()
    assert torch.equal(alone["input_ids"], row["input_ids"][start:end])
    assert torch.equal(alone["targets"]["draws"], row["targets"]["draws"][start:end])
    later = RowReader(texts, objective.examples(DATASET)).read_row([(1, 2)], silent=False)
    assert not torch.equal(alone["targets"]["draws"], later["targets"]["draws"])


def test_sizes_of_generators(tokenizer):
    _, networks, _, _ = parts(electra(), tokenizer, generator_size=1 / 3)
    assert (networks["generator"].config.hidden_size, networks["generator"].config.num_hidden_layers) == (16, 3)
    assert networks["generator"].config.intermediate_size == 64
    for size, layers in ((0.25, 1), (0.5, 4), (1.0, 7)):
        _, networks, _, _ = parts(modernbert(), tokenizer, generator_size=size)
        assert networks["generator"].config.num_hidden_layers == layers
        assert networks["generator"].config.hidden_size == 48


def test_metrics_over_rows_are_those_of_all_tokens(tokenizer):
    objective, networks, row, _ = parts(electra(), tokenizer)
    with torch.no_grad():
        judged = objective.predictions(networks, row)
    metrics = objective.metrics()
    halves = [judged._replace(logits=judged.logits[part], labels=judged.labels[part], fillings=judged.fillings[part],
                              scores=judged.scores[all_part], replaced=judged.replaced[all_part])
              for part, all_part in ((slice(0, 5), slice(0, 50)), (slice(5, None), slice(50, None)))]  # fmt: skip
    for metric in metrics.values():
        for half in halves:
            objective.update(metric, half)
    values = {name: float(metric.compute()) for name, metric in metrics.items()}
    said, true = judged.scores > 0, judged.replaced
    assert values["ReplacedPrecision"] == pytest.approx(float((said & true).sum() / said.sum().clamp(min=1)))
    assert values["ReplacedRecall"] == pytest.approx(float((said & true).sum() / true.sum()))
    assert values["SampledAccuracy"] == pytest.approx(float((judged.fillings == judged.labels).float().mean()))
    pairs = judged.scores[true][:, None] - judged.scores[~true][None]
    exact = float(((pairs > 0) + 0.5 * (pairs == 0)).float().mean())
    assert values["ReplacedAUROC"] == pytest.approx(exact, abs=0.02)


def test_the_discriminator_of_modernbert_is_an_encoder_for_downstream_tasks(tokenizer, tmp_path):
    _, networks, _, _ = parts(modernbert(), tokenizer)
    networks["model"].save_pretrained(tmp_path)
    loaded, report = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and loaded.config.model_type == "modernbert"
    same = loaded.state_dict()
    for name, tensor in networks["model"].model.state_dict().items():
        assert torch.equal(tensor, same[name])


def test_other_architectures_are_refused(tokenizer):
    architecture = electra()
    architecture.config.model_type = "bert"
    with pytest.raises(UserError, match="replaced_tokens needs model.architecture electra or modernbert, not bert"):
        ReplacedTokens(Keys(name="replaced_tokens"), architecture, tokenizer)
