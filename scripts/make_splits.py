"""Part proteins into training, validation and test so that no test protein is like any other.

Needs MMseqs2. Every pair is aligned, test and validation are drawn from the proteins without a
relative, and the finished parts are aligned anew to prove it::

    python scripts/make_splits.py --sequences atlas.csv --out atlas_split.json

Published splits are measured in the same way: `--published alphaflow`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import tyro
from rich.console import Console

from moedsr_core.data.identity import IdentityRule, align_all, mmseqs_version
from moedsr_core.data.split_drawing import (
    PartCheck,
    Split,
    SplitConfig,
    check_split,
    draw_split,
    published_split,
    read_sequences,
)
from moedsr_core.data.splits import PARTS
from moedsr_core.errors import InputError
from moedsr_core.files import whole_file
from moedsr_core.report import markdown_table
from moedsr_core.terminal import exit_code, progress


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Part proteins by sequence identity."""

    sequences: Path
    """Table of ATLAS (columns name, seqres); of a published split, the folder of its files."""
    out: Path = Path("atlas_split.json")
    """Where the parts are written; a report goes beside it, ending in .md."""
    published: str | None = None
    """Measure a published split (alphaflow) in place of drawing one."""
    split: SplitConfig = field(default_factory=SplitConfig)
    """How many proteins go where."""
    rule: IdentityRule = field(default_factory=IdentityRule)
    """When two sequences are too much alike."""
    threads: int = 2
    """Processor threads."""


def main(argv: list[str] | None = None) -> int:
    """Run; returns the exit code."""
    arguments = tyro.cli(
        Arguments, args=argv, description=__doc__, config=(tyro.conf.OmitArgPrefixes,)
    )
    return exit_code(partial(_run, arguments), "stopped; nothing was written")


def _run(arguments: Arguments, console: Console) -> None:
    split, checks = _make(arguments, console)
    _write(arguments, split, checks)
    print(report(arguments, split, checks))


def _make(arguments: Arguments, console: Console) -> tuple[Split, list[PartCheck]]:
    """Draw the split, or read a published one; and check it."""
    if arguments.out.suffix != ".json":
        raise InputError(
            f"the parts are written as JSON, got the name {arguments.out}; end it in .json"
        )
    rule, threads = arguments.rule, arguments.threads
    if arguments.published is not None:
        split, sequences = published_split(arguments.published, arguments.sequences)
    else:
        sequences = read_sequences(arguments.sequences)
        with _progress("aligning all pairs", console) as tell:
            matches = align_all(sequences, threads=threads, report=tell)
        split = draw_split(list(sequences), matches, rule, arguments.split)
    with _progress("checking the parts", console) as tell:
        checks = check_split(split, sequences, rule, threads=threads, report=tell)
    leaks = [name for check in checks for name in check.over]
    if leaks and arguments.published is None:
        raise InputError(
            f"the check found {leaks} too much like other proteins although they were drawn as "
            "like none; nothing was written, see that MMseqs2 works"
        )
    return split, checks


@contextmanager
def _progress(what: str, console: Console) -> Iterator[Callable[[int, int], None]]:
    """A line with a bar and the time left."""
    with progress(console) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _write(arguments: Arguments, split: Split, checks: list[PartCheck]) -> None:
    """Parts as JSON, in the form that training reads, and the report as Markdown."""
    drawn = {} if arguments.published else {"drawn_by": asdict(arguments.split)}
    content = {
        "description": _title(arguments),
        **drawn,
        "rule": asdict(arguments.rule),
        "program": f"MMseqs2 {mmseqs_version()}",
        "check": [asdict(check) for check in checks],
        "notes": list(split.notes),
        "set_aside": list(split.set_aside),
        **{part: [{"name": name} for name in split.parts[part]] for part in PARTS},
    }
    with whole_file(arguments.out) as file:
        file.write(json.dumps(content, indent=1).encode())
    with whole_file(arguments.out.with_suffix(".md")) as file:
        file.write(report(arguments, split, checks).encode())


def report(arguments: Arguments, split: Split, checks: list[PartCheck]) -> str:
    """What the split is and how alike its proteins are, in Markdown."""
    rule = arguments.rule
    header = ["part", "proteins", "largest identity", "pair", "of the shorter"]
    header.append(f"over {rule.limit:.0%}")
    sizes = " / ".join(f"{len(split.parts[part]):,}" for part in PARTS)
    lines = [
        f"# {_title(arguments)}",
        "",
        f"{' / '.join(PARTS)}: {sizes}; in no part: {len(split.set_aside)}.",
        f"Every test and validation protein was aligned with every other protein of any part "
        f"(Smith-Waterman, no prefilter). Alignments count with an expectation value up to "
        f"{rule.max_evalue:g} that span at least {rule.min_coverage:.0%} of the shorter sequence.",
        "",
        markdown_table(header, [_row(check) for check in checks]),
        *(["", *(f"- {note}." for note in split.notes)] if split.notes else []),
    ]
    return "\n".join(lines) + "\n"


def _row(check: PartCheck) -> list[str]:
    pair, identity, coverage = "none", "", ""
    if check.largest is not None:
        pair = f"{check.largest.first}, {check.largest.second}"
        identity, coverage = f"{check.largest.identity:.1%}", f"{check.largest.coverage:.0%}"
    cells = (check.part, check.proteins, identity, pair, coverage, len(check.over))
    return list(map(str, cells))


def _title(arguments: Arguments) -> str:
    if arguments.published:
        return f"The published split {arguments.published}, measured"
    named = ", named targets in the test" if arguments.split.named_targets else ""
    return f"Split at {arguments.rule.limit:.0%} identity, seed {arguments.split.seed}{named}"


if __name__ == "__main__":
    sys.exit(main())
