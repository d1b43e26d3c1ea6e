"""Relations between two mentions of a sentence: drugs, chemicals and genes, genes and diseases."""

from bioclinical.tasks.corpora.biobert_folds import FOLDS, BioBertFoldsReader
from bioclinical.tasks.published import Published
from bioclinical.tasks.readers.delimited import DelimitedReader
from bioclinical.tasks.task import Task

FILES = ("train.tsv", "dev.tsv", "test.tsv")
HEADER = ("index", "sentence", "label")
CHEMPROT_LABELS = ("CPR:3", "CPR:4", "CPR:5", "CPR:6", "CPR:9", "false")
DDI_LABELS = ("DDI-advise", "DDI-effect", "DDI-int", "DDI-mechanism", "DDI-false")
CHEMPROT_SIZES = {"ChemProt": (19_460, 11_820, 16_943), "ChemProt-BLURB": (18_035, 11_268, 15_745)}
DDI_SIZES = {"DDI-BLUE": (18_779, 7_244, 5_761), "DDI-BLURB": (25_296, 2_496, 5_716)}
BLURB = "Make it with Microsoft's data_generation.tar.gz (microsoft.github.io/BLURB) or our conversion (docs/data.md)"
BIOBERT = "Get REdata.zip of BioBERT (Google Drive, linked from dmis-lab/biobert), folder {}"

CHEMPROT_PUBLISHED = Published(
    examples=CHEMPROT_SIZES["ChemProt"],
    labels={
        "CPR:3": (768, 550, 665),
        "CPR:4": (2_251, 1_094, 1_661),
        "CPR:5": (173, 116, 195),
        "CPR:6": (235, 199, 293),
        "CPR:9": (727, 457, 644),
        "false": (15_306, 9_404, 13_485),
    },
    others={"ChemProt-BLURB": CHEMPROT_SIZES["ChemProt-BLURB"]},
)


def rows(group_pattern: str | None, header: tuple[str, ...] | None, quoted: bool) -> DelimitedReader:
    """index, sentence, label. group_pattern: what of the index names the document, None where it names nothing."""
    return DelimitedReader(
        files=FILES,
        text_column="sentence",
        label_column="label",
        id_column="index",
        delimiter="\t",
        group_column="index" if group_pattern else None,
        group_pattern=group_pattern or "(?s).*",
        header=header,
        quoted=quoted,
    )


TASKS = [
    Task(
        name="ChemProt-BLURB",
        problem="single_label_classification",
        reader=rows("[^.]*", HEADER, quoted=False),
        labels=CHEMPROT_LABELS,
        negative_label="false",
        selection_metric="micro_f1_5",
        folder="ChemProt-BLURB",
        source=BLURB,
        licence="BioCreative VI terms",
        published=Published(examples=CHEMPROT_SIZES["ChemProt-BLURB"], others={"ChemProt": CHEMPROT_SIZES["ChemProt"]}),
    ),
    Task(
        name="DDI-BLUE",
        problem="single_label_classification",
        reader=rows(r"[^.]*\.[^.]*", None, quoted=True),
        labels=DDI_LABELS,
        negative_label="DDI-false",
        selection_metric="micro_f1_4",
        folder="DDI-BLUE",
        source="Get it from bert_data.zip of the BLUE_Benchmark GitHub release 0.1, folder ddi2013-type",
        licence="non-commercial research",
        published=Published(
            examples=DDI_SIZES["DDI-BLUE"],
            labels={
                "DDI-advise": (633, 193, 221),
                "DDI-effect": (1_212, 396, 360),
                "DDI-int": (146, 42, 96),
                "DDI-mechanism": (946, 373, 302),
                "DDI-false": (15_842, 6_240, 4_782),
            },
            others={"DDI-BLURB": DDI_SIZES["DDI-BLURB"]},
        ),
    ),
    Task(
        name="DDI-BLURB",
        problem="single_label_classification",
        reader=rows(r"[^.]*\.[^.]*", HEADER, quoted=False),
        labels=DDI_LABELS,
        negative_label="DDI-false",
        selection_metric="micro_f1_4",
        folder="DDI-BLURB",
        source=BLURB,
        licence="non-commercial research",
        published=Published(
            examples=DDI_SIZES["DDI-BLURB"],
            labels={
                "DDI-advise": (None, 101, 221),
                "DDI-effect": (None, 201, 360),
                "DDI-int": (None, 11, 96),
                "DDI-mechanism": (None, 156, 302),
                "DDI-false": (None, 2_027, 4_737),
            },
            others={"DDI-BLUE": DDI_SIZES["DDI-BLUE"]},
        ),
    ),
    Task(
        name="GAD",
        problem="single_label_classification",
        reader=rows(None, None, quoted=False),
        labels=("0", "1"),
        negative_label="0",
        selection_metric="micro_f1_1",
        folder="GAD",
        source=f"{BLURB}; it is fold 1 of {BIOBERT.format('GAD')}",
        licence="none stated",
        published=Published(examples=(4_261, 535, 534), labels={"1": (None, 293, 281)}),
    ),
    Task(
        name="GAD-10fold",
        problem="single_label_classification",
        reader=BioBertFoldsReader(),
        labels=("0", "1"),
        negative_label="0",
        selection_metric="micro_f1_1",
        folder="GAD-10fold",
        source=BIOBERT.format("GAD"),
        licence="none stated",
        folds=FOLDS,
        selects_on_test=True,
    ),
    Task(
        name="EU-ADR",
        problem="single_label_classification",
        reader=BioBertFoldsReader(),
        labels=("0", "1"),
        negative_label="0",
        selection_metric="micro_f1_1",
        folder="EU-ADR",
        source=BIOBERT.format("euadr"),
        licence="none stated",
        folds=FOLDS,
        selects_on_test=True,
    ),
]
