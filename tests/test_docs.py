"""The documentation: built without a warning, and true where it can be checked."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("material", reason="mkdocs-material is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    pages = {path.stem for path in tmp_path.glob("*.html")}
    assert {path.stem for path in DOCS.glob("*.md")} <= pages


def test_the_reference_is_made_of_the_help_texts():
    script = ROOT / "scripts" / "command_reference.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_command_in_a_page_is_one_that_there_is():
    import json

    known = set(json.loads((ROOT / "plugin_manifest.json").read_text())["commands"])
    for page in [*DOCS.glob("*.md"), ROOT / "README.md"]:
        words = set(re.findall(r"\bmoedsr_[a-z]+\b", page.read_text(encoding="utf-8")))
        assert words <= known | {"moedsr_core", "moedsr_pymol", "moedsr_prediction"}, page.name


def test_every_picture_is_shown_somewhere():
    text = "".join(
        page.read_text(encoding="utf-8")
        for page in [*DOCS.glob("*.md"), ROOT / "README.md", *ROOT.glob("benchmarks/*.md")]
    )
    for picture in (DOCS / "images").iterdir():
        assert picture.name in text, f"{picture.name} is shown nowhere"
        assert picture.stat().st_size < 1_500_000
