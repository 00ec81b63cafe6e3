"""In which order a prediction computes its frames, beside what, and how it ends."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from moving_protein import GROWTH, GrowingModel, growing, helix
from small_predictions import COARSE, OPTIONS, anchored

from moedsr_core.errors import CancelledError, InputError
from moedsr_core.levelset.band import Located, NarrowBand
from moedsr_core.model_field import ModelField
from moedsr_core.models.inputs import protein_input
from moedsr_core.predict import (
    Prediction,
    predict,
)


def test_an_unfactored_model_counts_points_times_frames_and_a_separable_one_points():
    options = replace(COARSE, mesh="marching_cubes", latent="typical")
    unfactored = predict(helix(5), options, loaded=growing()).metadata
    separable = predict(helix(5), options, loaded=anchored()).metadata
    assert unfactored["network_evaluations"] > 2 * unfactored["nodes_prepared"]
    still = predict(helix(5), replace(options, frames=1), loaded=anchored()).metadata
    first = still["nodes_prepared"]
    assert still["network_evaluations"] == 0
    assert separable["network_evaluations"] == separable["nodes_prepared"] - first > first


def test_a_first_frame_that_is_known_comes_before_the_protein_is_encoded():
    heard = []
    prediction = Prediction(helix(5), replace(COARSE, frames=2), anchored())
    frames = prediction.frames(on_progress=lambda stage, done: heard.append((stage, done)))
    first = next(frames)
    assert heard[-1] == ("computing frames", 0)
    assert np.abs(first.displacement).max() < 0.1
    next(frames)
    assert heard.index(("computing frames", 0)) < heard.index(("encoding the protein", 1))


def test_a_mean_code_is_refused_before_the_first_frame():
    with pytest.raises(InputError, match="latent=mean"):
        next(Prediction(helix(5), replace(COARSE, latent="mean"), anchored()).frames())


@pytest.mark.parametrize("mesh", ["tracked", "marching_cubes"])
def test_a_surface_that_has_hardly_moved_keeps_its_volume_from_the_first_frame_on(mesh):
    options = replace(COARSE, mesh=mesh, duration_ps=1e-3)
    first, *later = predict(helix(8), options, loaded=anchored()).frames
    assert [frame.volume for frame in later] == pytest.approx([first.volume] * 2, rel=0.003)


def test_a_time_out_of_the_models_reach_is_refused_before_anything_is_measured():
    heard = []
    prediction = Prediction(helix(5), replace(COARSE, duration_ps=1e8), anchored())
    with pytest.raises(InputError, match="reaches"):
        next(prediction.frames(on_progress=lambda stage, done: heard.append(stage)))
    assert heard == ["reading the model"]


@pytest.mark.parametrize("wait", [0.0, 0.1])
def test_what_fails_in_a_later_frame_is_told_however_slow_the_reader(wait, monkeypatch):
    locate = NarrowBand.locate

    def failing(band: NarrowBand, t: float) -> Located:
        if t > 0:
            raise InputError("spoilt")
        return locate(band, t)

    monkeypatch.setattr(NarrowBand, "locate", failing)
    options = replace(COARSE, frames=9)
    came = []
    with pytest.raises(InputError, match="spoilt"):
        for frame in Prediction(helix(5), options, anchored()).frames():
            came.append(frame)
            time.sleep(wait)
    assert len(came) == 5


def test_a_prediction_leaves_the_threads_of_pytorch_as_they_were():
    def counted() -> int:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(torch.get_num_threads).result()

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(5)
        predict(helix(5), COARSE, loaded=anchored())
        assert (torch.get_num_threads(), counted()) == (5, 5)
    finally:
        torch.set_num_threads(before)


@torch.no_grad()
def test_a_points_value_does_not_depend_on_those_that_come_with_it():
    model = anchored().model
    protein, _ = protein_input(helix(5), n_points=200)
    field = ModelField(model, model.encode(protein), np.array([-1.0, 1.0]), None)
    x = np.random.default_rng(0).normal(scale=6.0, size=(300, 3))
    rows = field.prepare(x)
    values = field.values(rows, 0.3)
    for n in (0, 1, 7, 63, 65, 130):
        alone = field.prepare(x[5 : 5 + n])
        for name in rows:
            assert torch.equal(alone[name], rows[name][5 : 5 + n]), (name, n)
        np.testing.assert_array_equal(field.values(alone, 0.3), values[5 : 5 + n])


def test_frames_computed_ahead_are_those_computed_one_by_one(monkeypatch):
    options = replace(COARSE, frames=4)
    overlapped = predict(helix(5), options, loaded=anchored())
    monkeypatch.setattr("moedsr_core.predict.ahead", lambda items, *args, **options: items)
    for a, b in zip(
        overlapped.frames, predict(helix(5), options, loaded=anchored()).frames, strict=True
    ):
        np.testing.assert_array_equal(a.vertices, b.vertices)
        np.testing.assert_array_equal(a.displacement, b.displacement)


def test_frames_are_computed_only_as_they_are_asked_for():
    prediction = Prediction(helix(), OPTIONS, growing())
    frames = prediction.frames()
    with pytest.raises(InputError, match="first frame"):
        prediction.first_attributes()
    first = next(frames)
    assert prediction.summary()["frames"] == 1
    attributes = prediction.first_attributes()
    assert len(attributes["atom"]) == len(first.vertices) == len(attributes["expert"])
    next(frames)
    assert prediction.summary()["frames"] == 2
    assert prediction.motion()["fluctuation"] == pytest.approx(GROWTH / 8, abs=0.02)


def test_progress_names_each_stage_and_counts_frames():
    heard = []
    prediction = Prediction(helix(), OPTIONS, growing())
    list(prediction.frames(on_progress=lambda stage, done: heard.append((stage, done))))
    assert [done for stage, done in heard if stage == "computing frames"] == [0, 1, 2, 3, 4, 5]
    assert list(dict.fromkeys(stage for stage, _ in heard)) == [
        "reading the model",
        "measuring the surface",
        "encoding the protein",
        "computing frames",
    ]


@pytest.mark.parametrize("after", [0, 2, 10])
def test_a_stop_ends_the_work_at_once(after):
    asked = []

    def should_stop() -> bool:
        asked.append(None)
        return len(asked) > after

    with pytest.raises(CancelledError):
        list(Prediction(helix(), OPTIONS, growing()).frames(should_stop=should_stop))
    assert len(asked) == after + 1


def test_a_stop_is_heard_inside_the_first_frame():
    seen = []

    def should_stop() -> bool:
        seen.append(None)
        return len(seen) > 4

    frames = Prediction(helix(), OPTIONS, growing()).frames(should_stop=should_stop)
    with pytest.raises(CancelledError):
        next(frames)


def test_a_stop_is_asked_for_before_every_batch():
    asked = []
    protein, _ = protein_input(helix(), n_points=200)
    model = GrowingModel()
    code, path = model.encode(protein), torch.zeros(1, 1)
    field = ModelField(model, code, np.array([-1.0]), path, lambda: asked.append(None))
    rows = field.prepare(np.random.default_rng(0).normal(size=(70_000, 3)))
    assert len(asked) == -(-70_000 // min(1024 * torch.get_num_threads(), 16_384))
    asked.clear()
    field.values(rows, -1.0)
    assert len(asked) == 2
