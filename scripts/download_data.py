"""Fetches public data sets into the expected folders, and says how to get the others.

python scripts/download_data.py [ChemProt COS SocialHistory] [--data_dir data/raw]
python scripts/download_data.py blurb          every public member of a suite, and the steps for the others
"""

import argparse
import hashlib
import http.client
import shutil
import time
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from bioclinical.errors import UserError, run_cli
from bioclinical.files import atomic_path, make_folder, remove, sha256_of_file
from bioclinical.tasks.conversion import CONVERTERS
from bioclinical.tasks.conversion.archives import unpack_release
from bioclinical.tasks.downloads import BLURB_LISTS, FILES, RELEASES, Files
from bioclinical.tasks.overview import conversion_lines
from bioclinical.tasks.suites import SUITES
from bioclinical.text.tables import TableReader
from dataloader import TASKS, get_task

ATTEMPTS, TIMEOUT_S, WAIT_S = 5, 60, 2
LARGEST_BYTES = 2 * 1024**3  # of a data set, unpacked
README = Path(__file__).resolve().parent.parent / "data" / "README.md"
WASHINGTON = "https://depts.washington.edu/bionlp/data/corpora/files/"

BLUE = "https://github.com/ncbi-nlp/BLUE_Benchmark/releases/download/0.1/bert_data.zip"
DEFAULT = ("ChemProt", "COS", "SocialHistory")


@dataclass(frozen=True)
class Source:
    """Where a data set is, and what must be in its archive: patterns of paths, and rows by file name where known."""

    url: str
    patterns: tuple[str, ...]
    rows: dict[str, int] = field(default_factory=dict)


SOURCES = {
    "ChemProt": Source(
        BLUE,
        ("ChemProt/train.tsv", "ChemProt/dev.tsv", "ChemProt/test.tsv"),
        {"train.tsv": 19_460, "dev.tsv": 11_820, "test.tsv": 16_943},
    ),
    "DDI-BLUE": Source(BLUE, tuple(f"ddi2013-type/{part}.tsv" for part in ("train", "dev", "test"))),
    "HoC-BLUE": Source(BLUE, tuple(f"hoc/{part}.tsv" for part in ("train", "dev", "test"))),
    "BC5CDR-chem-BLUE": Source(BLUE, tuple(f"BC5CDR/chem/{part}.tsv" for part in ("train", "devel", "test"))),
    "BC5CDR-disease-BLUE": Source(BLUE, tuple(f"BC5CDR/disease/{part}.tsv" for part in ("train", "devel", "test"))),
    "COS": Source(WASHINGTON + "events-COS-corpus.zip", ("*.ann",)),
    "SocialHistory": Source(WASHINGTON + "SocialHistoryMTSamples.zip", ("*.txt", "*.ann")),
}


def main() -> None:
    args = parse_args()
    by_hand = []
    for name in args.datasets:
        folder = Path(args.data_dir) / name
        if folder.exists() and any(folder.iterdir()) and not args.overwrite:
            print(f"{name}: '{folder}' is there already (--overwrite replaces it)")
        elif name in SOURCES or name in FILES or name in RELEASES:
            obtain(name, folder)
            files = [path for path in folder.rglob("*") if path.is_file()]
            print(f"{name}: {len(files)} files, {sum(path.stat().st_size for path in files):,} bytes in '{folder}'")
            if name in RELEASES:
                print("\n".join(conversion_lines(TASKS, name, Path(args.data_dir))))
        else:
            by_hand.append(name)
    for name in by_hand:
        print(f"{name}: by hand. {get_task(name).source}; files and steps: docs/data.md")
    if args.suite:
        print(f"compare the counts: python dataloader.py --check {args.suite} --data_dir {args.data_dir}")
        return
    steps = README.read_text(encoding="utf-8").partition("## PhysioNet, step by step\n")[2]
    print(steps.replace("data/raw", args.data_dir))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fetch the public data sets.")
    known = sorted({*SOURCES, *FILES, *RELEASES})
    parser.add_argument(
        "datasets", nargs="*", metavar="NAME", help=f"of {', '.join(known)} (default: {', '.join(DEFAULT)}), or a suite"
    )
    parser.add_argument("--data_dir", default="data/raw", help="default: data/raw")
    parser.add_argument("--overwrite", action="store_true", help="replace a data set that is there")
    args = parser.parse_args()
    args.suite = None
    if len(args.datasets) == 1 and args.datasets[0] in SUITES:
        args.suite = args.datasets[0]
        args.datasets = folders_of(args.suite)
    elif unknown := [name for name in args.datasets if name not in known]:
        raise UserError(f"'{unknown[0]}' cannot be fetched; known: {', '.join(known)}, and {', '.join(SUITES)}")
    args.datasets = args.datasets or list(DEFAULT)
    return args


def folders_of(suite: str) -> list[str]:
    """The folders of a suite's tasks, each once."""
    return list(dict.fromkeys(get_task(name).folder for name in SUITES[suite].tasks))


def obtain(name: str, folder: Path) -> None:
    """Fetches a data set the way it is published: an archive, single files, or a release to convert."""
    if name in SOURCES:
        fetch(SOURCES[name], folder)
    elif name in FILES:
        fetch_files(name, FILES[name], folder)
    else:
        fetch_release(name, RELEASES[name], folder)


def fetch_release(name: str, urls: tuple[str, ...], folder: Path) -> None:
    """Downloads a release's archives, unpacks and converts them; the folder exists only when all went well.

    The archives are kept until then, so that a failure does not fetch them again.
    """
    kept = folder.parent / ".downloads" / name
    make_folder(kept)
    archives = [kept / url.rsplit("/", 1)[-1] for url in urls]
    for url, archive in zip(urls, archives):
        if not archive.exists():
            download(url, archive)
        size = archive.stat().st_size
        print(f"{archive.name}: {size:,} bytes, sha256 {sha256_of_file(archive)} (no hash is known to compare with)")
    release, lists = kept / "release", kept / "lists"
    try:
        for url, archive in zip(urls, archives):
            unpack_release(archive, lists if url == BLURB_LISTS else release)
    except UserError:  # a broken archive is fetched anew
        remove(kept)
        raise
    CONVERTERS[name](release, lists if lists.exists() else None, folder)
    remove(kept)


def fetch_files(name: str, source: Files, folder: Path) -> None:
    """Downloads single files and checks them; the folder exists only when all are in order.

    Raises UserError where a file is another one than the one that was looked at.
    """
    kept = folder.parent / ".downloads" / name
    make_folder(kept)
    for local, remote in source.files.items():
        path = kept / local
        download(source.url + remote.path, path)
        found = sha256_of_file(path)
        if remote.sha256 and (path.stat().st_size, found) != (remote.bytes, remote.sha256):
            size = path.stat().st_size
            remove(path)
            raise UserError(
                f"{source.url + remote.path}: {size:,} bytes with the sha256 {found[:16]}..., expected were "
                f"{remote.bytes:,} with {remote.sha256[:16]}...; the file was changed, and is not kept"
            )
        if remote.git_sha1 and not git_sha1_of(path).startswith(remote.git_sha1):
            remove(path)
            raise UserError(
                f"{source.url + remote.path}: git's hash of it does not begin with {remote.git_sha1}; the file was "
                "changed, and is not kept"
            )
        is_known = remote.sha256 or remote.git_sha1
        print(f"{name}/{local}: sha256 {found}" + ("" if is_known else " (no hash is known to compare with)"))
    with atomic_path(folder) as partial:
        shutil.copytree(kept, partial)
    remove(kept)


def git_sha1_of(path: Path) -> str:
    """What `git hash-object` says of a file."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def fetch(source: Source, folder: Path) -> None:
    """Downloads, checks and unpacks; the folder exists only when everything is in order."""
    archive = folder.parent / ".downloads" / source.url.rsplit("/", 1)[-1]
    make_folder(archive.parent)
    download(source.url, archive)
    print(f"{archive.name}: {archive.stat().st_size:,} bytes, sha256 {sha256_of_file(archive)}")
    try:
        with atomic_path(folder) as partial:
            partial.mkdir()
            unpack(archive, source, partial)
            check_rows(source, partial)
    finally:
        remove(archive)


def download(url: str, path: Path) -> None:
    """Fetches a file; a dropped connection is continued where it broke, now and when the program runs again."""
    partial = path.with_name(path.name + ".partial")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            continue_download(url, partial)
            partial.replace(path)
            return
        except urllib.error.HTTPError as error:
            if error.code == 416:  # what we have does not fit what is there now
                remove(partial)
            elif error.code < 500:
                raise UserError(
                    f"{url} answers {error.code} {error.reason}; has it moved? See data/README.md"
                ) from error
            problem = error
        except (OSError, http.client.HTTPException) as error:
            problem = error
        if attempt < ATTEMPTS:
            print(f"{url}: {problem}; trying again ({attempt} of {ATTEMPTS})")
            time.sleep(WAIT_S * 2**attempt)
    raise UserError(f"{url} could not be fetched ({problem}); run the same command again, it continues what is there")


def continue_download(url: str, partial: Path) -> None:
    """One connection: asks for what is missing; raises OSError where it ends early."""
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        have = have if answer.status == 206 else 0  # a server without ranges starts over
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        bar = tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=url.rsplit("/", 1)[-1])
        with bar, open(partial, "ab" if have else "wb") as file:
            while block := answer.read(1 << 18):
                bar.update(file.write(block))
    if total is not None and partial.stat().st_size != total:
        raise OSError(f"the connection ended after {partial.stat().st_size:,} of {total:,} bytes")


def unpack(archive: Path, source: Source, target: Path) -> None:
    """The wanted files, without their folders. Raises UserError for a damaged, unsafe or differently built archive."""
    try:
        with zipfile.ZipFile(archive) as content:
            members = content.infolist()
            for member in members:
                path = PurePosixPath(member.filename.replace("\\", "/"))
                if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
                    raise UserError(f"'{archive.name}' holds a path that leads out of its folder; nothing was unpacked")
            wanted = {p: [m for m in members if is_wanted(m.filename, p)] for p in source.patterns}
            absent = [pattern for pattern, found in wanted.items() if not found]
            if absent:
                top = sorted({member.filename.split("/")[0] for member in members})[:8]
                raise UserError(
                    f"'{archive.name}' has no {', '.join(absent)} (it has {', '.join(top)}); did it change?"
                )
            chosen = [member for found in wanted.values() for member in found]
            if len({PurePosixPath(member.filename).name for member in chosen}) < len(chosen):
                raise UserError(f"'{archive.name}' has files of the same name in several folders; did it change?")
            if sum(member.file_size for member in chosen) > LARGEST_BYTES:
                raise UserError(
                    f"'{archive.name}' would unpack to more than {LARGEST_BYTES:,} bytes; nothing was unpacked"
                )
            for member in chosen:  # zipfile reads no more than file_size and checks the CRC
                with content.open(member) as packed, open(target / PurePosixPath(member.filename).name, "wb") as file:
                    shutil.copyfileobj(packed, file)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"'{archive.name}' is no intact zip file ({error}); run the command again") from error


def is_wanted(name: str, pattern: str) -> bool:
    """Whether an archive's path matches; macOS adds shadows of its own, which are no data."""
    path = PurePosixPath(name)
    return not name.endswith("/") and path.match(pattern) and "__MACOSX" not in path.parts and path.name[0] != "."


def check_rows(source: Source, folder: Path) -> None:
    """Raises UserError where a file has another number of rows than published, or a .txt no .ann."""
    for name, expected in source.rows.items():
        table = TableReader(folder / name, ("index", "sentence", "label"), delimiter="\t")
        rows = sum(bool(row.cells) for row in table.rows())
        if rows != expected:
            raise UserError(f"{name} has {rows:,} rows, published are {expected:,}; scores would not be comparable")
    alone = [path.name for path in folder.glob("*.txt") if not path.with_suffix(".ann").exists()]
    if alone:
        print(f"warning: {len(alone)} .txt file(s) without .ann ({', '.join(alone[:3])}); the reader skips them")


if __name__ == "__main__":
    run_cli(main)
