"""Phenotype: 14 labels of PhysioNet's phenotype annotations, joined with the notes of MIMIC-III."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bioclinical.errors import UserError
from bioclinical.files import invalid_utf8_message
from bioclinical.tasks.splits import PAPER, Protocol, split_70_10_20
from bioclinical.tasks.task import RawData, counted
from bioclinical.text.columns import require_columns

LABELS = (
    "ADVANCED.CANCER", "ADVANCED.HEART.DISEASE", "ADVANCED.LUNG.DISEASE", "ALCOHOL.ABUSE",
    "CHRONIC.NEUROLOGICAL.DYSTROPHIES", "CHRONIC.PAIN.FIBROMYALGIA", "DEMENTIA", "DEPRESSION",
    "DEVELOPMENTAL.DELAY.RETARDATION", "NON.ADHERENCE", "OBESITY", "OTHER.SUBSTANCE.ABUSE",
    "SCHIZOPHRENIA.AND.OTHER.PSYCHIATRIC.DISORDERS", "UNSURE",
)  # fmt: skip

# 2,083,180 notes, 3.7 GB: a chunk of 5,000 is some 10 MB, and only annotated notes are kept.
ROWS_PER_CHUNK = 5_000


@dataclass(frozen=True)
class PhenotypeReader:
    """Published protocol: contradictory rows dropped, inner join on ROW_ID in the annotations' order.

    Strict: the first of the annotations and the first of the notes of a repeated ROW_ID; the split is by SUBJECT_ID.
    """

    def raw_files(self, folder: Path) -> list[Path]:
        return [folder / "ACTdb102003.csv", folder / "NOTEEVENTS.csv"]

    def read(self, folder: Path, protocol: Protocol = PAPER) -> RawData:
        annotation_path, note_path = self.raw_files(folder)
        annotations, contradictory = read_annotations(annotation_path)
        notes = read_notes(note_path, {row_id for row_id, _ in annotations})
        examples = [
            {"id": row_id, "text": text, "labels": labels, "group": subject, "where": f"'{note_path}' ROW_ID {row_id}"}
            for row_id, labels in annotations
            for subject, text in notes.get(row_id, [])
        ]
        if not examples:
            raise UserError(
                f"no ROW_ID of '{annotation_path}' occurs in '{note_path}'; check the MIMIC-III version (1.4)"
            )
        without_note = sum(row_id not in notes for row_id, _ in annotations)
        repeats = "example(s) more because a ROW_ID is repeated"
        more = len(examples) - len({example["id"] for example in examples})
        if protocol.is_strict:
            repeats = "example(s) of a repeated ROW_ID left out"
            examples = list({example["id"]: example for example in reversed(examples)}.values())[::-1]
        oddities = Counter(
            {
                "annotated row(s) with NONE and a phenotype dropped": contradictory,
                "annotated row(s) without a note dropped": without_note,
                repeats: more,
            }
        )
        return RawData(protocol.split(examples, split_70_10_20, (0.1, 0.2)), counted(oddities))


def read_annotations(path: Path) -> tuple[list[tuple[str, list[int]]], int]:
    """(ROW_ID, 14 zeros and ones) of each row kept, and how many rows said NONE beside a phenotype."""
    rows = read_csv(path, ["ROW_ID", "NONE", *LABELS])
    rows["ROW_ID"] = rows["ROW_ID"].str.strip()
    flags = rows[["NONE", *LABELS]]
    bad = ~flags.isin(["0", "1"]).all(axis=1)
    if bad.any():
        raise UserError(
            f"'{path}' data row {int(bad.idxmax()) + 1}: a phenotype column holds something else than 0 or 1"
        )
    flags = flags.astype(int)
    contradictory = (flags["NONE"] == 1) & (flags[list(LABELS)].sum(axis=1) > 0)
    kept = flags.loc[~contradictory, list(LABELS)].to_numpy().tolist()
    return list(zip(rows.loc[~contradictory, "ROW_ID"], kept)), int(contradictory.sum())


def read_notes(path: Path, row_ids: set[str]) -> dict[str, list[tuple[str, str]]]:
    """ROW_ID -> (SUBJECT_ID, text)s, for the annotated notes only; read in chunks, the file is never held whole."""
    notes: dict[str, list[tuple[str, str]]] = {}
    for chunk in read_csv(path, ["ROW_ID", "SUBJECT_ID", "TEXT"], chunksize=ROWS_PER_CHUNK):
        chunk["ROW_ID"] = chunk["ROW_ID"].str.strip()
        for row_id, subject, text in chunk[chunk["ROW_ID"].isin(row_ids)].itertuples(index=False):
            notes.setdefault(row_id, []).append((subject.strip(), text))
    return notes


def read_csv(path: Path, columns: list[str], chunksize: int | None = None):
    """A DataFrame (or its chunks) of the columns as text, every cell as it stands ("NA" and "null" too).

    Raises UserError naming missing columns, bad bytes or broken rows.
    """
    import pandas as pd  # slow to import

    options = {"dtype": str, "keep_default_na": False, "na_filter": False, "index_col": False, "encoding": "utf-8"}
    try:
        require_columns(path, list(pd.read_csv(path, nrows=0, **options).columns), columns)
        frame = pd.read_csv(path, usecols=columns, chunksize=chunksize, **options)
        return frame[columns] if chunksize is None else checked_chunks(path, frame, columns)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise csv_error(path, error) from error


def checked_chunks(path: Path, chunks, columns: list[str]):
    """Passes chunks on, with the parser's errors turned into sentences."""
    import pandas as pd  # slow to import

    try:
        with chunks:
            for chunk in chunks:
                yield chunk[columns]
    except (UnicodeDecodeError, pd.errors.ParserError) as error:
        raise csv_error(path, error) from error


def csv_error(path: Path, error: Exception) -> UserError:
    """The sentence for a file that pandas cannot parse; its own message may quote cells, so it is not passed on."""
    import pandas as pd  # slow to import

    if isinstance(error, UnicodeDecodeError):
        return UserError(invalid_utf8_message(path))
    if isinstance(error, pd.errors.EmptyDataError):
        return UserError(f"'{path}' is empty")
    return UserError(f"'{path}' is not a well-formed CSV file (a quote is not closed, or a row has too many cells)")
