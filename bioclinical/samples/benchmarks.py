"""Invented raw files of every benchmark task, by the folder below data/raw that they belong to."""

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bioclinical.samples import clinical, documents, entities, pairs, questions, relations
from bioclinical.tasks.catalogue.entities import JNLPBA_TYPES
from bioclinical.tasks.catalogue.questions import MMLU_MEDICAL

CHEMPROT = ("@CHEMICAL$", "@GENE$")
DDI = {"verbs": relations.DDI_VERBS, "first": "@DRUG$", "second": "@DRUG$", "prefix": "DDI-Sample."}

WRITERS: dict[str, Callable[[Path, random.Random], None]] = {
    "BC5CDR-chem": partial(entities.write_mtl, types=("Chemical",)),
    "BC5CDR-disease": partial(entities.write_mtl, types=("Disease",)),
    "BC5CDR": partial(entities.write_mtl, types=("Chemical", "Disease")),
    "NCBI-disease": partial(entities.write_mtl, types=("Disease",)),
    "BC2GM": partial(entities.write_mtl, types=("GENE",)),
    "BC4CHEMD": partial(entities.write_mtl, types=("Chemical",)),
    "LINNAEUS": partial(entities.write_mtl, types=("Species",)),
    "Species-800": partial(entities.write_mtl, types=("Species",)),
    "JNLPBA": partial(entities.write_mtl, types=JNLPBA_TYPES),
    "AnatEM": partial(entities.write_mtl, types=("Cancer", "Cell", "Organ", "Tissue", "Cellular_component")),
    "PICO": entities.write_pico,
    "BC5CDR-chem-BLUE": partial(entities.write_blue, entity_type="Chemical"),
    "BC5CDR-disease-BLUE": partial(entities.write_blue, entity_type="Disease"),
    "ShARe-CLEFE": partial(entities.write_blue, entity_type="Disease"),
    "i2b2-2010": clinical.write_i2b2_2010,
    "i2b2-2012": clinical.write_i2b2_2012,
    "i2b2-2014": clinical.write_i2b2_2014,
    "ChemProt-BLURB": partial(
        relations.write_blurb, verbs=relations.CHEMPROT_VERBS, first=CHEMPROT[0], second=CHEMPROT[1]
    ),
    "DDI-BLURB": partial(relations.write_blurb, **DDI),
    "DDI-BLUE": partial(relations.write_blue, **DDI),
    "GAD": relations.write_gad,
    "GAD-10fold": relations.write_folds,
    "EU-ADR": relations.write_folds,
    "MedNLI": pairs.write_mednli,
    "RQE": pairs.write_rqe,
    "BIOSSES": partial(pairs.write_similarity, columns=("pair_id", "sent1", "sent2")),
    "MedSTS": partial(pairs.write_similarity, columns=("index", "sentence1", "sentence2")),
    "PubMedQA": pairs.write_pubmedqa,
    "BioASQ-yesno": pairs.write_bioasq,
    "HoC-BLURB": documents.write_hoc_blurb,
    "HoC-BLUE": documents.write_hoc_blue,
    "BioASQ7b": questions.write_bioasq_year,
    "MedQA": questions.write_medqa_files,
    "MedMCQA": questions.write_medmcqa_files,
    "MMLU": partial(questions.write_mmlu_files, subjects=MMLU_MEDICAL),
}


def write_benchmarks(raw: Path, seed: int = 0) -> None:
    """Writes every folder; equal seeds give equal bytes."""
    for number, (folder, write) in enumerate(WRITERS.items()):
        write(raw / folder, random.Random(1000 * seed + 100 + number))
