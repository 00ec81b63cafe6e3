"""Which trajectory is for what: whole proteins, each in one place."""

from __future__ import annotations

import json
from pathlib import Path

import mdtraj
import numpy as np
import pytest

from moedsr_core.chemistry import parent_residue
from moedsr_core.data.splits import PARTS, load_part, read_split
from moedsr_core.data.trajectory_files import find_trajectories, home_of
from moedsr_core.errors import InputError
from moedsr_core.structure import polymer_heavy_atoms
from moedsr_core.structure_io import read_structure

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
SPLIT = {
    "train": [{"name": "one", "spacing_ps": 5.0}, {"name": "two"}],
    "validation": [{"name": "three"}],
    "test": [],
}


@pytest.fixture
def write(tmp_path):
    def write(content) -> Path:
        path = tmp_path / "split.json"
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def trajectory(folder: Path) -> None:
    """Three frames of three glycines."""
    top = mdtraj.Topology()
    chain = top.add_chain()
    for _ in range(3):
        residue = top.add_residue("GLY", chain)
        for name in ("N", "CA", "C"):
            top.add_atom(name, mdtraj.element.get_by_symbol(name[0]), residue)
    xyz = 0.3 * np.random.default_rng(0).normal(size=(3, 9, 3))
    folder.mkdir()
    frames = mdtraj.Trajectory(xyz, top, time=np.arange(3.0))
    frames[0].save_pdb(str(folder / "top.pdb"))
    frames.save(str(folder / "traj.xtc"))


def test_a_split_keeps_its_entries_in_order(write):
    assert read_split(write(SPLIT)) == SPLIT


def test_extra_words_beside_the_parts_are_left_out(write):
    assert read_split(write({**SPLIT, "note": "why so"})) == SPLIT


@pytest.mark.parametrize("parts", [("train", "test"), ("train", "train"), ("validation", "test")])
def test_a_protein_in_two_places_is_refused(write, parts):
    split = {part: list(SPLIT[part]) for part in PARTS}
    for part in parts:
        split[part] = [*split[part], {"name": "leaky"}]
    with pytest.raises(InputError, match="leaky"):
        read_split(write(split))


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", "null", "3", {"train": [], "validation": []}, {**SPLIT, "test": [{}]},
        {**SPLIT, "test": ["name"]}, {**SPLIT, "test": None}, {**SPLIT, "train": 7},
    ],
)  # fmt: skip
def test_a_file_that_is_no_split_is_refused(write, content):
    with pytest.raises(InputError, match="not a split file") as caught:
        read_split(write(content))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="nosuch"):
        read_split(tmp_path / "nosuch.json")


def test_a_part_is_read_from_its_folders(tmp_path):
    for name in ("one", "two"):
        trajectory(tmp_path / name)
    part = load_part(SPLIT, "train", tmp_path)
    assert list(part) == ["one", "two"]
    assert [ensemble.name for ensemble in part.values()] == ["one", "two"]
    assert part["one"].lags_ps == pytest.approx([0, 5, 10])
    assert part["two"].lags_ps == pytest.approx([0, 1, 2])
    assert len(load_part(SPLIT, "train", tmp_path, max_frames=2)["one"]) == 2
    assert load_part(SPLIT, "test", tmp_path) == {}


def test_an_unknown_part_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"unknown part 'dev'.*validation"):
        load_part(SPLIT, "dev", tmp_path)


def stretches(top: Path, length: int = 12) -> set[str]:
    """Every stretch of residues in a structure's chains."""
    found = set()
    atoms = polymer_heavy_atoms(read_structure(top))
    _, first = np.unique(atoms.residue_index, return_index=True)
    names = np.array([parent_residue(name) for name in atoms.residue_names[first]])
    for chain in np.unique(atoms.chain_ids[first]):
        own = names[atoms.chain_ids[first] == chain]
        found |= {"-".join(own[k : k + length]) for k in range(len(own) - length + 1)}
    return found


@pytest.mark.data
@pytest.mark.parametrize("name", ["protein_md", "default_model"])
def test_no_protein_of_the_shipped_splits_stands_in_two_parts(name, data_dir):
    split = read_split(SCRIPTS / f"{name}.json")
    folders = [data_dir / "protein_md", SCRIPTS.parent / "datasets" / "simulated"]
    topologies = {
        part: [find_trajectories(home_of(folders, e["name"]))[0].topology for e in split[part]]
        for part in PARTS
    }
    seen = {part: set().union(*map(stretches, tops)) for part, tops in topologies.items()}
    assert all(len(known) > 20 for known in seen.values())
    assert not seen["train"] & seen["validation"]
    assert not seen["train"] & seen["test"]
    assert not seen["validation"] & seen["test"]


def test_the_default_model_sees_every_simulated_protein_in_one_part():
    simulated = {path.name for path in (SCRIPTS.parent / "datasets" / "simulated").glob("*/")}
    split, public = (read_split(SCRIPTS / f"{n}.json") for n in ("default_model", "protein_md"))
    for part in PARTS:
        names = [entry["name"] for entry in split[part]]
        assert [name for name in names if name not in simulated] == [
            entry["name"] for entry in public[part]
        ]
    assert simulated <= {entry["name"] for part in PARTS for entry in split[part]}
