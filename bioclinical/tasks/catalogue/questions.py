"""Questions: answered by a piece of a text (SQuAD, COVID-QA, BioASQ), or by one of several options (MedQA, MedMCQA,
MMLU)."""

from bioclinical.tasks.corpora.bioasq import YES_NO, BioasqReader
from bioclinical.tasks.published import Published
from bioclinical.tasks.readers.choices import ChoiceReader
from bioclinical.tasks.readers.squad import SquadReader
from bioclinical.tasks.task import Task

MEDQA_FILES = tuple((f"phrases_no_exclude_{split}.jsonl",) for split in ("train", "dev", "test"))
MMLU_MEDICAL = (
    "anatomy",
    "clinical_knowledge",
    "college_biology",
    "college_medicine",
    "medical_genetics",
    "professional_medicine",
)
# The year that BioBERT and BioM report: its training questions, and the golden files of its five batches.
BIOASQ_TRAINING, BIOASQ_GOLDEN = "training7b.json", tuple(f"7B{batch}_golden.json" for batch in range(1, 6))
BIOASQ_SITE = (
    "Register at participants-area.bioasq.org; get training7b.json and Task7BGoldenEnriched (7B1_golden.json to "
    "7B5_golden.json)"
)
BIOASQ_LICENCE = "NLM terms (registration)"
SQUAD_SITE = "Get both files from rajpurkar.github.io/SQuAD-explorer"

TASKS = [
    Task(
        name="SQuAD2",
        problem="span_qa",
        reader=SquadReader(files=("train-v2.0.json", "dev-v2.0.json"), articles_are_groups=False),
        folder="SQuAD2",
        source=SQUAD_SITE,
        licence="CC BY-SA 4.0",
        published=Published(examples=(None, None, 11_873)),
    ),
    Task(
        name="SQuAD1",
        problem="span_qa",
        reader=SquadReader(files=("train-v1.1.json", "dev-v1.1.json"), articles_are_groups=False),
        folder="SQuAD1",
        source=SQUAD_SITE,
        licence="CC BY-SA 4.0",
        published=Published(examples=(None, None, 10_570)),
    ),
    Task(
        name="COVID-QA",
        problem="span_qa",
        reader=SquadReader(files=("COVID-QA.json",)),
        options={"longest_answer": 200},  # 24 % of the answers are longer than the usual 30 tokens
        folder="COVID-QA",
        source="Get COVID-QA.json from the GitHub repository deepset-ai/COVID-QA",
        licence="Apache 2.0",
    ),
    Task(
        name="BioASQ7b-yesno",
        problem="single_label_classification",
        reader=BioasqReader("yesno", BIOASQ_TRAINING, BIOASQ_GOLDEN),
        labels=YES_NO,
        metric="macro_f1",
        selection_metric="macro_f1",
        folder="BioASQ7b",
        source=BIOASQ_SITE,
        licence=BIOASQ_LICENCE,
    ),
    Task(
        name="BioASQ7b-factoid",
        problem="factoid_qa",
        reader=BioasqReader("factoid", BIOASQ_TRAINING, BIOASQ_GOLDEN),
        folder="BioASQ7b",
        source=BIOASQ_SITE,
        licence=BIOASQ_LICENCE,
        published=Published(groups=(None, None, 162)),  # 39, 25, 29, 34 and 35 in the batches
    ),
    Task(
        name="BioASQ7b-list",
        problem="list_qa",
        reader=BioasqReader("list", BIOASQ_TRAINING, BIOASQ_GOLDEN),
        folder="BioASQ7b",
        source=BIOASQ_SITE,
        licence=BIOASQ_LICENCE,
    ),
    Task(
        name="MedQA",
        problem="multiple_choice",
        reader=ChoiceReader("medqa", MEDQA_FILES),
        folder="MedQA",
        source="Get data_clean/questions/US/4_options of the data that the GitHub repository jind11/MedQA links to",
        licence="MIT",
        published=Published(examples=(None, None, 1_273)),
    ),
    Task(
        name="MedMCQA",
        problem="multiple_choice",
        reader=ChoiceReader("medmcqa", (("train.jsonl",), (), ("dev.jsonl",))),
        folder="MedMCQA",
        source="Get the data that the GitHub repository medmcqa/medmcqa links to; rename its files to .jsonl",
        licence="MIT",
        published=Published(examples=(None, None, 4_183)),
    ),
    Task(
        name="MMLU-medical",
        problem="multiple_choice",
        reader=ChoiceReader(
            "mmlu",
            tuple(
                tuple(f"{split}/{subject}_{split}.csv" for subject in MMLU_MEDICAL) for split in ("dev", "val", "test")
            ),
        ),
        folder="MMLU",
        source="Get it with scripts/download_data.py MMLU (data.tar of people.eecs.berkeley.edu/~hendrycks)",
        licence="MIT",
        published=Published(examples=(30, 123, 1_099)),
    ),
]
