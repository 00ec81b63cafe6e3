"""What commands read off a surface: a ball that grows, whose numbers are known."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymol import CmdException
from pymol_support import RADIUS, backend_double, ball, call, displacement, open_pymol

from moedsr_pymol.atoms import Molecule
from moedsr_pymol.errors import UserError
from moedsr_pymol.measure.gate import gate_weights
from moedsr_pymol.measure.residues import residue_selection, residues_of
from moedsr_pymol.workspace import Workspace


@pytest.fixture(scope="module")
def cmd() -> Iterator[Any]:
    """A PyMOL with the surface of a ball that grows in five frames."""
    with pytest.MonkeyPatch.context() as patch, open_pymol() as cmd, backend_double(patch):
        call(cmd, "moedsr_predict", "prot", frames=5)
        yield cmd


def surface_of(cmd: Any) -> Any:
    return Workspace.of(cmd).surface("prot_surf")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def bfactors(cmd: Any, selection: str) -> list[float]:
    found: list[float] = []
    cmd.iterate(selection, "found.append(b)", space={"found": found})
    return found


def test_a_profile_is_the_mean_over_each_residues_points(cmd, tmp_path):
    profile = call(cmd, "moedsr_profile", "prot_surf", file=str(tmp_path / "p.csv"))
    surface = surface_of(cmd)
    residue = surface.atoms.residue_index[surface.attributes["atom"]]
    wanted = [(1 + ball()[0][:, 2])[residue == r].mean() for r in np.unique(residue)]
    np.testing.assert_allclose(profile.value, wanted, atol=1e-5)
    rows = rows_of(tmp_path / "p.csv")
    assert [row["residue"] for row in rows] == (np.unique(residue) + 1).astype(str).tolist()
    assert rows[0]["chain"] == "A" and sum(int(row["points"]) for row in rows) == len(residue)
    assert profile.chart().tick_labels[0] == f"A/{rows[0]['residue']} {rows[0]['name']}"


def test_the_residues_of_a_profile_can_be_selected(cmd):
    profile = call(cmd, "moedsr_profile", "prot_surf")
    for k in range(len(profile.value)):
        found: list[str] = []
        cmd.iterate(profile.selection(k), "found.append(resi)", space={"found": found})
        assert set(found) == {profile.resi[k]}


@pytest.mark.parametrize("chain", ["a+b", "*", "A'"])
def test_a_chain_of_odd_letters_is_selected_alone(cmd, chain):
    cmd.fab("AG", "odd")
    first = cmd.count_atoms("odd and resi 1")
    cmd.alter("odd and resi 1", f"chain = {chain!r}")
    cmd.alter("odd and resi 2", "resi, chain = '1', 'B'")
    found = cmd.count_atoms(residue_selection("odd", chain, "1"))
    cmd.delete("odd")
    assert found == first


def test_motion_is_that_of_the_state_asked_for_or_shown(cmd):
    cmd.frame(2)
    shown = call(cmd, "moedsr_profile", "prot_surf", "motion")
    last = call(cmd, "moedsr_profile", "prot_surf", "motion", state="5")
    np.testing.assert_allclose(shown.value, displacement(1, 5), atol=0.01)
    np.testing.assert_allclose(last.value, displacement(4, 5), atol=0.01)


def test_b_factors_take_the_profile_and_what_was_there_comes_back(cmd):
    cmd.alter("prot", "b = rank + 0.5")
    before = bfactors(cmd, "prot")
    profile = call(cmd, "moedsr_profile", "prot_surf", bfactor="1")
    for k, resi in enumerate(profile.resi):
        np.testing.assert_allclose(bfactors(cmd, f"resi {resi}"), profile.value[k], atol=1e-5)
    buried = "not resi " + "+".join(profile.resi)
    assert set(bfactors(cmd, buried)) == {0.0}
    call(cmd, "moedsr_profile", "prot_surf", "motion", bfactor="1", state=5)
    assert bfactors(cmd, "prot") != before
    call(cmd, "moedsr_profile", "prot_surf", bfactor="restore")
    assert bfactors(cmd, "prot") == before
    with pytest.raises(CmdException, match="none to put back"):
        call(cmd, "moedsr_profile", "prot_surf", bfactor="restore")


def test_b_factors_of_atoms_that_came_between_two_profiles_come_back_too(cmd):
    profile = call(cmd, "moedsr_profile", "prot_surf", bfactor="1")
    chain, resi, resn = (str(part[0]) for part in (profile.chain, profile.resi, profile.resn))
    cmd.pseudoatom("prot", name="NEW", chain=chain, resi=resi, resn=resn, b=9)
    call(cmd, "moedsr_profile", "prot_surf", bfactor="1")
    assert bfactors(cmd, "name NEW") == [pytest.approx(profile.value[0])]
    call(cmd, "moedsr_profile", "prot_surf", bfactor="restore")
    assert bfactors(cmd, "name NEW") == [9]
    cmd.remove("name NEW")


def test_b_factors_come_back_when_the_surface_has_gone(cmd, monkeypatch):
    cmd.alter("prot", "b = 3")
    with backend_double(monkeypatch):
        call(cmd, "moedsr_predict", "prot", frames=2, name="short")
    call(cmd, "moedsr_profile", "short", bfactor="1")
    cmd.delete("short")
    with pytest.raises(CmdException, match="'short' is not there any more"):
        call(cmd, "moedsr_profile", "short", bfactor="restore")
    call(cmd, "moedsr_profile", "prot", bfactor="restore")
    assert set(bfactors(cmd, "prot")) == {3}


def test_b_factors_come_back_to_their_atoms_under_other_names_and_numbers(cmd):
    cmd.alter("prot", "b = rank + 0.5")
    before = bfactors(cmd, "prot")
    call(cmd, "moedsr_profile", "prot_surf", bfactor="1")
    cmd.alter("prot", "resi = str(int(resi) + 3)")
    with pytest.raises(CmdException, match="renumbered or replaced"):
        call(cmd, "moedsr_profile", "prot_surf", bfactor="1")
    surface = surface_of(cmd)
    surface.atoms = replace(surface.atoms, object_name="other")
    cmd.set_name("prot", "other")
    call(cmd, "moedsr_profile", "prot_surf", bfactor="restore")
    assert bfactors(cmd, "other") == before
    cmd.set_name("other", "prot")
    cmd.alter("prot", "resi = str(int(resi) - 3)")
    surface.atoms = replace(surface.atoms, object_name="prot")


def test_a_fetched_surface_reads_its_residues_from_the_molecule_while_it_is_the_same(
    cmd, monkeypatch
):
    surface = surface_of(cmd)
    known = call(cmd, "moedsr_profile", "prot_surf")
    atoms = surface.atoms
    bare = Molecule(atoms.object_name, atoms.state, atoms.chain_ids, atoms.history)
    monkeypatch.setattr(surface, "atoms", bare)
    again = call(cmd, "moedsr_profile", "prot_surf")
    np.testing.assert_array_equal(again.resi, known.resi)
    np.testing.assert_array_equal(again.value, known.value)
    monkeypatch.setattr(surface, "atoms", replace(bare, chain_ids=atoms.chain_ids[:-1]))
    with pytest.raises(CmdException, match="holds other atoms than 'prot_surf' was made of"):
        call(cmd, "moedsr_profile", "prot_surf")
    monkeypatch.setattr(surface, "atoms", replace(bare, object_name="gone"))
    with pytest.raises(UserError, match="'gone' is not there any more"):
        residues_of(surface, cmd)


def test_a_fetched_surface_of_one_chain_finds_it(cmd, monkeypatch):
    cmd.create("twin", "prot")
    cmd.alter("twin", "chain = 'B'")
    cmd.create("both", "prot or twin")
    surface = surface_of(cmd)
    atoms, wanted = surface.atoms, call(cmd, "moedsr_profile", "prot_surf").value
    monkeypatch.setattr(surface, "atoms", Molecule("both", 1, atoms.chain_ids, atoms.history))
    profile = call(cmd, "moedsr_profile", "prot_surf")
    assert set(profile.chain) == {"A"}
    np.testing.assert_array_equal(profile.value, wanted)
    cmd.delete("twin or both")


def test_area_and_volume_are_those_of_the_balls(cmd, tmp_path):
    shape = call(cmd, "moedsr_shape", "prot_surf", str(tmp_path / "s.csv"))
    radius = RADIUS + np.array([displacement(k, 5) for k in range(5)])
    np.testing.assert_allclose(shape.area, 4 * np.pi * radius**2, rtol=0.05)
    np.testing.assert_allclose(shape.volume, 4 / 3 * np.pi * radius**3, rtol=0.08)
    np.testing.assert_allclose(shape.volume / shape.volume[0], (radius / RADIUS) ** 3, rtol=0.01)
    rows = rows_of(tmp_path / "s.csv")
    assert float(rows[4]["volume_A3"]) == pytest.approx(shape.volume[4], rel=1e-5)


def test_shares_of_experts_add_up_and_bear_their_colours(cmd):
    gate = gate_weights(surface_of(cmd))
    assert gate.share.sum() == pytest.approx(1.0)
    upper = (ball()[0][:, 2] > 0).mean()
    np.testing.assert_allclose(gate.share, [upper, 1 - upper])
    assert [series.color for series in gate.chart().series] == ["#e69f00", "#56b4e9"]


def test_what_was_found_is_kept_for_whoever_shows_it(cmd):
    workspace = Workspace.of(cmd)
    shape = call(cmd, "moedsr_shape", "prot_surf")
    assert workspace.measurement("moedsr_shape", "prot_surf") is shape
    assert workspace.measurement("moedsr_shape", "prot") is None


@pytest.mark.parametrize("file", ["x.xlsx", "no/folder/x.csv"])
def test_a_file_that_cannot_be_is_refused_before_the_work(cmd, tmp_path, file):
    before = Workspace.of(cmd).measurement("moedsr_shape", "prot_surf")
    with pytest.raises(CmdException, match=r"must end in \.csv|there is no folder"):
        call(cmd, "moedsr_shape", "prot_surf", str(tmp_path / file))
    assert Workspace.of(cmd).measurement("moedsr_shape", "prot_surf") is before


def test_b_factors_outside_the_predicted_part_stay(cmd, monkeypatch):
    with backend_double(monkeypatch):
        call(cmd, "moedsr_predict", "prot and resi 3-8", frames=2, name="part")
    cmd.alter("prot", "b = 7")
    call(cmd, "moedsr_profile", "part", bfactor="1")
    assert set(bfactors(cmd, "prot and not resi 3-8")) == {7.0}
    assert 7.0 not in bfactors(cmd, "prot and resi 3-8")
    call(cmd, "moedsr_profile", "part", bfactor="restore")
    assert set(bfactors(cmd, "prot")) == {7.0}
