"""The redacted texts of a run, and beside them a report of what was replaced: counts only."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bioclinical.files import write_json, write_text
from bioclinical.inference.documents import Document
from bioclinical.inference.redact import placeholder, redacted
from bioclinical.inference.surrogates import Surrogates


def report_path(path: Path) -> Path:
    """Where the report of a redacted file stands."""
    return path.with_name(path.name + ".report.json")


class Placeholders:
    """[type] for everything, counted as Surrogates counts."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def substitute(self, patient: str, entity_type: str, surface: str) -> str:
        """The type in brackets, whoever the patient is."""
        self.counts[entity_type] += 1
        return placeholder(entity_type, surface)

    def report(self) -> dict[str, dict[str, int]]:
        """How many entities of each type were replaced."""
        return {one: {"placeholder": self.counts[one]} for one in sorted(self.counts)}


def write_redacted(
    path: Path,
    documents: Sequence[Document],
    predictions: Sequence[dict[str, Any]],
    replacements: Placeholders | Surrogates,
    is_table: bool,
) -> None:
    """JSON lines with the ids, or the one text of a .txt; and the report."""

    def rewritten(document: Document, prediction: dict[str, Any]) -> str:
        patient = document.patient or f"document {document.id}"
        return redacted(
            document.text,
            prediction["entities"],
            lambda entity_type, surface: replacements.substitute(patient, entity_type, surface),
        )

    texts = [rewritten(document, prediction) for document, prediction in zip(documents, predictions)]
    rows = (json.dumps({"id": d.id, "text": text}, ensure_ascii=False) for d, text in zip(documents, texts))
    write_text(path, "".join(row + "\n" for row in rows) if is_table else texts[0])
    types = replacements.report()
    counted = sum(sum(outcomes.values()) for outcomes in types.values())
    write_json(report_path(path), {"documents": len(documents), "entities": counted, "types": types})
    print(f"redacted: {counted:,} entities ({', '.join(f'{k} {sum(v.values()):,}' for k, v in types.items())}): {path}")
