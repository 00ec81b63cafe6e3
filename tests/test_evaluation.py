"""The evaluation on motions whose scores are known."""

import dataclasses
import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_chain import stir, swelling

from moedsr_core.errors import InputError
from moedsr_core.evaluation import evaluate
from moedsr_core.frame import TimeMap
from moedsr_core.models.anchored import AnchoredConfig, AnchoredMoEDSR
from moedsr_core.models.registry import load_model, save_model
from moedsr_core.models.router.router import RouterConfig
from moedsr_core.surface.ses import SolventExcludedSurface

SMALL = AnchoredConfig(
    router=RouterConfig(phi_s=4, phi_r=4, phi_p=4, zeta=4, l_max=1, layers=1, max_points=64),
    n_experts=2,
    width=8,
    depth=1,
    local_channels=8,
    neighbours=4,
)


def loaded(tmp_path, push=0.0, config=SMALL):
    torch.manual_seed(0)
    model = AnchoredMoEDSR(config)
    if push:
        stir(model, push)
    save_model(
        tmp_path / "weights",
        model,
        architecture="moedsr-anchored",
        summary="of a test",
        time=TimeMap(),
    )
    return load_model(tmp_path / "weights")


def test_an_untrained_model_is_the_still_picture_and_a_single_later_shape_its_own_mean(tmp_path):
    unmoved = dataclasses.replace(SMALL, typical_share=0.0)
    scores = evaluate(swelling(), loaded(tmp_path, config=unmoved), n_frames=3, spacing=0.8)
    assert scores["typical"] == pytest.approx(scores["static"], abs=1e-6)
    assert scores["mean_shape"]["iou"] == 1.0
    assert scores["mean_shape"]["chamfer_A"] == pytest.approx(0.0, abs=1e-3)
    assert scores["static"]["iou"] < 0.8
    assert scores["motion"]["frame0_iou"] == 1.0
    assert scores["motion"]["gap_closed"] == pytest.approx(0.0, abs=1e-6)


def test_a_still_trajectory_is_met_exactly_by_the_still_picture(tmp_path):
    moving = swelling()
    still = dataclasses.replace(moving, coords=np.repeat(moving.coords[:1], 4, axis=0),
                                lags_ps=moving.lags_ps[:4])  # fmt: skip
    scores = evaluate(still, loaded(tmp_path, 0.5), n_frames=2, spacing=0.8)
    assert scores["static"]["iou"] == 1.0
    assert scores["static"]["chamfer_A"] == pytest.approx(0.0, abs=1e-3)
    assert scores["drawn"]["iou"] < 1.0
    assert np.isnan(scores["motion"]["gap_closed"])


def test_drawn_motions_are_what_the_predicted_fluctuation_measures(tmp_path):
    moving = swelling()
    to_and_fro = dataclasses.replace(moving, coords=moving.coords[[0, 1, 0, 1, 0]])
    radii = moving.structure.radii
    first, second = (SolventExcludedSurface(x, radii) for x in moving.coords[:2])
    there = second.signed_distance(first.mesh(0.8).vertices)
    true = np.median(np.std([there, 0 * there, there, 0 * there], axis=0, ddof=1))
    scores = evaluate(to_and_fro, loaded(tmp_path), n_frames=4, spacing=0.8)
    predicted = np.log1p(np.exp(-1.0))
    assert scores["motion"]["rmsf_ratio"] == pytest.approx(predicted / true, rel=0.15)


def test_one_frame_cannot_be_evaluated(tmp_path):
    moving = swelling()
    one = dataclasses.replace(moving, coords=moving.coords[:1], lags_ps=moving.lags_ps[:1])
    with pytest.raises(InputError, match="two frames"):
        evaluate(one, loaded(tmp_path))


@pytest.mark.parametrize("part", ["test", "nowhere"])
def test_the_script_refuses_a_part_without_trajectories(tmp_path, monkeypatch, part):
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": [], "validation": [], "test": []}))
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "scripts")
    script = importlib.import_module("evaluate")
    scores = tmp_path / "scores.json"
    arguments = ["--data", str(tmp_path), "--split", str(split), "--part", part]
    assert script.main([*arguments, "--json", str(scores)]) == 2
    assert not scores.exists()
