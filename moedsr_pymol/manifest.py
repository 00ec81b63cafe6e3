"""The plugin's facts, read from plugin_manifest.json."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

FILE_NAME = "plugin_manifest.json"


@cache
def load_manifest() -> dict[str, Any]:
    """Read the manifest: inside the package when installed, beside it in a checkout."""
    here = Path(__file__).resolve().parent
    path = next(p for p in (here / FILE_NAME, here.parent / FILE_NAME) if p.is_file())
    return json.loads(path.read_text(encoding="utf-8"))


def metadata_header(manifest: dict[str, Any]) -> str:
    """Comment lines that PyMOL's plugin manager reads from the top of ``__init__.py``."""
    fields = {
        "Name": manifest["name"],
        "Version": manifest["version"],
        "Description": manifest["description"],
        "Author": ", ".join(manifest["authors"]),
        "License": manifest["licence"],
        "PyMOL-Version": f"{manifest['minimum_pymol']} or later",
        "Python-Version": f"{manifest['minimum_python']} or later",
        "Requires": ", ".join(manifest["packages"]),
    }
    return "".join(f"# {key}: {value}\n" for key, value in fields.items())
