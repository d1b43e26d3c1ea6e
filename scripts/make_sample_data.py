"""Writes invented, seeded, learnable raw files in the exact raw formats of all tasks, and a CSV of notes.

    python scripts/make_sample_data.py [--out data/sample] [--seed 0]

Every name, number and finding is made up. The result is <out>/raw/<task folders> and <out>/notes.csv.
"""

import argparse
import csv
import random
from pathlib import Path

from bioclinical.errors import run_cli
from bioclinical.files import make_folder, write_text
from bioclinical.samples import jargon
from bioclinical.samples.benchmarks import write_benchmarks
from bioclinical.tasks.corpora.phenotype import LABELS as PHENOTYPES

FINDINGS = ("stable overnight", "lungs clear", "abdomen soft", "afebrile", "in no distress", "alert and oriented")
PLANS = ("continue current plan", "monitor urine output", "wean oxygen", "advance diet", "repeat labs in the morning")
PHI_SENTENCES = (
    "{finding} on {date}; {plan}.\n",
    "family called from {phone} and spoke with nurse.\n",
    "patient is a {age} year old, {finding}.\n",
)
MASKS = {"name": "[**Doctor Last Name 12**]", "hospital": "[**Hospital 4**]", "company": "[**Company 3**]"}

LABEL_NOISE = 0.04  # so that no model scores 100 and seeds differ
OUTCOMES = (
    "in a dose-dependent manner",
    "at low concentrations",
    "after two hours",
    'in the so-called "late" phase',
    "in vivo",
)

PHENOTYPE_PHRASES = {label: label.lower().replace(".and.other.", " ").replace(".", " ") for label in PHENOTYPES}


def main() -> None:
    parser = argparse.ArgumentParser(description="Invented sample data for all tasks.")
    parser.add_argument("--out", default="data/sample", help="folder to write to (default: data/sample)")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    args = parser.parse_args()
    make_sample_data(Path(args.out), args.seed)
    print(f"written: {args.out}/raw (five tasks and the benchmarks) and {args.out}/notes.csv")


def make_sample_data(out: Path, seed: int = 0) -> None:
    """Writes every file; equal seeds give equal bytes."""
    raw = out / "raw"
    for number, write in enumerate((write_chemprot, write_phenotype, write_deid, write_cos, write_social_history)):
        write(raw, random.Random(1000 * seed + number))
    write_benchmarks(raw, seed)
    write_notes(out, random.Random(1000 * seed + 999))


def write_chemprot(raw: Path, rng: random.Random) -> None:
    """Three TSVs, minimal quoting; the verb decides the relation, and few of the verbs are in the training file."""
    for split, count in (("train", 60), ("dev", 48), ("test", 240)):
        rows = [("index", "sentence", "label")]
        for i in range(count):
            label = rng.choice(["false", *jargon.RELATIONS])  # `false` twice as often as any other
            meant = label if rng.random() > LABEL_NOISE else rng.choice(jargon.RELATIONS)
            gene = "@CHEM-GENE$" if rng.random() < 0.03 else "@GENE$"
            verb = rng.choice(jargon.VERBS[meant])
            sentence = f"@CHEMICAL$ {verb} {gene} {rng.choice(OUTCOMES)}."
            rows.append((f"{split}{i}.T1.T2", sentence, label))
        write_csv(raw / "ChemProt" / f"{split}.tsv", rows, delimiter="\t")


def write_phenotype(raw: Path, rng: random.Random) -> None:
    """Annotations and notes (with line breaks in quoted cells); the phrases named in a note are its labels."""
    annotations = [("HADM_ID", "SUBJECT_ID", "ROW_ID", *PHENOTYPES, "NONE", "BATCH.DATE", "OPERATOR")]
    notes = [("ROW_ID", "SUBJECT_ID", "HADM_ID", "CHARTDATE", "CATEGORY", "DESCRIPTION", "ISERROR", "TEXT")]
    for row_id in range(1, 321):
        present = rng.sample(PHENOTYPES, k=rng.choice((0, 1, 1, 2, 3)))
        flags = [int(label in present) for label in PHENOTYPES]
        history = "".join(f"- {PHENOTYPE_PHRASES[label]}\n" for label in present) or "- none\n"
        text = f'Discharge summary\nPast "medical" history:\n{history}{paragraph(rng)}'
        annotations.append((9000 + row_id, 1 + row_id // 2, row_id, *flags, int(not present), "2099-01-01", "ABC"))
        notes.append((row_id, 1 + row_id // 2, 9000 + row_id, "2099-01-01", "Discharge summary", "Report", "", text))
        notes.append((100_000 + row_id, 1 + row_id // 2, "", "2099-01-02", "Nursing", "Report", "", paragraph(rng)))
    write_csv(raw / "phenotype" / "ACTdb102003.csv", annotations)
    write_csv(raw / "phenotype" / "NOTEEVENTS.csv", notes)


def write_deid(raw: Path, rng: random.Random) -> None:
    """id.text and id.res: 160 notes of 40 patients, the same text with PHI replaced by masks."""
    texts, masked = [], []
    for number in range(160):
        sentences = [mention(rng), phi_sentence(rng), mention(rng)]
        header = f"START_OF_RECORD={1 + number // 4}||||{1 + number % 4}||||\n"
        texts.append(header + "".join(text for text, _ in sentences) + "\n||||END_OF_RECORD\n")
        masked.append(header + "".join(masked_text for _, masked_text in sentences) + "\n||||END_OF_RECORD\n")
    write_text(raw / "DEID" / "id.text", "\n".join(texts))
    write_text(raw / "DEID" / "id.res", "\n".join(masked))


def mention(rng: random.Random) -> tuple[str, str]:
    """A sentence that does not tell what its invented word is, as it stands and with PHI masked: a drug is none."""
    kind = rng.choice(jargon.KINDS)
    word = rng.choice(jargon.NOUNS[kind])
    sentence = rng.choice(jargon.MENTIONS)
    mask = MASKS.get(kind if rng.random() > LABEL_NOISE else rng.choice(jargon.KINDS), word)
    return sentence.format(word), sentence.format(mask)


def phi_sentence(rng: random.Random) -> tuple[str, str]:
    """A sentence with PHI that shows what it is, as it stands and with the PHI masked."""
    plain = {"finding": rng.choice(FINDINGS), "plan": rng.choice(PLANS)}
    month, day = rng.randint(1, 12), rng.randint(1, 28)
    phi = {"date": f"{month}/{day}", "phone": f"555-{rng.randint(1000, 9999)}", "age": f"{rng.randint(90, 99)}"}
    masks = {"date": f"[**{month}-{day}**]", "phone": "[**Telephone/Fax (1) 77**]", "age": "[**Age over 90 **]"}
    sentence = rng.choice(PHI_SENTENCES)
    return sentence.format(**plain, **phi), sentence.format(**plain, **masks)


class BratDocument:
    """Text under construction with the spans laid over it."""

    def __init__(self) -> None:
        self.text = ""
        self.spans: list[tuple[str, int, int]] = []

    def add(self, text: str, span_type: str | None = None) -> None:
        if span_type:
            self.spans.append((span_type, len(self.text), len(self.text) + len(text)))
        self.text += text

    def annotations(self) -> str:
        lines = [
            f"T{i}\t{span_type} {start} {end}\t" + self.text[start:end].replace("\n", " ")
            for i, (span_type, start, end) in enumerate(self.spans, start=1)
        ]
        return "\n".join([*lines, "#1\tAnnotatorNotes T1\tinvented"]) + "\n"


def write_cos(raw: Path, rng: random.Random) -> None:
    """40 radiology reports with three snippets each."""
    attributes = {"effusion": ("small", "large"), "opacity": ("faint", "dense"), "edema": ("mild", "severe")}
    for number in range(40):
        document = BratDocument()
        document.add("CHEST RADIOGRAPH\n")
        for _ in range(3):
            start = len(document.text)
            finding = rng.choice(list(attributes))
            document.add("The ")
            document.add(f"{rng.choice(('left', 'right'))} {rng.choice(('lower', 'upper'))} lobe", "Loc")
            document.add(" ")
            document.add(finding, "Attr")
            document.add(" is ")
            document.add(rng.choice(attributes[finding]), "Val")
            document.add(", ")
            document.add(rng.choice(("increased", "decreased", "unchanged", "improved")), "Cos")
            document.add(" since ")
            document.add(rng.choice(("the prior study", "yesterday", "the previous film")), "Ref")
            document.add(".")
            document.spans.append(("Snippet", start, len(document.text)))
            document.add("\n")
        write_text(raw / "COS" / f"report{number:03d}.ann", document.annotations())


def write_social_history(raw: Path, rng: random.Random) -> None:
    """80 social histories as .txt/.ann pairs."""
    for number in range(80):
        document = BratDocument()
        document.add("SOCIAL HISTORY: He ")
        document.add(rng.choice(("smokes", "chews tobacco", "smoked")), "Tobacco")
        document.add(" ")
        document.add(f"{rng.randint(1, 3)} packs", "Amount")
        document.add(" ")
        document.add(rng.choice(("per day", "per week")), "Frequency")
        document.add(" and drinks ")
        document.add(rng.choice(("beer", "wine", "whisky")), "Alcohol")
        document.add(" ")
        document.add(rng.choice(("daily", "socially", "on weekends")), "Frequency")
        document.add(" . He ")
        document.add(rng.choice(("quit", "stopped")), "QuitHistory")
        document.add(" ")
        document.add(f"{rng.randint(2, 20)} years ago", "Temporal")
        document.add(" . He lives with his ")
        document.add(rng.choice(("wife", "sister", "parents")), "Family")
        document.add(" and works as a ")
        document.add(rng.choice(("carpenter", "bus driver", "teacher")), "Occupation")
        document.add(" .\n")
        write_text(raw / "SocialHistory" / f"note{number:03d}.txt", document.text)
        write_text(raw / "SocialHistory" / f"note{number:03d}.ann", document.annotations())


def write_notes(out: Path, rng: random.Random) -> None:
    """600 notes in one column, for tokenizers and pre-training; they alone show what the invented words mean."""
    rows = [("note_id", "notes")]
    for i in range(600):
        sentences = [jargon.use(rng) for _ in range(4)] + [jargon.finding(rng) for _ in range(6)]
        sentences += [phi_sentence(rng)[0], mention(rng)[0]]
        rng.shuffle(sentences)
        sentences.append(f"History of {PHENOTYPE_PHRASES[rng.choice(PHENOTYPES)]}. {paragraph(rng)}")
        rows.append((i, "".join(sentences[: rng.randint(3, len(sentences))])))
    write_csv(out / "notes.csv", rows)


def paragraph(rng: random.Random) -> str:
    """A few unremarkable sentences."""
    return " ".join(f"Patient {rng.choice(FINDINGS)}, {rng.choice(PLANS)}.\n" for _ in range(rng.randint(2, 5)))


def write_csv(path: Path, rows: list[tuple], delimiter: str = ",") -> None:
    make_folder(path.parent)
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    run_cli(main)
