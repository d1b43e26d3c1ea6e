"""Questions over texts: SQuAD and the biomedical sets in its form."""

from bioclinical.tasks.published import Published
from bioclinical.tasks.readers.squad import SquadReader
from bioclinical.tasks.task import Task

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
]
