"""The field's benchmark tasks, by kind; dataloader.py adds them to its own."""

from bioclinical.tasks.catalogue import clinical, documents, entities, pairs, questions, relations, summaries

BENCHMARK_TASKS = [
    *entities.TASKS,
    *clinical.TASKS,
    *relations.TASKS,
    *pairs.TASKS,
    *documents.TASKS,
    *questions.TASKS,
    *summaries.TASKS,
]
