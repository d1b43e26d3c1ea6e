"""One root index over a folder's finished MDS folders."""

import json
from dataclasses import dataclass
from pathlib import Path

from bioclinical.errors import UserError
from bioclinical.files import write_text
from bioclinical.mds.index import INDEX, ShardInfo, read_index, stored


@dataclass(frozen=True)
class Merged:
    """What a merge found: folders in the new index, those new or gone since the former one, and unfinished ones."""

    folders: list[str]
    added: list[str]
    removed: list[str]
    unfinished: list[str]
    samples: int


def merge(root: Path) -> Merged:
    """Builds or rebuilds `root`/index.json over all finished folders below it, atomically.

    Raises UserError where there is none, a shard's file is missing or cut, or the folders cannot be read as one.
    """
    if not root.is_dir():
        raise UserError(f"there is no folder '{root}'; give the folder that holds the converted data sets")
    folders = sorted(path.parent.relative_to(root).as_posix() for path in root.rglob(INDEX) if is_part(path, root))
    shards = []
    for folder in folders:
        for info in read_index(root / folder):
            check_file(root / folder, info)
            for part in filter(None, (info["raw_data"], info["zip_data"])):
                part["basename"] = f"{folder}/{part['basename']}"
            shards.append(info)
    if not shards:
        raise UserError(f"'{root}' holds no finished MDS folder (a sub-folder with {INDEX}); convert some data first")
    encodings = {(tuple(info["column_names"]), tuple(info["column_encodings"])): folder_of(info) for info in shards}
    if len(encodings) > 1:
        found = "; ".join(f"'{folder}' has {' '.join(types)}" for (_, types), folder in encodings.items())
        raise UserError(f"the folders hold different columns: {found}; convert them with one tokenizer")
    former = former_folders(root)
    write_text(root / INDEX, json.dumps({"version": 2, "shards": shards}, sort_keys=True))
    holding_shards = {path.parent.relative_to(root).as_posix() for path in root.rglob("shard.*.mds*")}
    return Merged(
        folders,
        [folder for folder in folders if former is not None and folder not in former],
        [folder for folder in former or [] if folder not in folders],
        sorted(holding_shards - {*folders, "."}),
        sum(info["samples"] for info in shards),
    )


def is_part(index: Path, root: Path) -> bool:
    """Whether an index is a data set's own: not the root's, and not in a hidden folder."""
    folders = index.parent.relative_to(root).parts
    return bool(folders) and not any(name.startswith(".") for name in folders)


def check_file(folder: Path, info: ShardInfo) -> None:
    """Raises UserError where a shard's file is missing or has another size than its index says."""
    path = folder / stored(info)["basename"]
    size = path.stat().st_size if path.is_file() else None
    if size != stored(info)["bytes"]:
        raise UserError(
            f"'{path}' is {'missing' if size is None else 'cut or changed'}; copy it again, or delete '{folder}' and "
            "convert its input again"
        )


def former_folders(root: Path) -> list[str] | None:
    """The folders of the present root index; None where there is none or it is unreadable (it is replaced anyway)."""
    try:
        return list(dict.fromkeys(folder_of(info) for info in read_index(root)))
    except UserError:
        return None


def folder_of(info: ShardInfo) -> str:
    """The folder part of a merged shard's name."""
    return Path(info["raw_data"]["basename"]).parent.as_posix()
