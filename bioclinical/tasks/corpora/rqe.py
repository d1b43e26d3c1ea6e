"""RQE (AMIA 2016): does the answer to the second question answer the first one? Two XML files of pairs."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bioclinical.errors import UserError
from bioclinical.tasks.example import Example
from bioclinical.tasks.readers.xml import attribute, read_xml
from bioclinical.tasks.splits import PAPER, Protocol, hold_out_groups
from bioclinical.tasks.task import RawData, counted

LABELS = ("false", "true")
VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class RqeReader:
    """The release has no validation part: a tenth of the questions asked is held out of train with a fixed seed, all
    pairs of a question on one side."""

    train: str = "RQE_Train_8588_AMIA2016.xml"
    test: str = "RQE_Test_302_pairs_AMIA2016.xml"

    def raw_files(self, folder: Path) -> list[Path]:
        return [folder / self.train, folder / self.test]

    def read(self, folder: Path, protocol: Protocol = PAPER) -> RawData:
        counts: Counter[str] = Counter()
        train, test = (read_pairs(path, counts) for path in self.raw_files(folder))
        train, validation = hold_out_groups(train, VALIDATION_SHARE, protocol.split_seed)
        return RawData({"train": train, "validation": validation, "test": test}, counted(counts))


def read_pairs(path: Path, counts: Counter[str]) -> list[Example]:
    """The pairs of a file. A pair with an empty question asks nothing: it is left out and counted.

    Raises UserError for broken XML, a missing question, or a value that is neither true nor false.
    """
    examples: list[Example] = []
    questions: dict[str, str] = {}  # what is asked -> the name of its first pair, which names the group
    for number, pair in enumerate(read_xml(path).iter("pair"), start=1):
        where = f"'{path}' (pair {number})"
        texts = [pair.findtext(name) for name in ("chq", "faq")]
        if None in texts:
            raise UserError(f"{where}: it lacks a <chq> or a <faq>")
        label = attribute(pair, "value", path)
        if label not in LABELS:
            raise UserError(f"{where}: its value is neither true nor false")
        asked, answered = (text.strip() for text in texts)
        if not asked or not answered:
            counts["pair(s) with an empty question left out"] += 1
            continue
        counts["pair(s) of two equal questions"] += asked == answered
        name = f"{path.stem}:{attribute(pair, 'pid', path)}"
        group = questions.setdefault(asked, name)
        examples.append(
            {"id": name, "text": asked, "text_b": answered, "labels": label, "group": group, "where": where}
        )
    return examples
