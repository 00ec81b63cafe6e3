"""Training on a protein's replicates as ATLAS lays them out: each a trajectory of its own."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from small_training import CPU, SAMPLES, SMALL, TIME
from trajectory_files import bent, tumbling, write

from moedsr_core.data.ensemble import load_ensemble
from moedsr_core.data.plan import Plan
from moedsr_core.data.samples import motion_samples
from moedsr_core.data.trajectory_files import find_trajectories
from moedsr_core.errors import InputError
from moedsr_core.training.motion_task import training_protein
from moedsr_core.training.presets import PRESETS, preset_to_json
from moedsr_core.training.sources import Sources, open_surfaces
from moedsr_core.training.surfaces import EnsembleSurfaces
from scripts import train as command

NAME = "1abc_A"
LENGTHS = {"R1": 3, "R2": 4}
ENTRY = {"name": NAME}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two replicates from different starts, 10 ps and 40 ps a frame, beside a plain trajectory."""
    folder = tmp_path_factory.mktemp("data")
    for k, (label, n) in enumerate(LENGTHS.items(), start=1):
        frames, times = tumbling(bent(n + k), seed=k)[k:], 10.0 * k**2 * np.arange(n)
        write(folder / NAME, frames, times, f"{NAME}_{label}.xtc", top_name=f"{NAME}.pdb")
    write(folder / "plain", bent(3), np.arange(3.0))
    return folder


def replicate(data, label):
    home = data / NAME
    return load_ensemble(home / f"{NAME}.pdb", home / f"{NAME}_{label}.xtc", name=f"{NAME}_{label}")


def sources(data, kept):
    return Sources(data, {"train": [ENTRY], "validation": [{"name": "plain"}]}, kept)


def test_surfaces_of_each_replicate_start_from_its_own_first_frame(data):
    found = open_surfaces(data / NAME, ENTRY)
    assert list(found) == [f"{NAME}_R1", f"{NAME}_R2"]
    for label, n in LENGTHS.items():
        ours, alone = found[f"{NAME}_{label}"], EnsembleSurfaces(replicate(data, label))
        assert len(ours) == n
        assert ours.lags_ps.tolist() == alone.lags_ps.tolist()
        assert np.array_equal(ours.structure.coords, alone.structure.coords)
        assert np.array_equal(ours.surface(n - 1)[0], alone.surface(n - 1)[0])


def test_replicates_are_called_as_their_stores_would_be(data, tmp_path):
    for name in (NAME, "plain"):
        plan = Plan(names=[name], data=data, out=tmp_path)
        stores = [plan.store_of(files).stem for files in find_trajectories(data / name)]
        assert list(open_surfaces(data / name, {"name": name})) == stores


def test_a_spacing_holds_for_every_replicate(data):
    found = open_surfaces(data / NAME, {**ENTRY, "spacing_ps": 7.0})
    assert [one.lags_ps.tolist() for one in found.values()] == [[0, 7, 14], [0, 7, 14, 21]]


def test_samples_never_pair_frames_of_two_replicates(data, tmp_path):
    twice = replace(SAMPLES, n_frames=2 * SAMPLES.n_frames, n_references=2 * SAMPLES.n_references)
    samples = sources(data, tmp_path).samples("train", twice, TIME, CPU)
    alone = [
        training_protein(sample, TIME, CPU)
        for label in LENGTHS
        for sample in motion_samples(replicate(data, label), SAMPLES)
    ]
    assert [s.name for s in samples] == [s.name for s in alone]
    assert {s.name.rsplit("-", 1)[0] for s in samples} == {f"{NAME}_R1", f"{NAME}_R2"}
    for ours, theirs in zip(samples, alone, strict=True):
        assert len(ours.times) == LENGTHS[ours.name.split("_")[2].split("-")[0]] - 1
        torch.testing.assert_close(ours.times, theirs.times)
        torch.testing.assert_close(ours.distances, theirs.distances, atol=0.01, rtol=0.01)


def test_samples_of_replicates_are_measured_once(data, tmp_path, monkeypatch):
    first = sources(data, tmp_path).samples("train", SAMPLES, TIME, CPU)
    monkeypatch.setattr("moedsr_core.data.samples.motion_samples", None)
    again = sources(data, tmp_path).samples("train", SAMPLES, TIME, CPU)
    assert [s.name for s in again] == [s.name for s in first]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_trains_on_replicates_from_the_command_line(
    preset, data, tmp_path, monkeypatch
):
    monkeypatch.setattr(command.torch, "set_num_threads", lambda n: None)
    (tmp_path / "config.json").write_text(preset_to_json(preset, SMALL[preset]), encoding="utf-8")
    split = {"train": [ENTRY], "validation": [{"name": "plain"}], "test": []}
    (tmp_path / "split.json").write_text(json.dumps(split), encoding="utf-8")
    out = tmp_path / "run"
    argv = [
        preset, "--data", str(data), "--split", str(tmp_path / "split.json"), "--out", str(out),
        "--config", str(tmp_path / "config.json"), "--run.steps", "2",
    ]  # fmt: skip
    assert command.main(argv) == 0
    labels = {f"{NAME}_R1", f"{NAME}_R2"}
    if preset == "moedsr-anchored":
        assert {path.stem for path in (out / "samples").glob("*.json")} == {*labels, "plain"}
    else:
        assert set(load_file(out / "weights" / "codes.safetensors")) == labels


@pytest.mark.parametrize("part", ["surfaces", "samples"])
def test_a_folder_of_no_layout_is_refused_in_one_sentence(part, tmp_path):
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / f"{NAME}.pdb").touch()
    source = sources(tmp_path, tmp_path / "kept")
    said = rf"holds neither {NAME}\.pdb with {NAME}_R1\.xtc … \(the layout of ATLAS\) nor top\.pdb"
    with pytest.raises(InputError, match=said) as refused:
        source.surfaces("train") if part == "surfaces" else source.samples(
            "train", SAMPLES, TIME, CPU
        )
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("part", ["train", "validation"])
@pytest.mark.parametrize("read", ["surfaces", "samples"])
def test_a_protein_called_as_a_replicate_of_another_is_refused(read, part, tmp_path):
    both = [{"name": "x"}, {"name": "x_R1"}]
    write(tmp_path / "x", bent(3), np.arange(3.0), "x_R1.xtc", top_name="x.pdb")
    write(tmp_path / "x_R1", bent(4), np.arange(4.0))
    split = {"train": both[:1], "validation": []}
    split[part] = [*split[part], both[1]]
    source = Sources(tmp_path, split, tmp_path / "kept")
    with pytest.raises(InputError, match=r"x and x_R1 of the split both .* called x_R1; rename"):
        for each in ("train", "validation"):
            source.surfaces(each) if read == "surfaces" else source.samples(
                each, SAMPLES, TIME, CPU
            )
