"""Simulations: what comes out, what survives a kill, and what is refused."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from moving_protein import helix, pdb_text

pytest.importorskip("openmm", reason="OpenMM is not installed")
pytest.importorskip("pdbfixer", reason="PDBFixer is not installed")

import simulated
from simulated import PLACE, protein, write_peptide

from moedsr_core.data import journal
from moedsr_core.data.layout import load_replicates
from moedsr_core.data.trajectory import read_frames
from moedsr_core.errors import BackendError, CancelledError, InputError
from moedsr_core.simulation import engine, start
from moedsr_core.simulation.folding import folding
from moedsr_core.simulation.options import LimitConfig, SimulationConfig
from moedsr_core.simulation.places import Place, places
from moedsr_core.simulation.protein import Protein
from moedsr_core.simulation.replicate import run_replicate, run_together
from moedsr_core.simulation.sources import proteins
from moedsr_core.structure import Structure
from moedsr_core.structure_io import read_structure

LIMITS = LimitConfig()


def made(one: Protein) -> dict:
    for replicate in one.begin():
        run_replicate(replicate, PLACE)
    return one.finish(LIMITS)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Protein:
    one = protein(tmp_path_factory.mktemp("whole"))
    made(one)
    return one


def test_replicates_lie_in_the_layout_of_atlas_with_times_and_other_motions(whole):
    first, second = load_replicates(whole.home)
    assert (first.name, second.name) == ("ala_R1", "ala_R2")
    np.testing.assert_allclose(first.lags_ps, 0.04 * np.arange(6), atol=1e-6)
    assert first.notes == ()
    steps = np.linalg.norm(np.diff(first.coords, axis=0), axis=-1).max(axis=-1)
    assert (steps > 0.01).all() and (steps < 2).all()
    assert np.abs(first.coords[0] - second.coords[0]).max() > 0.05
    assert sorted(path.name for path in whole.home.iterdir()) == [
        "ala.pdb", "ala_R1.xtc", "ala_R2.xtc", "notes.txt", "simulation.json",
    ]  # fmt: skip
    assert not whole.part.exists()


def test_the_record_says_how_it_was_made(whole):
    record = json.loads((whole.home / "simulation.json").read_text())
    assert record["recipe"]["source"] == {"file": "ala.pdb", "sha256": start.digest(whole.source)}
    assert record["recipe"]["force_field"] == ["amber14-all.xml", "implicit/gbn2.xml"]
    assert record["versions"]["openmm"] != "unknown"
    assert record["atoms"] == {"all": 33, "written": 33}
    seeds = {run["segments"][0]["seed"] for run in record["replicates"]}
    assert len(seeds) == 2
    run = record["replicates"][0]
    assert (run["steps"], run["frames"], run["step_fs"]) == (50, 6, 4.0)
    assert run["segments"][0]["platform"] == "CPU"
    assert (whole.home / "notes.txt").read_text(encoding="utf-8").count("radius of gyration") == 2


def test_hydrogens_are_in_the_files_unless_only_heavy_atoms_are_wanted(whole, tmp_path):
    light = protein(tmp_path, heavy_atoms=True, replicates=1)
    record = made(light)
    assert record["atoms"] == {"all": 33, "written": 16}
    assert read_structure(light.home / "ala.pdb").is_hydrogen.sum() == 0
    assert read_structure(whole.home / "ala.pdb").is_hydrogen.sum() == 17
    ours, theirs = (load_replicates(one.home)[0].coords for one in (light, whole))
    np.testing.assert_allclose(ours[:3], theirs[:3], atol=0.1)


def test_a_killed_run_goes_on_with_every_frame_once(whole, tmp_path):
    write_peptide(tmp_path)
    here = Path(simulated.__file__)
    paths = os.pathsep.join([str(here.parents[1]), str(here.parent)])
    child = subprocess.run(
        [sys.executable, str(here), str(tmp_path), "4"], env={**os.environ, "PYTHONPATH": paths}
    )
    assert abs(child.returncode) == simulated.KILL
    one = protein(tmp_path)
    replicate = one.begin()[0]
    part = replicate.journal(1)
    with part.open("ab") as file:
        file.write(b"torn" * 50)
    told: list[int] = []
    run_replicate(replicate, PLACE, lambda label, frames, pace: told.append(frames))
    assert told == [5, 6]
    assert not part.exists()
    record = made(one)
    segments = record["replicates"][0]["segments"]
    assert [segment["from_frame"] for segment in segments] == [0, 4]
    assert segments[0]["seed"] != segments[1]["seed"]
    ours, theirs = (read_frames(k.home / "ala.pdb", k.home / "ala_R1.xtc") for k in (one, whole))
    np.testing.assert_allclose(ours.stamps, 0.04 * np.arange(6), atol=1e-6)
    np.testing.assert_allclose(ours.coords[:4], theirs.coords[:4], atol=0.1)
    # 40 fs with other random forces: 0.03 Å; from another place or with other velocities: 0.2 Å
    assert np.sqrt(np.square(ours.coords[4] - theirs.coords[4]).sum(axis=-1).mean()) < 0.1
    assert (np.abs(np.diff(ours.coords, axis=0)).max(axis=(1, 2)) > 0.01).all()


def unstable(steps_fs: set[float]) -> Callable:
    """Integrators that blow up where their time step is one of these."""
    real = engine.integrator

    def made_up(config: SimulationConfig, step_fs: float, seed: int):
        return real(config, 1e6 if step_fs in steps_fs else step_fs, seed)

    return made_up


def test_an_unstable_run_is_begun_again_with_half_the_step(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "integrator", unstable({4.0}))
    one = protein(tmp_path, replicates=1)
    run = made(one)["replicates"][0]
    assert (run["step_fs"], run["steps"], run["frames"]) == (2.0, 100, 6)
    assert "unstable with steps of 4 fs and has 2 fs" in run["notes"][0]
    assert load_replicates(one.home)[0].spacing_ps == pytest.approx(0.04)


def test_a_structure_that_stays_unstable_is_given_up_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "integrator", unstable({4.0, 2.0}))
    one = protein(tmp_path)
    with pytest.raises(InputError, match=r"^ala_R1 is unstable with steps of 4 fs and of 2 fs \("):
        run_replicate(one.begin()[0], PLACE)
    assert not one.home.exists()


def crowd(tmp_path: Path) -> list[Protein]:
    """Two tripeptides and a longer one."""
    for name in ("one", "two"):
        write_peptide(tmp_path, name)
    (tmp_path / "long.pdb").write_text(pdb_text(helix(5)), encoding="utf-8")
    config = SimulationConfig(**{**simulated.SHORT, "replicates": 1})
    return proteins([tmp_path], tmp_path / "out", config)


def test_in_a_crowd_every_atom_feels_what_it_feels_alone(tmp_path):
    folders = [one.begin()[0].folder for one in crowd(tmp_path)]
    starts = [start.load_start(folder / "start.pdb") for folder in folders]
    config, exact = SimulationConfig(), Place("Reference")

    def forces(these) -> np.ndarray:
        made = engine.Engine(these, config, exact, 4.0, 1)
        return np.asarray(made._context.getState(forces=True).getForces(asNumpy=True)._value)

    alone = np.concatenate([forces([one]) for one in starts])
    assert np.abs(alone).max() > 100
    np.testing.assert_allclose(forces(starts), alone, atol=1e-6 * np.abs(alone).max())


def test_a_crowd_is_stopped_and_goes_on_and_each_has_its_own_motion(tmp_path):
    these = crowd(tmp_path)
    members = [one.begin()[0] for one in these]
    told: list[tuple[str, int]] = []

    def hear(label: str, frames: int, pace: float) -> None:
        told.append((label, frames))

    with pytest.raises(CancelledError):
        run_together(members, PLACE, hear, lambda: len(told) >= 6)
    assert run_together(members, PLACE, hear) == {}
    labels = ["long_R1", "one_R1", "two_R1"]
    assert told == [(label, frame) for frame in range(1, 7) for label in labels]
    assert [one.finish(LIMITS)["replicates"][0]["frames"] for one in these] == [6, 6, 6]
    long, one, two = (load_replicates(each.home)[0] for each in these)
    assert np.abs(one.coords[0] - two.coords[0]).max() > 0.05
    for each in (long, one, two):
        assert np.abs(each.coords[0] - each.structure.coords).max() < 3
        steps = np.linalg.norm(np.diff(each.coords, axis=0), axis=-1).max(axis=-1)
        assert (steps > 0.01).all() and (steps < 2).all()


def test_a_crowd_killed_in_its_first_frame_begins_the_others_and_moves_none_twice(tmp_path):
    these = crowd(tmp_path)
    members = [one.begin()[0] for one in these]
    told: list[tuple[str, int]] = []

    def die(label: str, frames: int, pace: float) -> None:
        told.append((label, frames))
        if len(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_together(members, PLACE, die)
    assert run_together(members, PLACE, lambda label, frames, _: told.append((label, frames))) == {}
    labels = ["long_R1", "one_R1", "two_R1"]
    assert told[2:] == [("two_R1", 1), *((one, k) for k in range(2, 7) for one in labels)]
    assert [one.finish(LIMITS)["replicates"][0]["frames"] for one in these] == [6, 6, 6]


def test_who_blows_up_in_a_crowd_goes_on_alone_and_so_do_the_others(tmp_path, monkeypatch):
    members = [one.begin()[0] for one in crowd(tmp_path)]
    real, sizes = engine.Engine.run, []

    def blow_up(self, steps: int) -> None:
        real(self, steps)
        sizes.append(len(self._parts))
        if len(self._parts) == 3 and sizes.count(3) == 3:
            spoilt = self.states()
            spoilt[1][0][:] = np.nan
            self._place([state[0] for state in spoilt])
            raise engine.UnstableError("the energy is not a number")

    monkeypatch.setattr(engine.Engine, "run", blow_up)
    assert run_together(members, PLACE) == {}
    assert sizes == [3] * 3 + [1] * 4 + [2] * 4
    for one in members:
        assert len(json.loads(one.record.read_text())["segments"]) == 2


def test_molecules_that_wander_off_are_called_back_whole(tmp_path):
    replicates = [one.begin()[0] for one in crowd(tmp_path)]
    starts = [start.load_start(one.folder / "start.pdb") for one in replicates]
    made = engine.Engine(starts, SimulationConfig(), PLACE, 4.0, 1)
    before = made.states()
    moved = [state.copy() for state in before]
    moved[1][0] += [0.5, 0.0, 0.0]
    made.restore(moved)
    made._call_back()
    for ours, theirs in zip(made.states(), before, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_other_options_are_never_mixed_with_what_is_there(whole, tmp_path):
    other = SimulationConfig(**{**simulated.SHORT, "temperature": 310.0})
    again = proteins([whole.source], whole.out, other)[0]
    with pytest.raises(InputError, match=r"temperature 300\.0, not 310\.0; give another folder"):
        _ = again.is_finished
    assert whole.is_finished
    begun = protein(tmp_path)
    begun.begin()
    with pytest.raises(InputError, match="temperature 300"):
        proteins([begun.source], begun.out, other)[0].begin()
    begun.home.mkdir()
    with pytest.raises(InputError, match="is in the way and not ours"):
        _ = begun.is_finished


def test_a_stopped_run_keeps_its_frames(tmp_path):
    replicate = protein(tmp_path).begin()[0]
    told: list[int] = []
    with pytest.raises(CancelledError, match="goes on from the last whole frame"):
        run_replicate(
            replicate,
            PLACE,
            lambda label, frames, pace: told.append(frames),
            lambda: told == [1, 2],
        )
    run_replicate(replicate, PLACE, lambda label, frames, pace: told.append(frames))
    assert told == [1, 2, 3, 4, 5, 6]


def test_a_full_disk_is_one_sentence_and_the_run_goes_on_later(tmp_path, monkeypatch):
    replicate = protein(tmp_path).begin()[0]
    real, left = journal.write_all, [3]

    def full(file, data: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file, data)

    monkeypatch.setattr(journal, "write_all", full)
    with pytest.raises(InputError, match=r"^could not write .*: No space left on device; choose"):
        run_replicate(replicate, PLACE)
    monkeypatch.undo()
    told: list[int] = []
    run_replicate(replicate, PLACE, lambda label, frames, pace: told.append(frames))
    assert told == [3, 4, 5, 6]


def written(path: Path, structure: Structure, more: str = "") -> Path:
    path.write_text(pdb_text(structure).replace("END", more + "END"), encoding="utf-8")
    return path


def test_what_a_structure_lacks_is_added_and_said(tmp_path):
    whole = helix(5)
    residue = whole.residue_index
    lacking = whole.select(~((whole.atom_names == "CB") & (residue == 0)) & (residue != 2))
    water = "HETATM   99  O   HOH B   9      30.000  30.000  30.000  1.00  0.00           O\n"
    zinc = "HETATM   98 ZN    ZN B   8      40.000  30.000  30.000  1.00  0.00          ZN\n"
    made = start.complete(written(tmp_path / "a.pdb", lacking, zinc + water))
    left_out, gap, added = made.notes
    assert left_out == "left out, as not protein or nucleic acid: ZN"
    assert "broken between A ALA 2 and A ALA 4" in gap and "left open" in gap
    assert "A ALA 1 (CB)" in added
    bonds = {(a.residue.id, b.residue.id) for a, b in made.topology.bonds()}
    assert ("1", "2") in bonds and ("2", "4") not in bonds
    assert sum(atom.name == "OXT" for atom in made.topology.atoms()) == 2


def test_modified_residues_are_replaced_and_strange_ones_refused(tmp_path):
    text = pdb_text(helix(3))
    path = tmp_path / "a.pdb"
    path.write_text(text.replace("ALA A   2", "AIB A   2"), encoding="utf-8")
    made = start.complete(path)
    assert made.notes == ("modified residues were replaced: A AIB 2 → ALA",)
    path.write_text(text.replace("ALA A   2", "XYZ A   2"), encoding="utf-8")
    with pytest.raises(InputError, match="amber14 does not know: A XYZ 2; replace"):
        start.complete(path)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pdbfixer", None)
    with pytest.raises(BackendError, match=r"pdbfixer is not installed; .*moedsr\[simulate\]"):
        start.complete(write_peptide(tmp_path))


def test_unfolding_is_measured_from_the_start(whole):
    ensemble = load_replicates(whole.home)[0]
    begin = ensemble.structure
    still = folding(begin, ensemble.take([0, 1]))
    assert still.rmsd_largest < 0.5 and still.complaints(LIMITS) == []
    far = ensemble.coords[:2].copy()
    far[1] = 2.0 * (far[1] - far[1].mean(axis=0)) + 7.0
    far[1] = far[1] @ np.diag([-1.0, -1.0, 1.0])
    stretched = folding(begin, type(ensemble)("x", begin, far, ensemble.lags_ps[:2]))
    assert stretched.gyration_last == pytest.approx(2 * still.gyration_last, rel=1e-6)
    anchors = begin.coords[begin.atom_names == "CA"]
    size = np.sqrt(np.square(anchors - anchors.mean(axis=0)).sum(axis=-1).mean())
    assert stretched.rmsd_last == pytest.approx(size, rel=0.3)
    assert "grows to 2." in stretched.complaints(LIMITS)[0]
    assert "it unfolds or rearranges" in stretched.complaints(LimitConfig(rmsd=1.0))[0]


@pytest.mark.parametrize(
    "options, said",
    [
        ({"spacing_ps": 0.005}, "spacing_ps must be a whole number of steps of 4 fs, got 0.005 ps"),
        ({"length_ns": 0.0123}, "length_ns must be a whole number of spacings of 5 ps, got 0.0123"),
        ({"step_fs": 50.0}, "step_fs must be a number from 0.1 to 5, got 50.0"),
        ({"replicates": 0}, "replicates must be a whole number from 1 to 99, got 0"),
    ],
)
def test_impossible_options_are_refused(options, said):
    with pytest.raises(InputError) as raised:
        SimulationConfig(**options)
    assert said in str(raised.value)


def test_places_share_cores_and_refuse_what_is_not_there(monkeypatch):
    monkeypatch.setattr("moedsr_core.simulation.places._cores", lambda: 8)
    assert places("CPU", jobs=3) == [Place("CPU", threads=2)] * 3
    assert len(places("CPU")) == 8
    monkeypatch.setattr("moedsr_core.simulation.places._gpus", lambda name: 2 * (name == "CUDA"))
    two = places(jobs=3)
    assert [place.device for place in two] == [0, 1, 0]
    assert two[0].properties == {"DeviceIndex": "0", "Precision": "mixed"}
    for choice, said in (
        ({"platform": "HIP"}, "platform HIP has no GPU here"),
        ({"devices": (2,)}, "GPUs are numbered 0 to 1 here, got 2"),
        ({"platform": "CPU", "devices": (0,)}, "platform CPU uses none"),
        ({"jobs": 0}, "jobs must be 1 or more"),
        ({"platform": "Abacus"}, "platform must be one of auto, CUDA"),
    ):
        with pytest.raises(InputError) as raised:
            places(**choice)
        assert said in str(raised.value)


def test_files_without_a_name_of_their_own_are_refused(tmp_path):
    config = SimulationConfig()
    with pytest.raises(InputError, match="holds no PDB or mmCIF file"):
        proteins([tmp_path], tmp_path, config)
    first = write_peptide(tmp_path)
    second = tmp_path / "ala.cif"
    second.write_text("")
    with pytest.raises(InputError, match="would both be called ala"):
        proteins([first, second], tmp_path, config)
    with pytest.raises(InputError, match=r"none\.pdb could not be read \(no such file"):
        proteins([tmp_path / "none.pdb"], tmp_path, config)
