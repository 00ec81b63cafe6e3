"""Splits by sequence identity: no protein of the test part is like any other (MoE-DSR, Data)."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moedsr_core.choices import check_choice, check_number
from moedsr_core.data.identity import IdentityRule, Match, align_all, largest
from moedsr_core.data.splits import PARTS
from moedsr_core.errors import InputError
from moedsr_core.wording import reason

NAMED_TARGETS = (
    "6irx_A", "1tg7_A", "4ayg_B", "5jbg_A", "7p41_D", "1gte_D", "2wsi_A", "2inc_A", "1bkp_A",
    "2v4b_B",
)  # fmt: skip
"""Test proteins that MoE-DSR names in its Table 1."""
PUBLISHED = {
    "alphaflow": {
        "train": "atlas_train.csv", "validation": "atlas_val.csv", "test": "atlas_test.csv",
    },
}  # fmt: skip
"""Published splits: the file of each part. ``alphaflow`` parts ATLAS by the date of release
(Jing et al. 2024, doi:10.48550/arXiv.2402.04845)."""
CONFLICTS = {
    "set_aside": "the proteins it is like go to no part",
    "replace": "it goes to training, and another protein takes its place",
}
"""What becomes of a named target that is like other proteins."""
_MOST = 10**6


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """How proteins are parted; MoE-DSR has 1,290/50/50 of 1,390."""

    validation: int = 50
    """Proteins for validation."""
    test: int = 50
    """Proteins for the test; the rest are for training."""
    named_targets: bool = False
    """Whether the ten proteins that the paper names are in the test."""
    conflict: str = "set_aside"
    """What becomes of a named target that is like other proteins: with ``set_aside`` those are in
    no part, so that the rule holds and training has fewer; with ``replace`` the target goes to
    training. The paper claims the rule for all its targets and also that nothing is left out."""
    seed: int = 0
    """Seed of the draw."""

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        check_number("validation", self.validation, 0, _MOST, whole=True)
        check_number("test", self.test, 1, _MOST, whole=True)
        check_number("seed", self.seed, 0, 2**32, whole=True)
        check_choice("conflict", self.conflict, CONFLICTS)
        if self.named_targets and self.test < len(NAMED_TARGETS):
            raise InputError(
                f"a test of {self.test} cannot hold the {len(NAMED_TARGETS)} named targets; "
                "make it larger"
            )


@dataclass(frozen=True)
class Split:
    """Names of proteins by part.

    Attributes:
        parts: Names under ``train``, ``validation`` and ``test``, sorted.
        set_aside: Names that are in no part.
        notes: What was moved and why; one sentence each.
    """

    parts: dict[str, list[str]]
    set_aside: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PartCheck:
    """How alike the proteins of one part are to all others of the split.

    Attributes:
        part: Its name.
        proteins: How many it has.
        largest: Its nearest pair; None where no alignment counts.
        over: Its proteins that are more alike to another than the rule allows.
    """

    part: str
    proteins: int
    largest: Match | None
    over: tuple[str, ...]


def read_sequences(path: str | Path) -> dict[str, str]:
    """Sequences by name, from a CSV file with columns ``name`` and ``seqres``.

    Raises:
        InputError: If the file is missing or not such a table, or a name stands in it twice.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            rows = [(row["name"].strip(), row["seqres"].strip()) for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, AttributeError, csv.Error) as error:
        raise InputError(
            f"{path} is not a table with columns name and seqres ({reason(error)}); give one"
        ) from error
    names = [name for name, _ in rows]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{path} names {twice} more than once; give each protein once")
    return dict(rows)


def draw_split(
    names: Sequence[str], matches: Sequence[Match], rule: IdentityRule, config: SplitConfig
) -> Split:
    """Draw test and validation from the proteins that are like no other; the rest train.

    As in the paper, test and validation are drawn together and then divided at random.

    Args:
        names: All proteins.
        matches: Of all of them with all.
        rule: When two are too much alike.
        config: How many, and the seed.

    Raises:
        InputError: If named targets are missing or alike, or too few proteins are like no other.
    """
    alike = _neighbours(matches, rule)
    kept, aside, notes = _named(names, alike, config)
    free = [name for name in sorted(names) if name not in alike and name not in kept]
    wanted = config.test + config.validation - len(kept)
    if len(free) < wanted:
        raise InputError(
            f"{wanted} proteins must be like no other, but only {len(free)} of {len(names)} are; "
            "ask for smaller parts or allow more identity"
        )
    drawn = np.random.default_rng(config.seed).permutation(free)[:wanted].tolist()
    cut = config.test - len(kept)
    test, validation = [*kept, *drawn[:cut]], drawn[cut:]
    held = {*test, *validation, *aside}
    train = [name for name in names if name not in held]
    if not train:
        raise InputError(f"no protein of {len(names)} is left for training; ask for smaller parts")
    parts = {"train": sorted(train), "validation": sorted(validation), "test": sorted(test)}
    return Split(parts, tuple(sorted(aside)), tuple(notes))


def published_split(name: str, folder: str | Path) -> tuple[Split, dict[str, str]]:
    """A published split and the sequences of its proteins.

    Raises:
        InputError: If there is none of this name, or its files are missing or overlap.
    """
    check_choice("published split", name, PUBLISHED)
    tables = {part: read_sequences(Path(folder) / PUBLISHED[name][part]) for part in PARTS}
    sequences = {k: v for table in tables.values() for k, v in table.items()}
    if len(sequences) < sum(map(len, tables.values())):
        raise InputError(f"the parts of {name} in {folder} overlap; fetch the files anew")
    return Split({part: sorted(table) for part, table in tables.items()}), sequences


def check_split(
    split: Split,
    sequences: dict[str, str],
    rule: IdentityRule,
    *,
    threads: int = 1,
    report: Callable[[int, int], None] | None = None,
) -> list[PartCheck]:
    """Align every test and validation protein with every protein of any part, and judge.

    Knows nothing of how the split was drawn, and skips no pair.

    Raises:
        InputError: If MMseqs2 is missing or fails.
    """
    everyone = {name: sequences[name] for part in PARTS for name in split.parts[part]}
    held = ("test", "validation")
    queries = [name for part in held for name in split.parts[part]]
    matches = align_all(everyone, queries, threads=threads, report=report)
    return [_check(part, split.parts[part], matches, rule) for part in held]


def _check(part: str, names: list[str], matches: Sequence[Match], rule: IdentityRule) -> PartCheck:
    over = set(_neighbours(matches, rule)) & set(names)
    return PartCheck(part, len(names), largest(matches, rule, names), tuple(sorted(over)))


def _neighbours(matches: Iterable[Match], rule: IdentityRule) -> dict[str, set[str]]:
    """The proteins that each protein is too much alike to; those without any are absent."""
    alike: dict[str, set[str]] = {}
    for match in matches:
        if match.breaks(rule):
            alike.setdefault(match.first, set()).add(match.second)
            alike.setdefault(match.second, set()).add(match.first)
    return alike


def _named(
    names: Sequence[str], alike: dict[str, set[str]], config: SplitConfig
) -> tuple[list[str], set[str], list[str]]:
    """Named targets that are in the test, what is set aside for them, and what to say of it."""
    if not config.named_targets:
        return [], set(), []
    missing = [name for name in NAMED_TARGETS if name not in names]
    if missing:
        raise InputError(f"the named targets {missing} are not among the sequences; leave them out")
    kept, aside, notes = [], set(), []
    for name in NAMED_TARGETS:
        others = alike.get(name, set())
        if others and config.conflict == "replace":
            notes.append(f"{name} is too much like {_listed(others)} and went to training")
            continue
        if others & set(NAMED_TARGETS):
            raise InputError(
                f"the named targets {name} and {_listed(others & set(NAMED_TARGETS))} are too much "
                "alike to be in one test; choose the conflict `replace`"
            )
        kept.append(name)
        aside |= others
        if others:
            notes.append(f"{_listed(others)} went to no part, being too much like {name}")
    return kept, aside, notes


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
