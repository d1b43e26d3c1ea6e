"""Named entities of biomedical texts, and PICO's words."""

from bioclinical.tasks.published import Counts, Published
from bioclinical.tasks.readers.conll import ConllReader
from bioclinical.tasks.task import Task, bio_tags

MTL_FILES = ("train.tsv", "devel.tsv", "test.tsv")
MTL = "Get it from the GitHub repository cambridgeltl/MTL-Bioinformatics-2016, folder data/{}"
BLUE = "Get it from bert_data.zip of the BLUE_Benchmark GitHub release 0.1, folder {}"
MTL_LICENCE = "CC BY 4.0 (the collection); the corpora's own terms"
JNLPBA_TYPES = ("DNA", "RNA", "cell_line", "cell_type", "protein")
ANATEM_TYPES = (
    "Anatomical_system", "Cancer", "Cell", "Cellular_component", "Developing_anatomical_structure",
    "Immaterial_anatomical_entity", "Multi-tissue_structure", "Organ", "Organism_subdivision", "Organism_substance",
    "Pathological_formation", "Tissue",
)  # fmt: skip
PICO_CLASSES = ("PAR", "INT", "OUT")


def entity_task(
    name: str,
    types: tuple[str, ...],
    folder: str,
    sentences: Counts | None = None,
    entities: Counts | None = None,
    others: dict[str, tuple[int, int, int]] | None = None,
) -> Task:
    """A corpus of the MTL collection: two columns; a single type may be left out of the tags (BioBERT's copies)."""
    return Task(
        name=name,
        problem="token_classification",
        reader=ConllReader(MTL_FILES, columns=2, bare_type=types[0] if len(types) == 1 else None),
        labels=bio_tags(types),
        folder=name,
        source=MTL.format(folder),
        licence=MTL_LICENCE,
        published=Published(examples=sentences, entities=entities, others=others or {}),
    )


def blue_entity_task(name: str, entity_type: str, folder: str, entities: Counts, sentences: Counts | None) -> Task:
    """A corpus of BLUE's release: four columns (token, document, offset, tag), tags without types."""
    return Task(
        name=name,
        problem="token_classification",
        reader=ConllReader(MTL_FILES, columns=4, bare_type=entity_type),
        labels=bio_tags((entity_type,)),
        folder=name,
        source=BLUE.format(folder),
        licence="as BLUE's sources",
        published=Published(examples=sentences, entities=entities),
    )


TASKS = [
    entity_task(
        "BC5CDR-chem", ("Chemical",), "BC5CDR-chem-IOB", (4_560, 4_581, 4_797), (5_203, 5_347, 5_385)
    ),
    entity_task(
        "BC5CDR-disease", ("Disease",), "BC5CDR-disease-IOB", (4_560, 4_581, 4_797), (4_182, 4_246, 4_424)
    ),
    entity_task("BC5CDR", ("Chemical", "Disease"), "BC5CDR-IOB", (4_560, 4_581, 4_797)),
    entity_task("NCBI-disease", ("Disease",), "NCBI-disease-IOB", (5_424, 923, 940), (5_134, 787, 960)),
    entity_task("BC2GM", ("GENE",), "BC2GM-IOB", (12_574, 2_519, 5_038), (15_197, 3_061, 6_325)),
    entity_task("BC4CHEMD", ("Chemical",), "BC4CHEMD-IOB"),
    entity_task("LINNAEUS", ("Species",), "linnaeus-IOB", (11_935, 4_078, 7_142), (2_119, 711, 1_433)),
    Task(
        name="Species-800",
        problem="token_classification",
        reader=ConllReader(MTL_FILES, columns=2, bare_type="Species"),
        labels=bio_tags(("Species",)),
        folder="Species-800",
        source="Get it from BioBERT's NERdata.zip, folder s800 (Google Drive, linked from dmis-lab/biobert)",
        licence="as the corpus' owners say (species.jensenlab.org)",
    ),
    Task(
        name="JNLPBA",
        problem="token_classification",
        reader=ConllReader(MTL_FILES, columns=2, untyped=True),
        labels=("B", "I", "O"),
        folder="JNLPBA",
        source="Get it with scripts/download_data.py JNLPBA (Genia4ERtraining and Genia4ERtest of nactem.ac.uk)",
        licence="GENIA project licence",
        published=Published(entities=(46_750, 4_551, 8_662)),
    ),
    Task(
        name="JNLPBA-5types",
        problem="token_classification",
        reader=ConllReader(MTL_FILES, columns=2),
        labels=bio_tags(JNLPBA_TYPES),
        folder="JNLPBA",
        source="Get it with scripts/download_data.py JNLPBA (Genia4ERtraining and Genia4ERtest of nactem.ac.uk)",
        licence="GENIA project licence",
        published=Published(entities=(46_750, 4_551, 8_662)),
    ),
    Task(
        name="AnatEM",
        problem="token_classification",
        reader=ConllReader(MTL_FILES, columns=2),
        labels=bio_tags(ANATEM_TYPES),
        folder="AnatEM",
        source="Get it with scripts/download_data.py AnatEM (the GitHub repository openbiocorpora/anatem)",
        licence="CC BY-SA 3.0 (annotations); texts of PubMed and PMC open access",
        published=Published(
            examples=(5_861, 2_118, 3_830), entities=(6_946, 2_139, 4_616), groups=(606, 202, 404)
        ),
    ),
    Task(
        name="PICO",
        problem="token_classification",
        reader=ConllReader(("train.tsv", "dev.tsv", "test.tsv"), columns=2),
        labels=tuple(f"I-{name}" for name in PICO_CLASSES) + ("O",),
        metric="word_macro_f1",
        selection_metric="word_macro_f1",
        folder="PICO",
        source="Get it with scripts/download_data.py PICO (ebm_nlp_2_00 of the GitHub repository bepnye/EBM-NLP)",
        licence="none stated",
        # Words of the three classes; O is not among BLURB's counts.
        published=Published(groups=(3_842, 960, 191), words=(None, 262_268, 51_784)),
    ),
    blue_entity_task("BC5CDR-chem-BLUE", "Chemical", "BC5CDR/chem", (5_203, 5_347, 5_385), None),
    blue_entity_task("BC5CDR-disease-BLUE", "Disease", "BC5CDR/disease", (4_182, 4_244, 4_424), None),
    blue_entity_task("ShARe-CLEFE", "Disorder", "ShAReCLEFEHealthCorpus", (4_628, 1_075, 5_195), None),
]  # fmt: skip
