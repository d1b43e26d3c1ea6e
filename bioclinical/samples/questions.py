"""Invented questions, choices and dialogues in the raw formats of SQuAD, MedQA and MTS-Dialog. All of it is made up."""

import csv
import io
import json
import random
from pathlib import Path
from typing import Any

from bioclinical.files import write_json, write_text

DRUGS = ("aspirin", "warfarin", "metformin", "ibuprofen", "heparin", "digoxin")
DOSES = ("5 mg", "20 mg", "40 mg", "80 mg")
REASONS = ("chest pain", "fever", "a clot", "gout", "high sugar")
FILLERS = ("The patient slept well.", "No complaints today.", "Vital signs were stable.", "He walked with help.")
QUESTIONS = {"drug": "Which drug was given?", "dose": "What dose was given?", "reason": "Why was it given?"}


def write_squad(path: Path, rng: random.Random, articles: int, with_impossible: bool = True) -> None:
    """A file in SQuAD's form: an invented note a paragraph, three questions each, some without an answer."""
    data = [{"title": f"note {i}", "paragraphs": [paragraph(rng, i, with_impossible)]} for i in range(articles)]
    write_json(path, {"version": "invented", "data": data})


def paragraph(rng: random.Random, number: int, with_impossible: bool) -> dict[str, Any]:
    """A context that names a drug, its dose and the reason, of which one may be missing; and a question for each."""
    facts = {"drug": rng.choice(DRUGS), "dose": rng.choice(DOSES), "reason": rng.choice(REASONS)}
    missing = rng.choice((None, "dose", "reason")) if with_impossible else None
    sentence = f"The patient took {facts['drug']}"
    sentence += "" if missing == "dose" else f", {facts['dose']}"
    sentence += "." if missing == "reason" else f", because of {facts['reason']}."
    context = " ".join([*rng.sample(FILLERS, 2)[: rng.randint(0, 2)], sentence, rng.choice(FILLERS)])
    questions = []
    for kind, question in QUESTIONS.items():
        start = context.index(facts[kind], context.index("took")) if kind != missing else -1
        answers = [{"text": facts[kind], "answer_start": start}] if kind != missing else []
        identity = f"{number}-{kind}"
        questions.append({"id": identity, "question": question, "answers": answers, "is_impossible": not answers})
    return {"context": context, "qas": questions}


def write_medqa(path: Path, rng: random.Random, questions: int) -> None:
    """JSON lines in MedQA's form: which of four options is a drug, or a dose; the others are reasons."""
    lines = []
    for _ in range(questions):
        kind, right = rng.choice((("drug", rng.choice(DRUGS)), ("dose", rng.choice(DOSES))))
        answer, options = rng.randrange(4), rng.sample(REASONS, 3)
        options.insert(answer, right)
        question = f"{rng.choice(FILLERS)} Which of these is a {kind}?"
        row = {"question": question, "options": dict(zip("ABCD", options)), "answer_idx": "ABCD"[answer]}
        lines.append(json.dumps(row) + "\n")
    write_text(path, "".join(lines))


def write_dialogues(path: Path, rng: random.Random, rows: int) -> None:
    """A CSV in MTS-Dialog's form, line breaks inside the cells: what was taken, and the note about it."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(("ID", "section_header", "section_text", "dialogue"))
    for number in range(rows):
        drug, reason = rng.choice(DRUGS), rng.choice(REASONS)
        dialogue = f"Doctor: What do you take?\nPatient: {drug}.\nDoctor: Why?\nPatient: Because of {reason}."
        writer.writerow((number, "MEDICATIONS", f"Takes {drug} for {reason}.", dialogue))
    write_text(path, table.getvalue())
