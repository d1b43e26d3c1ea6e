"""What bio-lm, BioM-Transformers and BioMedLM published stands in their recipes; what they did not, says so."""

import pytest
from pretraining_setup import CONFIGS

from bioclinical.pretraining.recipe.load import load_recipe

OURS = "# not published: our default"
# file: (objective, steps, global batch, learning rate where published)
PUBLISHED = {
    "biolm/base-pm": ("masked_tokens", 500_000, 8192, 6e-4),
    "biolm/base-pm-m3": ("masked_tokens", 500_000, 8192, 6e-4),
    "biolm/base-pm-voc": ("masked_tokens", 500_000, 8192, 6e-4),
    "biolm/base-pm-m3-voc": ("masked_tokens", 500_000, 8192, 6e-4),
    "biolm/large-pm-m3": ("masked_tokens", 500_000, 8192, 4e-4),
    "biolm/large-pm-m3-voc": ("masked_tokens", 500_000, 8192, 4e-4),
    "biolm/train-longer": ("masked_tokens", 50_000, 8192, None),
    "biolm/distill": ("distillation", 50_000, 8192, 5e-4),
    "biolm/distill-align": ("distillation", 50_000, 8192, 5e-4),
    "biom/electra-base": ("replaced_tokens", 500_000, 1024, None),
    "biom/electra-large": ("replaced_tokens", 434_000, 4096, None),
    "biom/bert-large": ("masked_tokens", 690_000, 4096, None),
    "biom/albert-xxlarge": ("masked_tokens", 264_000, 8192, None),
    "biom/albert-xxlarge-pmc": ("masked_tokens", 64_000, 8192, None),
    "biomedlm/biomedlm": ("next_token", 286_000, 1024, 1.6e-4),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_values(name):
    path = CONFIGS / f"{name}.yaml"
    recipe = load_recipe(path)
    objective, steps, batch, rate = PUBLISHED[name]
    assert (recipe.objective.name, recipe.max_duration.value) == (objective, steps)
    assert (recipe.max_duration.unit, recipe.global_train_batch_size) == ("ba", batch)
    (line,) = [line for line in path.read_text().splitlines() if line.startswith("  lr:")]
    assert OURS in line if rate is None else recipe.optimizer.lr == rate


def test_every_recipe_of_these_folders_is_listed():
    found = {f"{path.parent.name}/{path.stem}" for folder in ("biolm", "biom", "biomedlm")
             for path in (CONFIGS / folder).glob("*.yaml")}  # fmt: skip
    assert found == set(PUBLISHED)


def test_details():
    distill = load_recipe(CONFIGS / "biolm" / "distill-align.yaml").objective
    weights = (distill.masked_tokens_weight, distill.kl_weight, distill.cosine_weight, distill.temperature)
    assert weights == (5, 2, 1, 2)
    assert load_recipe(CONFIGS / "biolm" / "distill.yaml").objective.cosine_weight == 0
    electra = load_recipe(CONFIGS / "biom" / "electra-base.yaml").objective
    assert (electra.generator_weight, electra.discriminator_weight) == (1, 50)
    assert (electra.masked_share, electra.random_share) == (0.85, 0)
    optimizer = load_recipe(CONFIGS / "biomedlm" / "biomedlm.yaml").optimizer
    assert (optimizer.betas, optimizer.eps, optimizer.weight_decay) == ((0.9, 0.95), 1e-8, 1.6e-5)
    albert = load_recipe(CONFIGS / "biom" / "albert-xxlarge.yaml").model.model_config
    assert (albert.hidden_size, albert.intermediate_size, albert.num_attention_heads) == (4096, 16384, 64)
