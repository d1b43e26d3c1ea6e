"""Invented pairs of texts in the files of BIOSSES, MedSTS, MedNLI, RQE, PubMedQA and BioASQ."""

import json
import random
from pathlib import Path
from xml.sax.saxutils import escape

from bioclinical.files import write_text
from bioclinical.tasks.corpora.pubmedqa import BLURB_FOLD, split_ids

WORDS = ["tumor", "gene", "protein", "growth", "cell", "receptor", "pathway", "binding", "mutation", "dose"]
SIZES = {"train": 48, "dev": 16, "test": 24}
CONCLUSIONS = {"yes": "It clearly helped .", "no": "It did not help .", "maybe": "Results were mixed ."}


def similar_pair(rng: random.Random) -> tuple[str, str, float]:
    """Two texts of five words and how many they share, 0 to 4 of 5 changed."""
    shared = rng.randint(0, 4)
    first = rng.sample(WORDS, 5)
    others = [word for word in WORDS if word not in first]
    return " ".join(first), " ".join(first[:shared] + others[shared:5]), float(shared)


def write_similarity(folder: Path, rng: random.Random, columns: tuple[str, str, str]) -> None:
    """Tab-separated with a header. columns: of the id and of the two texts."""
    for split, count in SIZES.items():
        lines = ["\t".join([*columns, "score"])]
        for i in range(count):
            first, second, score = similar_pair(rng)
            lines.append(f"{split}{i}\t{first}\t{second}\t{score}")
        write_text(folder / f"{split}.tsv", "\n".join(lines) + "\n")


def write_mednli(folder: Path, rng: random.Random) -> None:
    """JSON lines as PhysioNet has them."""
    hypotheses = {"entailment": "has a fever", "contradiction": "has no fever", "neutral": "has a brother"}
    for split, count in SIZES.items():
        lines = []
        for i in range(count):
            label = rng.choice(list(hypotheses))
            row = {"sentence1": "Temperature was 39 degrees .", "sentence2": f"The patient {hypotheses[label]} ."}
            lines.append(json.dumps({"gold_label": label, "pairID": f"{split}{i}"} | row))
        write_text(folder / f"mli_{split}_v1.jsonl", "\n".join(lines) + "\n")


def write_rqe(folder: Path, rng: random.Random) -> None:
    """The two XML files of the release."""
    files = (("RQE_Train_8588_AMIA2016.xml", 60), ("RQE_Test_302_pairs_AMIA2016.xml", 20))
    for name, count in files:
        pairs = []
        for pid in range(count):
            topic, value = rng.choice(WORDS), rng.random() < 0.5
            other = topic if value else rng.choice([word for word in WORDS if word != topic])
            asked = escape(f"My {topic} & I need help , visit {pid} .")
            pairs.append(
                f'<pair pid="{pid}" type="x" value="{str(value).lower()}">\n<chq>{asked}</chq>\n'
                f"<faq>What is known of {other} ?</faq>\n</pair>"
            )
        write_text(folder / name, '<?xml version="1.0" encoding="UTF-8"?>\n<RQE>\n' + "\n".join(pairs) + "\n</RQE>\n")


def write_pubmedqa(folder: Path, rng: random.Random) -> None:
    """Labelled questions, and the ids that the publishers' split takes for test."""
    questions = {}
    for i in range(160):
        answer = rng.choice(("yes", "yes", "no", "no", "maybe"))
        questions[str(20_000_000 + i)] = {
            "QUESTION": f"Does {rng.choice(WORDS)} help ?",
            "CONTEXTS": ["Forty patients took part .", CONCLUSIONS[answer]],
            "LABELS": ["METHODS", "RESULTS"],
            "final_decision": answer,
            "LONG_ANSWER": "Invented .",
        }
    test, _, _ = split_ids(questions, BLURB_FOLD)
    write_text(folder / "ori_pqal.json", json.dumps(questions, indent=4))
    truth = {pmid: questions[pmid]["final_decision"] for pmid in test}
    write_text(folder / "test_ground_truth.json", json.dumps(truth, indent=4))


def write_bioasq(folder: Path, rng: random.Random) -> None:
    """BLURB's four columns without header."""
    for split, count in SIZES.items():
        lines = []
        for i in range(count):
            answer = rng.choice(("yes", "no"))
            lines.append(f"{split}{i}\tDoes {rng.choice(WORDS)} help ?\t{CONCLUSIONS[answer]}\t{answer}")
        write_text(folder / f"{split}.tsv", "\n".join(lines) + "\n")
