"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from .errors import UserError
from .steps import Work

Content = Callable[[IO[bytes]], Any]
"""Writes what is in a file."""


def write_whole(target: Path, content: bytes | Content) -> None:
    """Write one file.

    Args:
        target: The file.
        content: What is in it, or what writes it.

    Raises:
        UserError: If it cannot be written.
    """
    write = content if callable(content) else _writes(content)
    with writing(target):
        write_all([(target, write)])


def write_together(contents: dict[Path, bytes]) -> None:
    """Write several files, all of them or none.

    Raises:
        UserError: If one cannot be written.
    """
    with writing(next(iter(contents))):
        write_all([(target, _writes(data)) for target, data in contents.items()])


def write_in_thread(target: Path, jobs: list[tuple[Path, Content]]) -> Work:
    """Write several files, all of them or none, while PyMOL goes on.

    Args:
        target: What is named where they cannot be written.
        jobs: Files, and what writes each; it must leave PyMOL alone.

    Raises:
        UserError: If one cannot be written.
    """
    failure: list[BaseException] = []
    stop = threading.Event()

    def write() -> None:
        try:
            write_all(jobs, stop.is_set)
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=write, name="moedsr-write", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            patience = yield
            thread.join(patience)
    finally:
        stop.set()
        thread.join()
    with writing(target):
        if failure:
            raise failure[0]


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn failures to write into one sentence.

    Raises:
        UserError: In place of any :class:`OSError`.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"'{target}' cannot be written ({error.strerror or error}); choose another folder"
        ) from error


def write_all(
    jobs: list[tuple[Path, Content]], stopped: Callable[[], bool] = lambda: False
) -> None:
    """Write everything under other names, and rename only when all of it is there.

    Args:
        jobs: Files, and what writes each.
        stopped: Asked before each; where it is true, nothing is kept.

    Raises:
        OSError: If one cannot be written.
    """
    written: list[tuple[Path, Path]] = []
    try:
        for path, write in jobs:
            if stopped():
                return
            temporary = path.with_name(f".moedsr-{uuid4().hex}")
            with temporary.open("xb") as file:  # its mode follows the umask
                written.append((temporary, path))
                write(file)
        while written and not stopped():
            os.replace(*written[0])
            written.pop(0)
    finally:
        for temporary, _ in written:
            temporary.unlink()


def _writes(data: bytes) -> Content:
    return lambda file: file.write(data)
