"""Two texts: entailment, similarity, questions about an abstract."""

from dataclasses import replace

from bioclinical.tasks.corpora import pubmedqa, rqe
from bioclinical.tasks.published import Published
from bioclinical.tasks.readers.delimited import DelimitedReader
from bioclinical.tasks.task import Task

TASKS = [
    Task(
        name="MedNLI",
        problem="single_label_classification",
        reader=DelimitedReader(
            files=("mli_train_v1.jsonl", "mli_dev_v1.jsonl", "mli_test_v1.jsonl"),
            text_column="sentence1",
            text_b_column="sentence2",
            label_column="gold_label",
            id_column="pairID",
        ),
        labels=("contradiction", "entailment", "neutral"),
        metric="accuracy",
        selection_metric="accuracy",
        folder="MedNLI",
        source="Get the three files from physionet.org/content/mednli (credentialed)",
        licence="PhysioNet credentialed licence",
        published=Published(
            examples=(11_232, 1_395, 1_422),
            labels={
                "contradiction": (3_744, 465, 474), "entailment": (3_744, 465, 474), "neutral": (3_744, 465, 474)
            },
        ),
    ),
    Task(
        name="RQE",
        problem="single_label_classification",
        reader=rqe.RqeReader(),
        labels=rqe.LABELS,
        metric="accuracy",
        selection_metric="accuracy",
        folder="RQE",
        source="Get both XML files from the GitHub repository abachaa/RQE_Data_AMIA2016",
        licence="CC BY 4.0",
        published=Published(examples=(None, None, 302), labels={"true": (None, None, 129), "false": (None, None, 173)}),
    ),
    Task(
        name="BIOSSES",
        problem="regression",
        reader=DelimitedReader(
            files=("train.tsv", "dev.tsv", "test.tsv"),
            text_column="sent1",
            text_b_column="sent2",
            label_column="score",
            id_column="pair_id",
            delimiter="\t",
            quoted=False,
        ),
        metric="pearson",
        selection_metric="pearson",
        folder="BIOSSES",
        source="Make it with Microsoft's data_generation.tar.gz (microsoft.github.io/BLURB); docs/data.md",
        licence="GPL-3 (the corpus)",
        published=Published(examples=(64, 16, 20)),
    ),
    Task(
        name="MedSTS",
        problem="regression",
        reader=DelimitedReader(
            files=("train.tsv", "dev.tsv", "test.tsv"),
            text_column="sentence1",
            text_b_column="sentence2",
            label_column="score",
            id_column="index",
            delimiter="\t",
        ),
        metric="pearson",
        selection_metric="pearson",
        folder="MedSTS",
        source="Ask its owners (Mayo Clinic) for the corpus; BLUE's split and columns (docs/data.md)",
        licence="data use agreement",
        published=Published(examples=(675, 75, 318)),
    ),
    Task(
        name="PubMedQA",
        problem="single_label_classification",
        reader=pubmedqa.PubmedQaReader(),
        labels=pubmedqa.LABELS,
        metric="accuracy",
        selection_metric="accuracy",
        folder="PubMedQA",
        source="Get ori_pqal.json and test_ground_truth.json from the GitHub repository pubmedqa/pubmedqa, folder data",
        licence="MIT",
        folds=tuple(pubmedqa.FOLDS),
        default_fold=pubmedqa.BLURB_FOLD,
        published=Published(
            examples=(450, 50, 500),
            labels={"yes": (249, 27, 276), "no": (152, 17, 169), "maybe": (49, 6, 55)},
        ),
    ),
    Task(
        name="BioASQ-yesno",
        problem="single_label_classification",
        reader=DelimitedReader(
            files=("train.tsv", "dev.tsv", "test.tsv"),
            text_column="question",
            text_b_column="snippets",
            label_column="label",
            id_column="index",
            delimiter="\t",
            header=("index", "question", "snippets", "label"),
            quoted=False,
        ),
        labels=("no", "yes"),
        metric="accuracy",
        selection_metric="accuracy",
        folder="BioASQ-yesno",
        source="Register at participants-area.bioasq.org; BLURB's split with Microsoft's data_generation.tar.gz",
        licence="NLM terms (registration)",
        published=Published(
            examples=(670, 75, 140), labels={"yes": (552, 62, 94), "no": (118, 13, 46)}
        ),
    ),
]  # fmt: skip
# The same pairs for training an encoder whose vectors are compared, without a head (docs/vectors.md).
TASKS += [
    replace(task, name=f"{task.name}-vectors", problem="vector_pairs") for task in TASKS if task.problem == "regression"
]
