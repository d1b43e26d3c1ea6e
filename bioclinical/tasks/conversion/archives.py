"""Unpacking a raw release: zip and tar archives, zips inside a zip included, without a path that leads elsewhere."""

import shutil
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from bioclinical.errors import UserError

LARGEST_BYTES = 4 * 1024**3  # of a release, unpacked


def unpack_release(archive: Path, target: Path) -> None:
    """All files of an archive below `target`. Raises UserError for one that is damaged, unsafe or too large."""
    try:
        if tarfile.is_tarfile(archive):
            unpack_tar(archive, target)
        else:
            unpack_zip(archive, target)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"'{archive.name}' is no intact archive ({error}); run the command again") from error


def unpack_tar(archive: Path, target: Path) -> None:
    with tarfile.open(archive) as content:
        members = [member for member in content if member.isfile()]
        check(archive, [member.name for member in members], sum(member.size for member in members))
        content.extractall(target, members, filter="data")


def unpack_zip(archive: Path, target: Path) -> None:
    """The zips inside (ChemProt's parts) are unpacked beside themselves and removed."""
    with zipfile.ZipFile(archive) as content:
        members = [member for member in content.infolist() if not member.is_dir()]
        check(archive, [member.filename for member in members], sum(member.file_size for member in members))
        for member in members:
            path = target / member.filename
            path.parent.mkdir(parents=True, exist_ok=True)
            with content.open(member) as packed, open(path, "wb") as file:
                shutil.copyfileobj(packed, file)
            if path.suffix == ".zip" and "__MACOSX" not in path.parts:
                unpack_zip(path, path.parent)
                path.unlink()


def check(archive: Path, names: list[str], size: int) -> None:
    """Raises UserError for a path that leads out of the target's folder, or more than LARGEST_BYTES."""
    for name in names:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            raise UserError(f"'{archive.name}' holds a path that leads out of its folder; nothing was unpacked")
    if size > LARGEST_BYTES:
        raise UserError(f"'{archive.name}' would unpack to more than {LARGEST_BYTES:,} bytes; nothing was unpacked")
