"""scripts/simulate.py: several structures, one of them unusable, stopped and begun again."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

pytest.importorskip("openmm", reason="OpenMM is not installed")
pytest.importorskip("pdbfixer", reason="PDBFixer is not installed")

from simulated import SHORT, write_peptide

from moedsr_core.data.layout import load_replicates
from scripts import simulate


@pytest.fixture
def command(tmp_path) -> list[str]:
    write_peptide(tmp_path)
    strange = write_peptide(tmp_path, "odd")
    strange.write_text(strange.read_text().replace("ALA A   2", "XYZ A   2"), encoding="utf-8")
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SHORT.items()]
    where = ["--structures", str(tmp_path), "--out", str(tmp_path / "out")]
    return [*where, *options, "--platform", "CPU", "--jobs", "1"]


def test_a_stopped_command_goes_on_and_one_bad_structure_leaves_the_others_alone(
    command, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "out"

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(simulate.Board, "advanced", interrupt)
        assert simulate.main(command) == 130
    assert "the same command goes on from here" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == [".ala.part"]
    assert simulate.main(command) == 1
    said = capsys.readouterr()
    assert "ns/day" in said.err and "ala: 2 replicates, Cα RMSD up to" in said.err
    assert "1 protein, 0.0 MB" in said.out
    assert "amber14 does not know: A XYZ 2" in said.out
    assert [len(one) for one in load_replicates(out / "ala")] == [6, 6]
    with (out / "summary.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], row["replicate"], row["state"]) for row in rows] == [
        ("ala", "R1", "folded"), ("ala", "R2", "folded"), ("odd", "", "failed"),
    ]  # fmt: skip
    assert float(rows[0]["ns_per_day"]) > 0 and int(rows[0]["bytes"]) > 500
    assert "XYZ" in rows[2]["note"]
    (tmp_path / "odd.pdb").unlink()
    unfolded = [*command, "--limits.rmsd", "0.1"]
    assert simulate.main(unfolded) == 0
    assert "ala: was there" in capsys.readouterr().err
    assert "unfolds" in (out / "summary.csv").read_text(encoding="utf-8")


def test_replicates_of_several_structures_run_together(tmp_path, capsys):
    for name in ("ala", "second"):
        write_peptide(tmp_path, name)
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SHORT.items()]
    where = ["--structures", str(tmp_path), "--out", str(tmp_path / "out")]
    crowds = ["--platform", "CPU", "--jobs", "1", "--together", "3"]
    assert simulate.main([*where, *options, *crowds]) == 0
    assert "2 proteins" in capsys.readouterr().out
    for name in ("ala", "second"):
        assert [len(one) for one in load_replicates(tmp_path / "out" / name)] == [6, 6]
    assert simulate.main([*where, *options, "--together", "0"]) == 2
    assert "together must be a whole number from 1" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    "options, said",
    [
        (["--structures", "none.pdb"], "none.pdb could not be read (no such file or directory)"),
        (["--structures", "tests", "--length-ns", "1e-5"], "length_ns must be a whole number of"),
    ],
)
def test_what_cannot_begin_is_one_sentence(options: list[str], said: str, capsys, monkeypatch):
    monkeypatch.chdir(Path(__file__).resolve().parents[1])
    assert simulate.main(options) == 2
    assert said in " ".join(capsys.readouterr().err.split())
