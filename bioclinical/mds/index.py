"""The index of an MDS folder: which shards it has, and whether their files are as it says."""

import json
from pathlib import Path
from typing import Any, TypedDict

from bioclinical.errors import UserError
from bioclinical.files import sha256_of_file

INDEX = "index.json"
HASH = "sha256"


class StoredFile(TypedDict):
    """One file of a shard: its name below the folder, its size, and its hashes by algorithm."""

    basename: str
    bytes: int
    hashes: dict[str, str]


class ShardInfo(TypedDict):
    """A shard's entry in index.json, with the fields of streaming's format that are read here."""

    column_names: list[str]
    column_encodings: list[str]
    compression: str | None
    raw_data: StoredFile
    zip_data: StoredFile | None
    samples: int


def read_index(folder: Path) -> list[ShardInfo]:
    """The shard entries of a folder's index. Raises UserError where there is none, or it is not one of MDS shards."""
    path = folder / INDEX
    try:
        shards = json.loads(path.read_text(encoding="utf-8"))["shards"]
        if not isinstance(shards, list):
            raise TypeError("shards is no list")
        for info in shards:
            check_info(info)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(
            f"'{folder}' has no {INDEX}: not a finished MDS folder; give one, or build the index of a folder of such "
            f"folders with: python pretraining_resources/merge_mds.py {folder}"
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:  # ValueError: also bytes that are not UTF-8
        raise UserError(f"'{path}' is not an MDS index; delete it and build it again") from error
    return shards


def check_info(info: Any) -> None:
    """Raises KeyError, TypeError or ValueError where an entry of an index is not one of an MDS shard."""
    if info["format"] != "mds" or not all(isinstance(name, str) for name in info["column_names"]):
        raise ValueError("not an MDS shard")
    if not all(isinstance(encoding, str) for encoding in info["column_encodings"]):
        raise TypeError("column_encodings")
    if len(info["column_names"]) != len(info["column_encodings"]) or not is_count(info["samples"]):
        raise ValueError("samples")
    if info["zip_data"] is not None:
        check_file_entry(info["zip_data"])
    check_file_entry(info["raw_data"])


def check_file_entry(part: Any) -> None:
    """The same for the part of an entry that describes a file, which must lie below the index's folder."""
    name = part["basename"]
    if not isinstance(name, str) or "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError("basename")
    if not is_count(part["bytes"]) or not isinstance(part["hashes"], dict):
        raise ValueError("bytes")


def is_count(value: Any) -> bool:
    """Whether a JSON value is a whole number of zero or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def stored(info: ShardInfo) -> StoredFile:
    """The part of a shard's index entry that describes the file on disk."""
    return info["zip_data"] or info["raw_data"]


def damage(folder: Path, info: ShardInfo) -> str | None:
    """None if the shard's file has the size and hash of its index entry, else what is wrong with it."""
    part = stored(info)
    path = folder / part["basename"]
    if not path.is_file():
        return f"'{path}' is missing"
    if path.stat().st_size != part["bytes"]:
        return f"'{path}' has {path.stat().st_size:,} bytes instead of {part['bytes']:,}"
    if HASH in part["hashes"] and sha256_of_file(path) != part["hashes"][HASH]:
        return f"'{path}' has the right size but another content ({HASH} differs)"
    return None
