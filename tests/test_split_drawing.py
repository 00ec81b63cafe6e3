"""Splits whose test proteins are like no other, and the check that proves it."""

from __future__ import annotations

import csv
import importlib
import json
import shutil
from itertools import combinations
from pathlib import Path

import pytest
from test_identity import protein, relative, unix

from moedsr_core.data.identity import IdentityRule, Match
from moedsr_core.data.split_drawing import (
    NAMED_TARGETS,
    Split,
    SplitConfig,
    check_split,
    draw_split,
    published_split,
    read_sequences,
)
from moedsr_core.data.splits import PARTS, read_split
from moedsr_core.errors import InputError

RULE = IdentityRule()
NAMES = [*NAMED_TARGETS, *(f"p{k:03d}" for k in range(90))]
SMALL = SplitConfig(validation=10, test=20)
needs_mmseqs = pytest.mark.skipif(shutil.which("mmseqs") is None, reason="MMseqs2 is not installed")


def alike(*pairs: tuple[str, str], identity: float = 0.6) -> list[Match]:
    return [Match(identity, 1.0, 1e-30, *sorted(pair)) for pair in pairs]


def family(names: list[str]) -> list[Match]:
    return alike(*combinations(names, 2))


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "scripts")
    return importlib.import_module("make_splits")


def table(path: Path, sequences: dict[str, str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["name", "seqres"])
        rows.writerows(sequences.items())
    return path


def zoo(n: int = 14) -> dict[str, str]:
    """Proteins of which the first two are relatives."""
    sequences = {f"q{k:02d}": protein(100 + k) for k in range(n)}
    sequences["q01"] = relative(sequences["q00"], 0.7)
    return sequences


def test_parts_hold_every_protein_once_in_the_sizes_asked():
    split = draw_split(NAMES, [], RULE, SMALL)
    assert {part: len(split.parts[part]) for part in PARTS} == {
        "train": 70, "validation": 10, "test": 20,
    }  # fmt: skip
    assert sorted(name for part in PARTS for name in split.parts[part]) == sorted(NAMES)
    assert split.set_aside == split.notes == ()


def test_proteins_with_relatives_are_never_held_out():
    matches = family(NAMES[:65])
    split = draw_split(NAMES, matches, RULE, SMALL)
    assert not set(split.parts["test"] + split.parts["validation"]) & set(NAMES[:65])


def test_identity_up_to_the_limit_is_allowed():
    config = SplitConfig(validation=0, test=99)
    assert len(draw_split(NAMES, alike(("p001", "p002"), identity=0.4), RULE, config).notes) == 0
    with pytest.raises(InputError, match="99 proteins must be like no other, but only 98 of 100"):
        draw_split(NAMES, alike(("p001", "p002"), identity=0.4001), RULE, config)


def test_a_seed_gives_one_split_whatever_the_order_of_names():
    first = draw_split(NAMES, [], RULE, SMALL)
    assert draw_split(NAMES[::-1], [], RULE, SMALL) == first
    other = draw_split(NAMES, [], RULE, SplitConfig(validation=10, test=20, seed=1))
    assert other.parts["test"] != first.parts["test"]


def test_named_targets_are_in_the_test_on_request():
    split = draw_split(NAMES, [], RULE, SplitConfig(validation=10, test=20, named_targets=True))
    assert set(NAMED_TARGETS) <= set(split.parts["test"])
    assert len(split.parts["test"]) == 20


def test_relatives_of_named_targets_go_to_no_part_and_that_is_said():
    matches = alike(("5jbg_A", "p001"), ("5jbg_A", "p002"), ("p003", "p004"))
    config = SplitConfig(validation=10, test=20, named_targets=True)
    split = draw_split(NAMES, matches, RULE, config)
    assert split.set_aside == ("p001", "p002")
    assert split.notes == ("p001, p002 went to no part, being too much like 5jbg_A",)
    assert {"p003", "p004"} <= set(split.parts["train"])
    assert [len(split.parts[part]) for part in PARTS] == [68, 10, 20]


def test_named_targets_with_relatives_may_go_to_training_instead():
    config = SplitConfig(validation=10, test=20, named_targets=True, conflict="replace")
    split = draw_split(NAMES, alike(("5jbg_A", "p001")), RULE, config)
    assert {"5jbg_A", "p001"} <= set(split.parts["train"])
    assert split.notes == ("5jbg_A is too much like p001 and went to training",)
    assert [len(split.parts[part]) for part in PARTS] == [70, 10, 20]


def test_named_targets_that_are_alike_or_absent_are_refused():
    config = SplitConfig(validation=10, test=20, named_targets=True)
    with pytest.raises(InputError, match="6irx_A and 1tg7_A are too much alike"):
        draw_split(NAMES, alike(("6irx_A", "1tg7_A")), RULE, config)
    with pytest.raises(InputError, match="6irx_A"):
        draw_split(NAMES[1:], [], RULE, config)


@pytest.mark.parametrize(
    "values",
    [
        {"test": 0}, {"validation": -1}, {"seed": -1}, {"conflict": "ignore"},
        {"test": 9, "named_targets": True},
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(values):
    with pytest.raises(InputError):
        SplitConfig(**values)


def test_a_split_without_training_is_refused():
    with pytest.raises(InputError, match="no protein of 100 is left for training"):
        draw_split(NAMES, [], RULE, SplitConfig(validation=50, test=50))


@pytest.mark.parametrize("text", ["name,sequence\na,ACD\n", "name,seqres\na\n"])
def test_a_table_of_other_columns_is_refused(tmp_path, text):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="columns name and seqres"):
        read_sequences(tmp_path / "t.csv")


def test_a_table_that_names_a_protein_twice_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("name,seqres\na,ACD\na,ACE\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"names \['a'\] more than once"):
        read_sequences(tmp_path / "t.csv")
    with pytest.raises(InputError, match=r"nosuch\.csv"):
        read_sequences(tmp_path / "nosuch.csv")


def test_a_published_split_is_read_by_its_files(tmp_path):
    for k, name in enumerate(("train", "val", "test")):
        table(tmp_path / f"atlas_{name}.csv", {f"{name}{j}": protein(10 * k + j) for j in range(2)})
    split, sequences = published_split("alphaflow", tmp_path)
    assert split.parts["validation"] == ["val0", "val1"]
    assert sequences["test1"] == protein(21)
    table(tmp_path / "atlas_test.csv", {"train0": protein(0)})
    with pytest.raises(InputError, match="overlap"):
        published_split("alphaflow", tmp_path)
    with pytest.raises(InputError, match="must be one of alphaflow"):
        published_split("bioemu", tmp_path)


def test_a_missing_program_ends_the_script_with_one_sentence(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    sequences = table(tmp_path / "t.csv", zoo())
    out = tmp_path / "split.json"
    assert script.main(["--sequences", str(sequences), "--out", str(out)]) == 2
    assert "apt-get install mmseqs2" in " ".join(capsys.readouterr().err.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv"]


@unix
def test_a_stopped_script_leaves_nothing(script, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(script, "align_all", stop)
    sequences = table(tmp_path / "t.csv", zoo())
    assert script.main(["--sequences", str(sequences), "--out", str(tmp_path / "s.json")]) == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv"]


@unix
def test_a_split_that_fails_its_check_is_not_written(script, tmp_path, monkeypatch, capsys):
    """The first alignment sees no relatives, the second does."""
    found = iter([[], family(sorted(zoo()))])
    monkeypatch.setattr(script, "align_all", lambda *_, **__: next(found))
    monkeypatch.setattr("moedsr_core.data.split_drawing.align_all", lambda *_, **__: next(found))
    sequences = table(tmp_path / "t.csv", zoo())
    arguments = ["--sequences", str(sequences), "--out", str(tmp_path / "s.json")]
    assert script.main([*arguments, "--test", "3", "--validation", "2"]) == 2
    assert "the check found" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "s.json").exists()


def test_misspelt_flags_and_names_are_refused(script, tmp_path):
    with pytest.raises(SystemExit) as caught:
        script.main(["--sequence", "t.csv"])
    assert caught.value.code == 2
    sequences = table(tmp_path / "t.csv", zoo())
    assert script.main(["--sequences", str(sequences), "--out", str(tmp_path / "s.md")]) == 2


@pytest.mark.exe
@needs_mmseqs
def test_the_check_finds_a_relative_planted_in_the_test():
    sequences = zoo()
    names = sorted(sequences)
    leaky = Split({"train": names[1:9], "validation": names[9:], "test": names[:1]})
    test, validation = check_split(leaky, sequences, RULE)
    assert test.over == ("q00",)
    assert test.largest is not None
    assert (test.largest.first, test.largest.second) == ("q00", "q01")
    assert test.largest.identity == pytest.approx(0.7, abs=0.02)
    assert validation.over == ()
    aside = Split({**leaky.parts, "train": names[2:9]}, ("q01",))
    assert check_split(aside, sequences, RULE)[0].over == ()


@pytest.mark.exe
@needs_mmseqs
def test_the_script_writes_a_split_that_training_reads(script, tmp_path, capsys):
    sequences = table(tmp_path / "t.csv", zoo())
    out = tmp_path / "s.json"
    arguments = ["--sequences", str(sequences), "--out", str(out), "--test", "3"]
    assert script.main([*arguments, "--validation", "2", "--threads", "1"]) == 0
    split = read_split(out)
    assert [len(split[part]) for part in PARTS] == [9, 2, 3]
    held = {entry["name"] for part in ("test", "validation") for entry in split[part]}
    assert not held & {"q00", "q01"}
    written = json.loads(out.read_text(encoding="utf-8"))
    assert written["program"].startswith("MMseqs2 ")
    assert [check["over"] for check in written["check"]] == [[], []]
    assert out.with_suffix(".md").read_text(encoding="utf-8") + "\n" == capsys.readouterr().out


@pytest.mark.exe
@pytest.mark.data
@needs_mmseqs
def test_the_published_split_by_date_leaks(data_dir):
    split, sequences = published_split("alphaflow", data_dir / "splits")
    assert [len(split.parts[part]) for part in PARTS] == [1266, 39, 82]
    small = Split({**split.parts, "validation": split.parts["validation"][:5]})
    test, _ = check_split(small, sequences, RULE)
    assert len(test.over) == 10
    assert test.largest is not None
    assert test.largest.identity == 1.0
