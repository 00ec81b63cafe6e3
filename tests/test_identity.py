"""Sequence identity by MMseqs2: the real program where it is installed, else impostors."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from moedsr_core.data.identity import IdentityRule, Match, align_all, find_mmseqs, largest
from moedsr_core.errors import InputError

LETTERS = list("ACDEFGHIKLMNPQRSTVWY")
real = [
    pytest.mark.exe,
    pytest.mark.skipif(shutil.which("mmseqs") is None, reason="MMseqs2 is not installed"),
]


def protein(seed: int, n: int = 120) -> str:
    return "".join(np.random.default_rng(seed).choice(LETTERS, n))


def relative(text: str, same: float, seed: int = 0) -> str:
    """A sequence that keeps this part of the residues, spread evenly; all others differ."""
    rng = np.random.default_rng(seed)
    kept = np.diff(np.floor(same * np.arange(len(text) + 1) + 1e-9)) > 0
    others = [rng.choice([x for x in LETTERS if x != letter]) for letter in text]
    return "".join(a if k else b for a, b, k in zip(text, others, kept, strict=True))


def impostor(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """A program named mmseqs that runs some Python, alone on the path."""
    folder.mkdir(exist_ok=True)
    program = folder / "mmseqs"
    program.write_text(f"#!{sys.executable}\nimport pathlib, sys\n{body}\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(folder))


unix = pytest.mark.skipif(os.name == "nt", reason="the impostor is a script with a first line #!")


def test_a_missing_program_is_told_how_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="apt-get install mmseqs2") as caught:
        align_all({"a": "ACD", "b": "ACE"})
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no program mmseqs"):
        find_mmseqs()


@unix
def test_a_program_that_fails_is_quoted(monkeypatch, tmp_path):
    impostor(tmp_path, monkeypatch, "print('No space left', file=sys.stderr); sys.exit(3)")
    with pytest.raises(InputError, match=r"createdb failed with code 3 and said: No space left"):
        align_all({"a": "ACD", "b": "ACE"})


@unix
def test_a_program_that_writes_nothing_is_refused(monkeypatch, tmp_path):
    impostor(tmp_path, monkeypatch, "pass")
    with pytest.raises(InputError, match=r"all\.lookup that cannot be read"):
        align_all({"a": "ACD", "b": "ACE"})


@unix
@pytest.mark.parametrize("line", ["0\t1\t3", "0\t9\t3\t3\t1\t1\t0", "0\t1\tx\t3\t1\t1\t0"])
def test_a_program_of_another_age_is_refused(monkeypatch, tmp_path, line):
    impostor(
        tmp_path, monkeypatch,
        "pathlib.Path('all.lookup').write_text('0\\t0\\t0\\n1\\t1\\t0\\n')\n"
        f"pathlib.Path('pairs.tsv').write_text({line!r})",
    )  # fmt: skip
    with pytest.raises(InputError, match=r"pairs\.tsv that cannot be read"):
        align_all({"a": "ACD", "b": "ACE"})


@unix
def test_an_alignment_of_nothing_is_none(monkeypatch, tmp_path):
    impostor(
        tmp_path, monkeypatch,
        "pathlib.Path('all.lookup').write_text('0\\t0\\t0\\n1\\t1\\t0\\n')\n"
        "pathlib.Path('pairs.tsv').write_text('0\\t1\\t0\\t0\\t0.1\\t1.2\\t7E-310')",
    )  # fmt: skip
    assert align_all({"a": "AAAAAA", "b": "AAAAAAAA"}) == []


@unix
def test_a_file_that_is_no_program_is_refused(monkeypatch, tmp_path):
    impostor(tmp_path, monkeypatch, "")
    (tmp_path / "mmseqs").write_bytes(b"\x00\x01\x02")
    with pytest.raises(InputError, match="could not be run"):
        align_all({"a": "ACD", "b": "ACE"})


@unix
def test_coverage_is_that_of_the_shorter_sequence(monkeypatch, tmp_path):
    lines = "0\t1\t30\t40\t0.25\t0.8\t1e-9\n1\t0\t31\t40\t0.8\t0.25\t1e-9\n0\t0\t9\t9\t1\t1\t0\n"
    impostor(
        tmp_path, monkeypatch,
        "pathlib.Path('all.lookup').write_text('0\\t0\\t0\\n1\\t1\\t0\\n')\n"
        f"pathlib.Path('pairs.tsv').write_text({lines!r})",
    )  # fmt: skip
    found = align_all({"long": "A" * 160, "brief": "A" * 50})
    assert found == [
        Match(31 / 40, 0.8, 1e-9, "brief", "long"),
        Match(30 / 40, 0.8, 1e-9, "brief", "long"),
    ]


@pytest.mark.parametrize("text", ["", "AC D", "AC-D", "ACÄ", ">x\nAC", "123"])
def test_what_is_no_sequence_is_refused(text):
    with pytest.raises(InputError, match=r"1 are not: \['odd'\]"):
        align_all({"odd": text, "b": "ACE"})


def test_queries_without_a_sequence_and_single_sequences_are_refused():
    with pytest.raises(InputError, match=r"no sequence of \['z'\]"):
        align_all({"a": "ACD", "b": "ACE"}, ["z"])
    with pytest.raises(InputError, match="at least two sequences"):
        align_all({"a": "ACD"})


@pytest.mark.parametrize(
    "values", [{"limit": 1.1}, {"limit": -0.1}, {"max_evalue": 11.0}, {"min_coverage": 2.0}]
)
def test_a_rule_out_of_range_is_refused(values):
    with pytest.raises(InputError, match=next(iter(values))):
        IdentityRule(**values)


def test_a_rule_counts_what_is_sure_and_long_and_forbids_what_is_alike():
    match = Match(0.41, 0.5, 1e-4, "a", "b")
    assert match.breaks(IdentityRule())
    assert not match.breaks(IdentityRule(limit=0.41))
    assert not match.breaks(IdentityRule(max_evalue=1e-5))
    assert not match.breaks(IdentityRule(min_coverage=0.6))
    assert largest([match], IdentityRule(limit=0.9), ["b"]) == match
    assert largest([match], IdentityRule(), ["c"]) is None
    assert largest([match], IdentityRule(min_coverage=0.6), ["b"]) is None


class TestRealProgram:
    pytestmark = real

    def test_a_planted_relative_is_found_with_its_identity(self):
        base = protein(0)
        sequences = {"base": base, "near": relative(base, 0.7), "other": protein(1)}
        found = [m for m in align_all(sequences) if m.counts(IdentityRule())]
        assert {(m.first, m.second) for m in found} == {("base", "near")}
        assert found[0].identity == pytest.approx(0.7, abs=0.02)
        assert found[0].coverage > 0.95
        assert found[0].evalue < 1e-20

    def test_identities_are_those_of_a_plain_count(self):
        base = protein(2, 400)
        sequences = {"base": base} | {f"r{k}": relative(base, k / 100, k) for k in (45, 60, 90)}
        found = {m.second: m for m in align_all(sequences, ["base"])}
        for name in ("r45", "r60", "r90"):
            plain = np.mean([a == b for a, b in zip(base, sequences[name], strict=True)])
            assert found[name].identity == pytest.approx(plain, abs=0.02)

    def test_a_shared_domain_counts_unless_coverage_is_asked(self):
        domain = protein(3, 100)
        sequences = {"a": protein(4, 200) + domain, "b": domain + protein(5, 300)}
        (best, *_) = align_all(sequences)
        assert best.identity > 0.95
        assert best.coverage == pytest.approx(1 / 3, abs=0.03)
        assert best.breaks(IdentityRule())
        assert not best.breaks(IdentityRule(min_coverage=0.5))

    def test_repeats_that_a_search_masks_are_aligned(self):
        tag = "MGSDKIHHHHHHENLYFQG" * 2
        sequences = {"a": tag + protein(6), "b": tag + protein(7), "c": protein(8)}
        assert any(m.breaks(IdentityRule()) for m in align_all(sequences))

    def test_names_are_free(self):
        base = protein(9)
        names = ["sp|P1|X 1", "a\tb", "ü"]
        sequences = dict(zip(names, (base, relative(base, 0.8), protein(10)), strict=True))
        assert {align_all(sequences)[0].first, align_all(sequences)[0].second} == set(names[:2])

    def test_blocks_of_queries_find_what_all_at_once_find(self, monkeypatch):
        base = protein(11)
        sequences = {f"p{k}": relative(base, 0.5 + k / 40, k) for k in range(9)}
        told = []
        monkeypatch.setattr("moedsr_core.data.identity._BLOCK", 4)
        blocks = align_all(sequences, report=lambda *counts: told.append(counts))
        monkeypatch.undo()
        assert blocks == align_all(sequences)
        assert told == [(4, 9), (8, 9), (9, 9)]
        some = align_all(sequences, ["p3"])
        assert {m for m in some} <= set(blocks)
        assert all("p3" in (m.first, m.second) for m in some)
        assert len(some) == 8
