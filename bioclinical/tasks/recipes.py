"""Published fine-tuning recipes: what they set in place of our defaults, by task.

biolm: Lewis et al. 2020 and the commands of their repository (the paper's 0.002 for classification is taken for a
slip of its 2e-5).  blurb: BioLinkBERT-base's, whose BLURB total of 83.39 is the published one we can recompute
(michiyasunaga/LinkBERT, src/run_examples_blurb_biolinkbert-base.sh).
"""

from typing import Any

from bioclinical.errors import UserError
from bioclinical.tasks.suites import SUITES
from bioclinical.tasks.task import Task

Recipe = dict[str, Any]  # names and values of Settings

BIOLM: dict[str, Recipe] = {  # by the suite's kind of task
    "sequence labelling": {
        "lr": 1e-5, "wd": 0.0, "batch_size": 32, "epochs": 20, "max_length": 512, "eval_steps": 500
    },
    "classification": {
        "lr": 2e-5, "wd": 0.0, "batch_size": 16, "epochs": 10, "max_length": 512, "eval_steps": 200
    },
}  # fmt: skip


def blurb(lr: float, batch_size: int, epochs: int, max_length: int, warmup: float = 0.0) -> Recipe:
    return {
        "lr": lr, "wd": 0.0, "batch_size": batch_size, "epochs": epochs, "max_length": max_length, "warmup": warmup
    }  # fmt: skip


# warmup: below 1 the share of all steps, else steps.
BLURB: dict[str, Recipe] = {
    "BC5CDR-chem": blurb(5e-5, 32, 20, 512, warmup=0.1),
    "BC5CDR-disease": blurb(5e-5, 16, 8, 512, warmup=0.1),
    "NCBI-disease": blurb(5e-5, 32, 20, 512, warmup=0.1),
    "BC2GM": blurb(6e-5, 32, 50, 512, warmup=0.1),
    "JNLPBA": blurb(1e-5, 16, 5, 512, warmup=0.1),
    "PICO": blurb(5e-5, 32, 1, 512),
    "ChemProt-BLURB": blurb(3e-5, 32, 10, 256),
    "DDI-BLURB": blurb(2e-5, 32, 5, 256),
    "GAD": blurb(3e-5, 32, 10, 256),
    "BIOSSES": blurb(1e-5, 16, 30, 512),
    # LinkBERT feeds whole abstracts; the length of a sentence is no matter.
    "HoC-BLURB": blurb(4e-5, 32, 40, 512),
    "PubMedQA": blurb(2e-5, 16, 30, 512, warmup=100),
    "BioASQ-yesno": blurb(2e-5, 16, 20, 512, warmup=100),
}
RECIPES = ("biolm", "blurb")


def recipe_for(name: str, task: Task) -> Recipe:
    """What a recipe sets for a task. Raises UserError where it says nothing about it."""
    if name not in RECIPES:
        raise UserError(f"unknown recipe '{name}'; known: {', '.join(RECIPES)}")
    known = BLURB if name == "blurb" else {member.task: BIOLM[member.kind] for member in SUITES["biolm18"].members}
    if task.name not in known:
        raise UserError(f"the recipe {name} says nothing about {task.name}; it covers {', '.join(known)}")
    return known[task.name]
