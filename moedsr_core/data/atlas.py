"""Proteins of ATLAS, from its web service.

ATLAS (Vander Meersche et al. 2024, doi:10.1093/nar/gkad1084) gives three zip files a protein.
``analysis`` holds the structure and three replicates of 1,001 frames, 100 ps apart; ``protein``
the same of 10,001 frames, 10 ps apart, about ten times as large. The data are CC BY-NC 4.0.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from moedsr_core.choices import check_choice
from moedsr_core.data.safe_zip import DamagedZipError, unpack
from moedsr_core.data.splits import PARTS, read_split
from moedsr_core.data.trajectory_files import find_trajectories, once_each, replicate_of
from moedsr_core.data.web_file import WebConfig, WebFile
from moedsr_core.errors import CancelledError, InputError
from moedsr_core.files import whole_file
from moedsr_core.wording import reason

ATLAS_URL = "https://www.dsimb.inserm.fr/ATLAS"
"""The service's address."""
RECORD = "download.json"
"""Lies in each folder that was downloaded, and says from where."""
_NAME = re.compile(r"[0-9][A-Za-z0-9]{3}_[A-Za-z0-9]{1,4}")
_TRIES = 2
"""Downloads of a file that turns out damaged, where the server gives no checksum to see it by."""
_PLACES = {
    "files": "{base}/database/ATLAS/{name}/{name}_{kind}.zip",
    "api": "{base}/api/ATLAS/{kind}/{name}",
}
"""Two addresses of the same files."""
_KINDS = {"analysis": "100 ps", "protein": "10 ps"}
"""Files offered, with the time between their frames."""


@dataclass(frozen=True, kw_only=True)
class AtlasConfig:
    """What to download, from where, and how politely."""

    base: str = ATLAS_URL
    """Address of the service, or of a mirror of it."""
    place: str = "files"
    """``files`` (database/ATLAS/NAME/NAME_KIND.zip) or ``api`` (api/ATLAS/KIND/NAME)."""
    kind: str = "analysis"
    """``analysis`` (a frame every 100 ps; enough for 100 frames of 100 ns) or ``protein`` (every
    10 ps; ten times as large)."""
    web: WebConfig = field(default_factory=WebConfig)
    """Retries, waits and rate."""

    def __post_init__(self) -> None:
        """Refuse what is not offered."""
        check_choice("place", self.place, _PLACES)
        check_choice("kind", self.kind, _KINDS)
        if not re.match(r"https?://[^\s/]+", self.base):
            raise InputError(f"base must be an address that begins with https://, got {self.base}")

    def url(self, name: str) -> str:
        """Address of a protein's zip file."""
        base = self.base.rstrip("/")
        return _PLACES[self.place].format(base=base, name=name, kind=self.kind)


def download(
    name: str,
    folder: Path,
    config: AtlasConfig,
    report: Callable[[str, int, int | None], None] = lambda name, here, whole: None,
    stop: threading.Event | None = None,
) -> Path:
    """Bring a protein's structure and trajectories into ``folder/NAME``, unless they are there.

    Args:
        name: PDB code and chain (``1k5n_A``).
        folder: Holds a folder a protein.
        config: What, from where and how.
        report: Is told name, bytes that are here, and how many there will be if that is known.
        stop: Ends the download early when set; what has arrived is kept.

    Raises:
        InputError: If there is no such protein, the server fails for long, sends something else,
            or the disk is full.
        CancelledError: If told to stop.
    """
    home = folder / name
    stop = stop or threading.Event()
    file = WebFile(
        config.url(name),
        folder / f".{name}_{config.kind}.zip",
        config.web,
        lambda here, whole: report(name, here, whole),
        stop,
    )
    if _is_there(folder, name):
        file.discard()
        return home
    if not _NAME.fullmatch(name):
        raise InputError(f"ATLAS names are like 1k5n_A, PDB code and chain; got {name!r}")
    folder.mkdir(parents=True, exist_ok=True)
    for tries_left in reversed(range(_TRIES)):
        file.fetch()
        try:
            _unpack(file, home, name)
            break
        except DamagedZipError as error:
            seen = _kind_of(file.path)
            file.discard()
            if not tries_left or seen:
                raise InputError(
                    f"{file.url} is {seen or 'a damaged zip file'}, not trajectories; nothing was "
                    "kept"
                ) from error
    file.discard()
    if stop.wait(config.web.pause):
        raise CancelledError("stopped; what has arrived is kept")
    return home


def release(name: str, folder: Path) -> None:
    """Remove a protein's trajectories, if they were downloaded by us."""
    if (folder / name / RECORD).is_file():
        shutil.rmtree(folder / name)


def read_names(path: Path) -> dict[str, float | None]:
    """Names in a list, with the time between frames [ps] where the list gives one.

    A split in JSON, a table with a column ``name`` (as AlphaFlow's ``atlas.csv``), or a name a
    line; ``#`` begins a comment.

    Raises:
        InputError: If the file cannot be read, or names nothing.
    """
    if path.suffix.lower() == ".json":
        split = read_split(path)
        entries = [entry for part in PARTS for entry in split[part]]
        return {entry["name"]: entry.get("spacing_ps") for entry in entries}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} could not be read as a list of names ({reason(error)})"
        ) from error
    rows = list(csv.reader(line for line in lines if line.strip() and not line.startswith("#")))
    column = rows[0].index("name") if rows and "name" in rows[0] else 0
    named = [row[column].split("#")[0].strip() for row in rows if len(row) > column]
    names = once_each(name for name in named if name and name != "name")
    if not names:
        raise InputError(f"{path} names no protein; give one a line, or a table with a column name")
    return dict.fromkeys(names)


def _is_there(folder: Path, name: str) -> bool:
    try:
        return bool(find_trajectories(folder / name))
    except InputError:
        return False


def _unpack(file: WebFile, home: Path, name: str) -> None:
    """Take the structure and the trajectories out, and note where they came from."""
    topology = f"{name}.pdb"
    names = unpack(
        file.path, home, lambda found: found == topology or replicate_of(found, name) is not None
    )
    if topology not in names or len(names) < 2:
        shutil.rmtree(home, ignore_errors=True)
        file.discard()
        raise InputError(f"{file.url} lacks {topology} or its trajectories; nothing was kept")
    record = {"url": file.url, "bytes": file.path.stat().st_size, "files": names}
    with whole_file(home / RECORD) as out:
        out.write(json.dumps(record, indent=1).encode())


def _kind_of(path: Path) -> str | None:
    """What a file that should be a zip file is instead, if that shows at once."""
    with path.open("rb") as file:
        start = file.read(512).lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page"
    if start.startswith((b"{", b"[")):
        return "a message"
    return None
