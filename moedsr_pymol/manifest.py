"""The plugin's facts, read from plugin_manifest.json."""

from __future__ import annotations

import json
import re
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


def version_numbers(version: str) -> tuple[int, ...]:
    """Leading numbers of a version, so that versions compare (``"0.1.0.dev1"`` → 0, 1, 0)."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def core_mismatch(health: dict[str, Any]) -> str | None:
    """Say in one sentence why a backend cannot be used, or None where it can.

    Args:
        health: Its answer to ``GET /v1/health``.
    """
    wanted, core = load_manifest()["protocol"], load_manifest()["core_versions"]
    protocol, version = health.get("protocol"), str(health.get("version", ""))
    if health.get("name") != "moedsr" or not isinstance(protocol, int):
        return "what answered is not a moedsr backend; check the address or restart it"
    if not wanted["minimum"] <= protocol <= wanted["maximum"]:
        return (
            f"the backend speaks protocol {protocol}, this plugin {wanted['minimum']} to "
            f"{wanted['maximum']}; update the older of the two"
        )
    if not _inside(version_numbers(version), core):
        return (
            f"the backend is moedsr {version or 'of no known version'}, this plugin needs "
            f"{core['minimum']} or later, below {core['below']}; install one of those"
        )
    return None


def _inside(version: tuple[int, ...], core: dict[str, str]) -> bool:
    return version_numbers(core["minimum"]) <= version < version_numbers(core["below"])
