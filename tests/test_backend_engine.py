"""The backend with the real science behind it."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from backend_support import TOKEN, Client, start_child
from test_wire import body_of, options_of

from moedsr_core.backend import engine as engine_module
from moedsr_core.backend.engine import CoreEngine, Event
from moedsr_core.backend.options import JobOptions
from moedsr_core.backend.wire.frames import decode
from moedsr_core.errors import CancelledError, InputError
from moedsr_core.frame import TimeMap
from moedsr_core.models.anchored import AnchoredMoEDSR
from moedsr_core.models.anchored_config import AnchoredConfig
from moedsr_core.models.registry import save_model
from moedsr_core.predict import PredictOptions, predict, surface_mesh
from moedsr_core.structure import Structure, from_arrays, polymer_heavy_atoms

SPACING = 1.5


def peptide() -> Structure:
    """Three alanines in a helix, with a hydrogen and a water that no surface encloses."""
    names = ["N", "CA", "C", "O", "CB"] * 3 + ["H", "O"]
    angle = 0.6 * np.arange(15.0)
    helix = np.stack([3 * np.cos(angle), 3 * np.sin(angle), 0.9 * np.arange(15.0)], axis=1)
    return from_arrays(
        np.concatenate([helix, helix[:1] + 0.9, [[20.0, 0.0, 0.0]]]),
        elements=[name[0] for name in names],
        atom_names=names,
        residue_names=["ALA"] * 15 + ["ALA", "HOH"],
        residue_ids=[*np.repeat(["1", "2", "3"], 5), "3", "4"],
    )


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """An untrained model that moves."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights") / "small"
    model = AnchoredMoEDSR(AnchoredConfig(width=16, depth=1, local_channels=16, n_experts=3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    save_model(folder, model, architecture="moedsr-anchored", summary="for tests", time=TimeMap())
    return folder


def options(weights: Path, **changes: object) -> JobOptions:
    chosen = {"frames": 3, "model": str(weights), "spacing": SPACING, "device": "cpu"}
    return JobOptions(**{**chosen, **changes})


def run(core: CoreEngine, chosen: JobOptions, stages: list | None = None) -> list[Event]:
    note = (lambda stage, frames: None) if stages is None else (lambda *s: stages.append(s))
    return list(core(peptide(), chosen, note, lambda: False))


def test_a_prediction_is_streamed_as_predict_makes_it(weights):
    stages: list[tuple[str, int]] = []
    events = run(CoreEngine(), options(weights), stages)
    kinds = [event.kind for event in events]
    assert kinds == ["frame", "attributes", "frame", "frame", "attributes", "summary"]
    assert [stage for stage, _ in stages[:2]] == ["reading the model"] * 2
    assert stages[-1] == ("computing frames", 3) and {n for _, n in stages} == {3}

    whole = predict(
        peptide(), PredictOptions(frames=3, model=str(weights), spacing=SPACING, device="cpu")
    )
    frames = [event.data for event in events if event.kind == "frame"]
    for sent, frame in zip(frames, whole.frames, strict=True):
        np.testing.assert_array_equal(sent["vertices"], frame.vertices)
        np.testing.assert_array_equal(sent["displacement"], frame.displacement)
    first, last = (event.data for event in events if event.kind == "attributes")
    np.testing.assert_array_equal(first["atom"], whole.atom)
    np.testing.assert_allclose(first["expert"].sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(last["fluctuation"], whole.fluctuation)
    assert events[-1].data["frames"] == 3 and events[-1].data["device"] == "cpu"


def test_a_model_is_read_once_for_many_jobs_and_again_when_its_files_change(weights, monkeypatch):
    read = []
    load = engine_module.load_model
    monkeypatch.setattr(engine_module, "load_model", lambda *a: read.append(a) or load(*a))
    core = CoreEngine()
    for _ in range(2):
        run(core, options(weights, frames=1))
    assert len(read) == 1
    description = weights / "model.json"
    description.write_text(description.read_text() + "\n")
    run(core, options(weights, frames=1))
    assert len(read) == 2


def test_a_surface_job_is_the_surface_of_the_input_at_rest():
    frame, attributes, summary = (
        event.data for event in run(CoreEngine(), JobOptions(kind="surface", spacing=SPACING))
    )
    atoms = polymer_heavy_atoms(peptide())
    mesh = surface_mesh(atoms, "ses", SPACING)
    np.testing.assert_array_equal(frame["vertices"], mesh.vertices)
    np.testing.assert_array_equal(frame["displacement"], np.zeros(len(mesh.vertices)))
    assert summary["area"] == pytest.approx(mesh.area, abs=1e-3)
    distance = np.linalg.norm(mesh.vertices[:, None] - atoms.coords, axis=2)
    near = np.linalg.norm(mesh.vertices - peptide().coords[attributes["atom"]], axis=1)
    np.testing.assert_allclose(near, distance.min(axis=1), rtol=1e-6)
    assert set(attributes["atom"]) <= set(range(15))


def test_a_stopped_prediction_ends_before_its_next_frame(weights):
    stop: list[bool] = []
    events = CoreEngine()(
        peptide(), options(weights, frames=50), lambda *_: None, lambda: bool(stop)
    )
    next(e for e in events if e.kind == "frame")
    stop.append(True)
    with pytest.raises(CancelledError):
        for event in events:
            assert event.kind != "frame"


@pytest.mark.parametrize(
    "bad",
    [
        {"frames": 0}, {"frames": 10**6}, {"spacing": 0}, {"spacing": -0.7}, {"spacing": 100},
        {"spacing": float("inf")}, {"seed": -1}, {"mesh": "cubes"}, {"surface": "vdw"},
        {"latent": "best"}, {"device": "tpu"}, {"device": "cuda:99"}, {"model": ""},
    ],
)  # fmt: skip
def test_options_that_cannot_be_computed_are_refused_beforehand(bad):
    with pytest.raises(InputError) as refusal:
        CoreEngine("cpu").resolve("predict", JobOptions(**bad).given())
    assert next(iter(bad)) in str(refusal.value) and "\n" not in str(refusal.value)


def test_jobs_run_where_the_server_was_told_to_unless_they_say_otherwise():
    core = CoreEngine("cpu")
    assert (core.device(), core.devices()) == ("cpu", ["cpu"])
    for asked in ({}, {"device": "auto"}, {"device": "cpu"}):
        assert core.resolve("surface", asked)["device"] == "cpu"


def test_resolved_options_hold_the_defaults_and_tell_models_apart(weights, tmp_path):
    core = CoreEngine("cpu")
    first = core.resolve("predict", {"model": str(weights), "frames": 7})
    assert first["options"] == {**vars(PredictOptions(frames=7)), "model": str(weights)}
    copy = tmp_path / "copy"
    shutil.copytree(weights, copy)
    assert core.resolve("predict", {"model": str(copy)})["digest"] == first["digest"]
    with (copy / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    assert core.resolve("predict", {"model": str(copy)})["digest"] != first["digest"]
    with pytest.raises(InputError, match="unknown model 'no-such'"):
        core.resolve("predict", {"model": "no-such"})


def test_models_are_listed_with_the_fields_of_the_protocol(weights, monkeypatch):
    info = engine_module.load_model(str(weights)).info
    monkeypatch.setattr(engine_module, "available_models", lambda: [info])
    assert CoreEngine("cpu").models() == [
        {
            "name": "small", "summary": "for tests", "default": False, "experts": 3,
            "size_mb": pytest.approx(info.size_mb, abs=1e-3), "span_ps": 1.0e5, "card": None,
        }
    ]  # fmt: skip


def test_a_real_backend_predicts_a_real_job(weights, tmp_path):
    child = start_child(tmp_path)
    with child:
        child.stdin.write(f"{TOKEN}\n".encode())
        child.stdin.flush()
        client = Client(json.loads(child.stdout.readline())["port"])
        sent = peptide()
        names = ("elements", "atom_names", "residue_names", "residue_ids", "chain_ids")
        arrays = {name: getattr(sent, name) for name in (*names, "coords", "residue_index")}
        chosen = options_of(frames=3, model=str(weights), spacing=SPACING, duration_ps=1000.0)
        job = client("POST", "/jobs", data=body_of(**arrays, options=chosen)).json()["id"]
        frames = client.frames(job)
        end = client.end(job)
        result = io.BytesIO(client("GET", f"/jobs/{job}/result").content)
        missing = client("POST", "/jobs", data=body_of(options=options_of(model="no-such")))
        refused = client("POST", "/jobs", data=body_of(options=options_of(frames=0)))
        child.stdin.close()
        child.wait(20)
        child.stdout.close()
        child.stderr.close()
    assert end["state"] == "done" and end["summary"]["frames"] == 3
    assert list(frames) == [0, 1, 2]
    with np.load(result) as arrays:
        assert arrays["lags_ps"] == pytest.approx([0.0, np.sqrt(1001.0) - 1, 1000.0])
    first = decode(frames[0])[0]["vertices"]
    assert np.abs(first.mean(axis=0) - sent.coords[:15].mean(axis=0)).max() < 1.0
    assert missing.status_code == 422 and "unknown model 'no-such'" in missing.json()["detail"]
    assert refused.status_code == 422 and "frames must be" in refused.json()["detail"]
