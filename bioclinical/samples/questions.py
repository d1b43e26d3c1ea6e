"""Invented questions, choices and dialogues in the raw formats of SQuAD, BioASQ, MedQA, MedMCQA, MMLU and MTS-Dialog.
All of it is made up."""

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


def write_bioasq_year(folder: Path, rng: random.Random) -> None:
    """A training file and five golden batches in BioASQ's own form, all kinds of questions in each."""
    number = 0
    for name, count in (("training7b", 150), *((f"7B{batch}_golden", 12) for batch in range(1, 6))):
        questions = [bioasq_question(rng, number + i) for i in range(count)]
        number += count
        write_json(folder / f"{name}.json", {"questions": questions})


def bioasq_question(rng: random.Random, number: int) -> dict[str, Any]:
    """A yesno, factoid, list or summary question with two or three snippets, one of which answers it."""
    kind = ("yesno", "factoid", "list", "yesno", "factoid", "summary")[number % 6]
    drugs, reason = rng.sample(DRUGS, 2), rng.choice(REASONS)
    if kind == "yesno":
        answer = rng.choice(("yes", "no"))
        body = f"Does {drugs[0]} help against {reason}?"
        said = f"It is known that {drugs[0]} {'helps' if answer == 'yes' else 'never helps'} against {reason}."
    elif kind == "factoid":
        answer, body = [[drugs[0], f"{drugs[0]} sodium"]], f"Which drug was given against {reason}?"
        said = f"The patient took {drugs[0]}, because of {reason}."
    elif kind == "list":
        answer, body = [[drug] for drug in drugs], f"Which two drugs were given against {reason}?"
        said = f"The patient took {drugs[0]} or {drugs[1]}, because of {reason}."
    else:
        answer, body, said = None, f"What is known about {drugs[0]}?", f"Much is known about {drugs[0]}."
    texts = [said, *rng.sample(FILLERS, rng.randint(1, 2))]
    rng.shuffle(texts)
    question = {"id": f"{number:024x}", "type": kind, "body": body, "snippets": [{"text": text} for text in texts]}
    return question | ({} if answer is None else {"exact_answer": answer}) | {"ideal_answer": ["Invented."]}


def write_medmcqa(path: Path, rng: random.Random, questions: int) -> None:
    """JSON lines in MedMCQA's form, the gold option's number in `cop`."""
    lines = []
    for number in range(questions):
        answer, options = rng.randrange(4), rng.sample(REASONS, 3)
        options.insert(answer, rng.choice(DRUGS))
        row = {"id": f"invented-{path.stem}-{number}", "question": f"{rng.choice(FILLERS)} Which of these is a drug?"}
        row |= {f"op{letter}": option for letter, option in zip("abcd", options)}
        lines.append(json.dumps(row | {"cop": answer + 1, "exp": "It is made up."}) + "\n")
    write_text(path, "".join(lines))


def write_mmlu(path: Path, rng: random.Random, questions: int) -> None:
    """A CSV in MMLU's form: question, four options, letter; no header."""
    table = io.StringIO()
    writer = csv.writer(table)
    for _ in range(questions):
        answer, options = rng.randrange(4), rng.sample(REASONS, 3)
        options.insert(answer, rng.choice(DRUGS))
        writer.writerow((f"{rng.choice(FILLERS)}\nWhich of these is a drug?", *options, "ABCD"[answer]))
    write_text(path, table.getvalue())


def write_medqa_files(folder: Path, rng: random.Random) -> None:
    """MedQA's three files."""
    for split, questions in (("train", 60), ("dev", 12), ("test", 20)):
        write_medqa(folder / f"phrases_no_exclude_{split}.jsonl", rng, questions)


def write_medmcqa_files(folder: Path, rng: random.Random) -> None:
    """MedMCQA's two files with gold answers."""
    for split, questions in (("train", 60), ("dev", 20)):
        write_medmcqa(folder / f"{split}.jsonl", rng, questions)


def write_mmlu_files(folder: Path, rng: random.Random, subjects: tuple[str, ...]) -> None:
    """MMLU's three files a subject."""
    for subject in subjects:
        for split, questions in (("dev", 5), ("val", 4), ("test", 4)):
            write_mmlu(folder / split / f"{subject}_{split}.csv", rng, questions)
