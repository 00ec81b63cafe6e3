"""Sequence identity of proteins by MMseqs2 (Steinegger and Söding 2017, doi:10.1038/nbt.3988).

MMseqs2 is a program of its own. Its modules are called one by one, in a scratch folder, with
numbers for names, so that no name can trip it.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from moedsr_core.choices import check_number
from moedsr_core.errors import InputError
from moedsr_core.files import writing
from moedsr_core.wording import reason

_COLUMNS = "query,target,nident,alnlen,qcov,tcov,evalue"
_LOOSEST = 10.0
"""Alignments with a larger expectation value are not reported."""
_ALL_HITS = 10**7
_BLOCK = 100
"""Queries aligned at a time."""
_PREFILTER_DB = 7
"""What the ``.dbtype`` file of a prefilter database holds."""


@dataclass(frozen=True, kw_only=True)
class IdentityRule:
    """When two sequences count as too much alike."""

    limit: float = 0.4
    """Largest identity allowed: identical residues over alignment columns (MoE-DSR: 40 %)."""
    max_evalue: float = 1e-3
    """Alignments with a larger expectation value are chance and do not count: short ones reach any
    identity. 1e-3 is what MMseqs2's own clustering takes."""
    min_coverage: float = 0.0
    """Part of the shorter sequence that an alignment must span to count. The paper only says
    "sequence identity". 0 counts every shared domain, which is the strictest reading and ours;
    0.8 is what clustering programs ask, and lets through two chains that share a fused domain."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        check_number("limit", self.limit, 0.0, 1.0)
        check_number("max_evalue", self.max_evalue, 0.0, _LOOSEST)
        check_number("min_coverage", self.min_coverage, 0.0, 1.0)


@dataclass(frozen=True, order=True)
class Match:
    """Alignment of two different sequences.

    Attributes:
        identity: Identical residues over columns of the alignment.
        coverage: Part of the shorter sequence that is aligned.
        evalue: Expectation value.
        first: Name that sorts first.
        second: The other name.
    """

    identity: float
    coverage: float
    evalue: float
    first: str
    second: str

    def counts(self, rule: IdentityRule) -> bool:
        """Whether the alignment is long and sure enough to mean anything."""
        return self.evalue <= rule.max_evalue and self.coverage >= rule.min_coverage

    def breaks(self, rule: IdentityRule) -> bool:
        """Whether the two are too much alike."""
        return self.counts(rule) and self.identity > rule.limit


def find_mmseqs() -> str:
    """Path of the program.

    Raises:
        InputError: If it is not installed.
    """
    found = shutil.which("mmseqs")
    if found is None:
        raise InputError(
            "MMseqs2 is needed and there is no program mmseqs on the path; install it with "
            "`apt-get install mmseqs2`, `conda install -c bioconda mmseqs2` or "
            "`brew install mmseqs2`"
        )
    return found


def mmseqs_version() -> str:
    """What the program says its version is.

    Raises:
        InputError: If it is not installed or fails.
    """
    return _Mmseqs(Path.cwd(), 1)("version").strip()


def align_all(
    sequences: dict[str, str],
    queries: Iterable[str] | None = None,
    *,
    threads: int = 1,
    report: Callable[[int, int], None] | None = None,
) -> list[Match]:
    """All pairs by Smith-Waterman alignment of each query with every sequence; no pair is skipped.

    MMseqs2's own search first looks for similar words and masks repeats; among ATLAS's 1,390
    sequences that misses 6 of 96 pairs above 40 %, so the search for words is left out.

    Args:
        sequences: One-letter sequences by name.
        queries: Names to align with all; by default every one.
        threads: Processor threads.
        report: Told how many queries are done, of how many.

    Returns:
        Every alignment of two different sequences, the most alike first. A pair has two where
        both are queries, which may differ a little.

    Raises:
        InputError: If MMseqs2 is missing or fails, a sequence is not one, or a query has none.
    """
    names = list(sequences)
    wanted = names if queries is None else list(queries)
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        raise InputError(f"there is no sequence of {unknown}; give the file that holds them")
    _refuse_odd(sequences)
    matches: list[Match] = []
    with tempfile.TemporaryDirectory(prefix="moedsr-mmseqs-") as folder:
        run = _Mmseqs(Path(folder), threads)
        keys = _make_database(run, sequences)
        for done in range(0, len(wanted), _BLOCK):
            block = [keys[name] for name in wanted[done : done + _BLOCK]]
            matches += _align_block(run, block, keys, sequences)
            if report is not None:
                report(min(done + _BLOCK, len(wanted)), len(wanted))
    return sorted(matches, reverse=True)


def largest(matches: Sequence[Match], rule: IdentityRule, names: Iterable[str]) -> Match | None:
    """Largest identity of any of these names with any sequence, among alignments that count."""
    wanted = set(names)
    found = (m for m in matches if m.counts(rule) and (m.first in wanted or m.second in wanted))
    return max(found, default=None)


class _Mmseqs:
    """Runs modules of MMseqs2 in one folder.

    Args:
        folder: Where they run.
        threads: Processor threads.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        self.program, self.folder, self.threads = find_mmseqs(), folder, threads

    def __call__(self, module: str, *arguments: str) -> str:
        """Run one module; returns what it prints.

        Raises:
            InputError: If it cannot be started or fails.
        """
        try:
            done = subprocess.run(
                [self.program, module, *arguments], cwd=self.folder, stdin=subprocess.DEVNULL,
                capture_output=True, encoding="utf-8", errors="replace",
            )  # fmt: skip
        except OSError as error:
            raise InputError(
                f"{self.program} could not be run ({reason(error)}); install MMseqs2 anew"
            ) from error
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
            raise InputError(
                f"mmseqs {module} failed with code {done.returncode} and said: {said[:200]}; "
                "see that the disk is not full and that the sequences are proteins"
            )
        return done.stdout


def _make_database(run: _Mmseqs, sequences: dict[str, str]) -> dict[str, int]:
    """Give the sequences to MMseqs2; returns the key of each name."""
    text = "".join(f">{k}\n{letters}\n" for k, letters in enumerate(sequences.values()))
    fasta = run.folder / "all.fasta"
    with writing(fasta):
        fasta.write_text(text, encoding="ascii")
    run("createdb", "all.fasta", "all", "--dbtype", "1")
    names = list(sequences)
    with _mmseqs_wrote(run.folder / "all.lookup") as lines:
        rows = [line.split("\t") for line in lines]
        return {names[int(number)]: int(key) for key, number, *_ in rows}


def _align_block(
    run: _Mmseqs, queries: list[int], keys: dict[str, int], sequences: dict[str, str]
) -> list[Match]:
    """Alignments of some queries, by their keys, with every sequence."""
    _every_pair(run.folder, queries, list(keys.values()))
    run(
        "align", "all", "all", "candidates", "aligned", "-a", "--alignment-mode", "3",
        "--seq-id-mode", "0", "-e", str(_LOOSEST), "--max-accept", str(_ALL_HITS),
        "--max-rejected", str(_ALL_HITS), "--threads", str(run.threads),
    )  # fmt: skip
    run("convertalis", "all", "all", "aligned", "pairs.tsv", "--format-output", _COLUMNS)
    run("rmdb", "aligned")
    return _read_pairs(run.folder / "pairs.tsv", sequences)


def _every_pair(folder: Path, queries: list[int], targets: list[int]) -> None:
    """Write a prefilter database that passes every target for each of the queries.

    Entries have one line a target: key, score, diagonal. All queries share one entry.
    """
    entry = "".join(f"{key}\t0\t0\n" for key in targets).encode() + b"\0"
    index = "".join(f"{key}\t0\t{len(entry)}\n" for key in sorted(queries)).encode()
    with writing(folder / "candidates"):
        (folder / "candidates").write_bytes(entry)
        (folder / "candidates.index").write_bytes(index)
        (folder / "candidates.dbtype").write_bytes(_PREFILTER_DB.to_bytes(4, "little"))


def _read_pairs(path: Path, sequences: dict[str, str]) -> list[Match]:
    """Alignments of different sequences, as MMseqs2 wrote them.

    Of very short sequences it may write one of no columns, whose expectation value it never set.
    """
    names, matches = list(sequences), []
    with _mmseqs_wrote(path) as lines:
        for line in lines:
            query, target, identical, columns, *rest = line.split("\t")
            of_query, of_target, evalue = (float(value) for value in rest)
            a, b = names[int(query)], names[int(target)]
            if a != b and int(columns) > 0:
                coverage = of_query if len(sequences[a]) <= len(sequences[b]) else of_target
                identity = int(identical) / int(columns)
                matches.append(Match(identity, coverage, evalue, *sorted((a, b))))
    return matches


@contextmanager
def _mmseqs_wrote(path: Path) -> Iterator[list[str]]:
    """Lines of a file of MMseqs2, while they are read.

    Raises:
        InputError: If they are not what was asked for.
    """
    try:
        yield path.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError, IndexError, ZeroDivisionError) as error:
        raise InputError(
            f"mmseqs wrote a file {path.name} that cannot be read ({reason(error)}); "
            "use MMseqs2 13 or later"
        ) from error


def _refuse_odd(sequences: dict[str, str]) -> None:
    if len(sequences) < 2:
        raise InputError(f"identities need at least two sequences, got {len(sequences)}")
    odd = [name for name, text in sequences.items() if not (text.isascii() and text.isalpha())]
    if odd:
        raise InputError(
            f"sequences must be letters of amino acids, but {len(odd)} are not: {odd[:3]}"
        )
