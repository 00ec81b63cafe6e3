"""Chosen files out of a zip file that a stranger made."""

from __future__ import annotations

import shutil
import stat
import struct
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, LargeZipFile, ZipFile, ZipInfo

from moedsr_core.errors import InputError
from moedsr_core.files import whole_folder
from moedsr_core.wording import reason

_MOST_RATIO = 200
"""Unpacked bytes for each packed one; trajectories stay below 2, structures below 10."""
_SLACK = 1 << 20
"""Unpacked bytes that are never too many."""
_ENCRYPTED = 0x1
_DAMAGE = (
    BadZipFile, LargeZipFile, EOFError, NotImplementedError, OSError, RuntimeError, ValueError,
    struct.error, zlib.error,
)  # fmt: skip
"""What reading a damaged or foreign zip file may raise."""


class DamagedZipError(InputError):
    """Not a zip file, or one whose checksums do not hold."""


def unpack(path: Path, folder: Path, wanted: Callable[[str], bool]) -> list[str]:
    """Take files out of a zip file into a folder; all of them, or none.

    Folders within the zip file are left out: files lie side by side.

    Args:
        path: Zip file.
        folder: Where to; made where it is missing.
        wanted: Which files, by their names without folders.

    Returns:
        Names of the files.

    Raises:
        DamagedZipError: If it is no zip file, or a checksum does not hold.
        InputError: If a name leads out of the folder, is a link or encrypted, two are the same,
            it would unpack to far more than it holds, or the disk is too small or full.
    """
    try:
        with ZipFile(path) as archive:
            members = archive.infolist()
            for member in members:
                _refuse_odd(path, member)
            chosen = [m for m in members if not m.is_dir() and wanted(_plain_name(m))]
            _refuse_twins(path, chosen)
            _refuse_bomb(path, folder, chosen)
            with whole_folder(folder) as scratch:
                for member in chosen:
                    name = _plain_name(member)
                    with archive.open(member) as source, (scratch / name).open("xb") as target:
                        shutil.copyfileobj(source, target, 1 << 20)
            return sorted(map(_plain_name, chosen))
    except InputError:
        raise
    except _DAMAGE as error:
        raise DamagedZipError(
            f"{path} is no zip file, or a damaged one ({reason(error)})"
        ) from error


def _plain_name(member: ZipInfo) -> str:
    return PurePosixPath(member.filename).name


def _refuse_odd(path: Path, member: ZipInfo) -> None:
    """Refuse names that lead elsewhere, links and encryption."""
    name = PurePosixPath(member.filename)
    leads_out = name.is_absolute() or ".." in name.parts or set(member.filename) & set("\\:\0")
    link = stat.S_ISLNK(member.external_attr >> 16)
    if leads_out or link or member.flag_bits & _ENCRYPTED:
        raise InputError(
            f"{path} holds {member.filename!r}, which leads out of its folder, is a link or is "
            "encrypted; nothing was unpacked"
        )


def _refuse_twins(path: Path, members: list[ZipInfo]) -> None:
    names = [_plain_name(member) for member in members]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{path} holds {twice[0]} more than once; nothing was unpacked")


def _refuse_bomb(path: Path, folder: Path, members: list[ZipInfo]) -> None:
    """Refuse what unpacks to far more than it holds, or to more than the disk has room for.

    The sizes that a zip file states can be relied on: no more than that is ever unpacked.
    """
    size = sum(member.file_size for member in members)
    packed = path.stat().st_size
    if size > _MOST_RATIO * packed + _SLACK:
        raise InputError(
            f"{path} of {packed / 1e6:.1f} MB would unpack to {size / 1e6:.0f} MB, which no "
            "trajectory does; nothing was unpacked"
        )
    place = next(parent for parent in folder.resolve().parents if parent.exists())
    free = shutil.disk_usage(place).free
    if size > free:
        raise InputError(
            f"{path} needs {size / 1e9:.1f} GB to unpack, and {place} has {free / 1e9:.1f} GB "
            "free; make room or give another folder"
        )
