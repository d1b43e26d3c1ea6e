"""Texts to be written: summaries of consumers' questions, notes of doctor-patient dialogues."""

from bioclinical.tasks.published import Published
from bioclinical.tasks.readers.summaries import SummaryReader
from bioclinical.tasks.task import Task

TASKS = [
    Task(
        name="MeQSum",
        problem="generation",
        reader=SummaryReader(("MeQSum.csv",), source_column="CHQ", target_column="Summary", id_column="File"),
        metric="rouge1_stemmed",
        folder="MeQSum",
        source="Get the .xlsx from the GitHub repository abachaa/MeQSum; save its sheet QS as MeQSum.csv (UTF-8)",
        licence="CC BY 4.0",
    ),
    Task(
        name="MTS-Dialog",
        problem="generation",
        reader=SummaryReader(
            (
                "MTS-Dialog-TrainingSet.csv",
                "MTS-Dialog-ValidationSet.csv",
                "MTS-Dialog-TestSet-1-MEDIQA-Chat-2023.csv",
            ),
            source_column="dialogue",
            target_column="section_text",
        ),
        metric="rouge1",
        folder="MTS-Dialog",
        source="Get the CSV files of Main-Dataset from the GitHub repository abachaa/MTS-Dialog",
        licence="CC BY 4.0",
        published=Published(examples=(1_201, 100, 200)),
    ),
    Task(
        name="ACI-Bench",
        problem="generation",
        reader=SummaryReader(
            ("train.csv", "valid.csv", "clinicalnlp_taskB_test1.csv"),
            source_column="dialogue",
            target_column="note",
            id_column="encounter_id",
        ),
        metric="rouge1",
        folder="ACI-Bench",
        source="Get data/challenge_data from the GitHub repository wyim/aci-bench",
        licence="CC BY 4.0",
        published=Published(examples=(67, 20, 40)),
    ),
]
