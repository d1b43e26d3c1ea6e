"""GAD and EU-ADR as BioBERT publishes them: ten folds, each `<k>/train.tsv` and `<k>/test.tsv`, no validation part."""

from dataclasses import dataclass
from pathlib import Path

from bioclinical.tasks.example import Example
from bioclinical.tasks.readers.delimited import DelimitedReader
from bioclinical.tasks.splits import PAPER, Protocol, hold_out_groups
from bioclinical.tasks.task import RawData

FOLDS = tuple(range(1, 11))
VALIDATION_SHARE = 0.1
FILES = ("train.tsv", "dev.tsv", "test.tsv")
# The train files have no header and no ids, the test files have both. Neither is quoted.
TRAIN = DelimitedReader(FILES, "sentence", "label", delimiter="\t", header=("sentence", "label"), quoted=False)
TEST = DelimitedReader(FILES, "sentence", "label", id_column="index", delimiter="\t", quoted=False)


@dataclass(frozen=True)
class BioBertFoldsReader:
    """One fold (Protocol.fold). Paper: the validation part is the test part, on which the published code selects its
    checkpoint; strict: a tenth of the fold's train part instead, equal sentences on one side."""

    def raw_files(self, folder: Path) -> list[Path]:
        return [folder / str(fold) / name for fold in FOLDS for name in ("train.tsv", "test.tsv")]

    def read(self, folder: Path, protocol: Protocol = PAPER) -> RawData:
        place = folder / str(protocol.fold or FOLDS[0])
        train, test = TRAIN.read_file(place / "train.tsv"), TEST.read_file(place / "test.tsv")
        if protocol.is_strict:
            train, validation = hold_out_groups(grouped_by_sentence(train), VALIDATION_SHARE, protocol.split_seed)
        else:
            validation = [example | {"id": f"selection:{example['id']}"} for example in test]
        return RawData({"train": train, "validation": validation, "test": test}, [])


def grouped_by_sentence(examples: list[Example]) -> list[Example]:
    """The examples with their sentence as group; mentions differ between two rows of a sentence, its words do not."""
    groups: dict[str, str] = {}
    grouped = []
    for example in examples:
        bare = example["text"].replace("@GENE$", "").replace("@DISEASE$", "")
        grouped.append(example | {"group": groups.setdefault(bare, example["id"])})
    return grouped
