"""Where the public files of benchmark tasks are: file by file (downloads.json), with the size and hash of those that
were looked at, or as raw releases that are converted. HoC, GAD and BIOSSES: what BLURB's generator writes, from a
public copy of its output."""

import json
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("downloads.json")


@dataclass(frozen=True)
class RemoteFile:
    """path: below its data set's URL.  bytes, sha256: None where the file was not looked at when this was written; its
    hash is then printed, and `dataloader.py --check` compares its counts.  git_sha1: the first digits of git's hash of
    the file (`git hash-object`), where its publishers' repository gives that."""

    path: str
    bytes: int | None = None
    sha256: str | None = None
    git_sha1: str | None = None


@dataclass(frozen=True)
class Files:
    """A data set of single files: our name -> where it is below the URL."""

    url: str
    files: dict[str, RemoteFile]


BLURB_LISTS = "https://microsoft.github.io/BLURB/sample_code/data_generation.tar.gz"
# Task's folder -> the archives that its converter (bioclinical/tasks/conversion) needs. Their hashes are not known.
RELEASES = {
    "AnatEM": ("https://github.com/openbiocorpora/anatem/archive/refs/heads/master.zip",),
    "JNLPBA": (
        "http://www.nactem.ac.uk/GENIA/current/Shared-tasks/JNLPBA/Train/Genia4ERtraining.tar.gz",
        "http://www.nactem.ac.uk/GENIA/current/Shared-tasks/JNLPBA/Evaluation/Genia4ERtest.tar.gz",
    ),
    "PICO": ("https://github.com/bepnye/EBM-NLP/raw/master/ebm_nlp_2_00.tar.gz", BLURB_LISTS),
    "DDI-BLURB": (
        "https://github.com/zhangyijia1979/hierarchical-RNNs-model-for-DDI-extraction/raw/master/DDIextraction2013/"
        "DDIextraction_2013.tar.gz",
        BLURB_LISTS,
    ),
    "MMLU": ("https://people.eecs.berkeley.edu/~hendrycks/data.tar",),
    "ChemProt-BLURB": ("https://biocreative.bioinformatics.udel.edu/media/store/files/2017/ChemProt_Corpus.zip",),
}

FILES = {
    name: Files(entry["url"], {local: RemoteFile(**remote) for local, remote in entry["files"].items()})
    for name, entry in json.loads(FILE.read_text(encoding="utf-8")).items()
}
