"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from moedsr_core.errors import InputError


@contextmanager
def whole_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file that takes its name only once all of it is written.

    Raises:
        InputError: If the disk is full, or the place cannot be written to.
    """
    path = Path(path)
    scratch = _scratch_name(path)
    with writing(path):
        try:
            with scratch.open("xb") as file:
                yield file
            os.replace(scratch, path)
        finally:
            scratch.unlink(missing_ok=True)


def refuse_unwritable(path: str | Path) -> None:
    """Refuse a file that cannot be written, before the work whose result it is to hold.

    Raises:
        InputError: If the folder is absent or closed to us, or a folder has the file's name.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"expected a file to write, but {path} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise InputError(f"could not write {path}: there is no folder {path.parent}; create it")
    scratch = _scratch_name(path)
    with writing(path):
        scratch.touch()
        scratch.unlink()


def refuse_unwritable_folder(path: str | Path) -> None:
    """Refuse a folder that cannot be written to, before the work whose result it is to hold.

    Raises:
        InputError: If a file has its name, or it or the nearest folder above is closed to us.
    """
    path = Path(path).resolve()
    place = next(place for place in (path, *path.parents) if place.exists())
    if not place.is_dir():
        raise InputError(f"expected a folder to write to, but {place} is a file; choose another")
    scratch = _scratch_name(place / "new")
    with writing(path):
        scratch.touch()
        scratch.unlink()


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """A scratch folder beside ``path`` that becomes it once all is written.

    Where the folder exists already, the scratch folder is in it, for it may be a disk of its own;
    each entry written replaces the entry of the same name and the others stay.

    Raises:
        InputError: If the disk is full, a file is in the way, or the place cannot be written to.
    """
    path = Path(path).resolve()
    if path.exists() and not path.is_dir():
        raise InputError(f"expected a folder to write to, but {path} is a file; choose another")
    scratch = _scratch_name(path / "new" if path.exists() else path)
    with writing(path):
        try:
            scratch.mkdir(parents=True)
            yield scratch
            _move(scratch, path)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn failures to write into one sentence.

    Raises:
        InputError: In place of any :class:`OSError`.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"could not write {path}: {reason}; choose another place") from error


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write all of it to an unbuffered file, which may take less at a time.

    Raises:
        OSError: If the disk is full.
    """
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def _scratch_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")


def _move(source: Path, target: Path) -> None:
    if not target.exists():
        os.replace(source, target)
        return
    for entry in sorted(source.iterdir()):
        old = target / entry.name
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        os.replace(entry, old)
