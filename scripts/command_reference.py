"""Write docs/commands.md, the reference of PyMOL's commands, from their help texts.

``python scripts/command_reference.py`` writes it, with ``--check`` it only says whether it is new.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "commands.md"
HEAD = """# Commands

What one can type into PyMOL, or put into a script. The same text comes from `help` followed by a
command's name, as in `help moedsr_predict`. Arguments are separated by commas and go in the order
shown, or by name: `moedsr_predict 1ubq, frames=50, seed=3`.

| command | what it does |
|---|---|
"""
SECTION = re.compile(r"^([A-Z ]+)$\n", re.MULTILINE)


def reference(commands: dict[str, str], helps: dict[str, str]) -> str:
    """The page.

    Args:
        commands: What each command does, in a line.
        helps: Help text of each command, in PyMOL's form.
    """
    rows = [f"| [`{name}`](#{name}) | {line} |" for name, line in commands.items()]
    return HEAD + "\n".join(rows) + "\n" + "".join(_entry(name, helps[name]) for name in commands)


def _entry(name: str, text: str) -> str:
    _, *parts = SECTION.split(inspect.cleandoc(text))
    lines = [f"\n## {name}\n"]
    for title, body in zip(parts[::2], parts[1::2], strict=True):
        body = inspect.cleandoc("\n" + body)
        if title == "DESCRIPTION":
            lines.append(re.sub(r'^"(moedsr_\w+)"', r"`\1`", body))
        elif title == "SEE ALSO":
            others = re.split(r",\s*", body)
            lines.append("See also " + ", ".join(f"[`{other}`](#{other})" for other in others))
        else:
            lines.append(f"**{title.capitalize()}**\n\n```text\n{body}\n```")
    return "\n".join([lines[0], "\n\n".join(lines[1:]), ""])


def current() -> str:
    """The page as the plugin's help texts are now."""
    sys.path.insert(0, str(ROOT))
    from moedsr_pymol.commands import COMMANDS

    manifest = json.loads((ROOT / "plugin_manifest.json").read_text(encoding="utf-8"))
    helps = {command.__name__: command.__doc__ or "" for command in COMMANDS}
    return reference(manifest["commands"], helps)


def main() -> int:
    """Write the page, or look whether it is new; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if it is old")
    page, there = current(), TARGET.read_text(encoding="utf-8") if TARGET.exists() else ""
    if not parser.parse_args().check:
        TARGET.write_text(page, encoding="utf-8")
    elif page != there:
        print(f"{TARGET.relative_to(ROOT)} is old; run python scripts/command_reference.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
