"""Build the zip that PyMOL's plugin manager installs.

The manifest is the one source of the plugin's facts: the comment lines at the top of the
package, which PyMOL shows, are written from it.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import zipfile
from pathlib import Path
from uuid import uuid4

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "moedsr_pymol"))  # the package itself needs a running PyMOL

from manifest import FILE_NAME, metadata_header  # noqa: E402

BUILD_FILES = ("setup.py", "pyproject.toml", "README.md", "constraints.txt")
"""What the core is built with."""
BACKEND = ROOT / "moedsr_core" / "backend"

TIMESTAMP = (1980, 1, 1, 0, 0, 0)
"""Of every member, so that the same sources give the same archive."""


def build(folder: Path) -> Path:
    """Write ``NAME-VERSION.zip`` into a folder, in one step.

    Returns:
        The archive.
    """
    manifest = json.loads((ROOT / FILE_NAME).read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{manifest['package']}-{manifest['version']}.zip"
    temporary = target.with_name(f"{uuid4().hex}.tmp")
    with temporary.open("xb") as file, zipfile.ZipFile(file, "w") as archive:
        for name, text in package_files(manifest).items():
            write_member(archive, f"{manifest['package']}/{name}", text)
        write_member(archive, f"{manifest['package']}/core.zip", core_archive())
    os.replace(temporary, target)
    return target


def write_member(archive: zipfile.ZipFile, name: str, content: str | bytes) -> None:
    """Add a file, the same way wherever and whenever it is built."""
    member = zipfile.ZipInfo(name, TIMESTAMP)
    member.compress_type = zipfile.ZIP_DEFLATED
    member.external_attr = 0o644 << 16
    archive.writestr(member, content)


def core_archive() -> bytes:
    """The core's sources and weights as a zip, which ``moedsr_install`` installs."""
    packed = io.BytesIO()
    core = (p for p in (ROOT / "moedsr_core").rglob("*") if p.is_file() and p.suffix != ".pyc")
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted([*core, *(ROOT / name for name in BUILD_FILES)]):
            write_member(archive, path.relative_to(ROOT).as_posix(), path.read_bytes())
    return packed.getvalue()


def package_files(manifest: dict) -> dict[str, str]:
    """Text of every file of the package, its metadata lines and the manifest included.

    The core's client takes the place of the module that finds it in a checkout; the reader of
    compact frames lies beside it as it does in the core.
    """
    files = sources(ROOT / manifest["package"])
    del files["remote.py"]
    files |= {f"remote/{name}": text for name, text in sources(BACKEND / "client").items()}
    files["wire/__init__.py"] = ""
    for name in ("frame_archive.py", "frames.py"):
        files[f"wire/{name}"] = (BACKEND / "wire" / name).read_text(encoding="utf-8")
    files["__init__.py"] = with_header(files["__init__.py"], manifest)
    files[FILE_NAME] = (ROOT / FILE_NAME).read_text(encoding="utf-8")
    return files


def sources(folder: Path) -> dict[str, str]:
    """Text of every module in a folder and below, by its path there."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*.py"))
    }


def with_header(source: str, manifest: dict) -> str:
    """Put the manifest's metadata lines in the place of those that a file begins with."""
    lines = source.splitlines(keepends=True)
    while lines and lines[0].startswith("#"):
        lines.pop(0)
    return metadata_header(manifest) + "".join(lines)


def main() -> None:
    """Build into the folder given on the command line; renew the checkout's own header."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder of the zip")
    options = parser.parse_args()
    manifest = json.loads((ROOT / FILE_NAME).read_text(encoding="utf-8"))
    source = ROOT / manifest["package"] / "__init__.py"
    text = source.read_text(encoding="utf-8")
    if with_header(text, manifest) != text:
        source.write_text(with_header(text, manifest), encoding="utf-8")
    print(build(options.out))


if __name__ == "__main__":
    main()
