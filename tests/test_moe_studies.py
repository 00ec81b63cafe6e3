"""What MoE-DSR varies: how the variants are trained, and that weights are what they are called."""

from __future__ import annotations

import importlib
import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from evaluated import MODELS

from moedsr_core.errors import InputError
from moedsr_core.frame import TimeMap
from moedsr_core.models.config import config_to_dict
from moedsr_core.models.moedsr import MoEDSR
from moedsr_core.models.registry import load_model, save_model
from moedsr_core.models.router.backbones.choice import BACKBONES
from moedsr_core.reports.moe_studies import (
    BACKBONE_STUDY,
    ENCODING_STUDY,
    TrainingPlan,
    check_variants,
    commands,
    describe,
    sweep_study,
)
from moedsr_core.training.presets import MoEDSRTraining

SMALL = MODELS["moedsr"]().config
SOURCE = ["DATA"]


@pytest.fixture(scope="module")
def parse():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "scripts")
        return importlib.import_module("train").parse


def saved(folder, config=SMALL, **training):
    """Weights of a small model; in a run folder where a training is given."""
    torch.manual_seed(0)
    place = folder / "weights" if training else folder
    folder.mkdir(parents=True, exist_ok=True)
    save_model(place, MoEDSR(config), architecture="moedsr", summary="", time=TimeMap())
    if training:
        told = {"preset": "moedsr", "model": config_to_dict(config), "run": training}
        (folder / "config.json").write_text(json.dumps(told), encoding="utf-8")
    return describe(load_model(place))


def at(config, path, value):
    head, _, rest = path.partition(".")
    inner = at(getattr(config, head), rest, value) if rest else value
    return replace(config, **{head: inner})


@pytest.mark.parametrize(
    "study", [BACKBONE_STUDY, ENCODING_STUDY, sweep_study([2, 4, 8])], ids=lambda s: s.heading.name
)
def test_each_command_trains_its_variant_and_nothing_else_differs(study, parse):
    lines = commands(study, TrainingPlan(trials=2), SOURCE)
    assert len(lines) == 2 * len(study.variants) + 1
    places = set()
    for k, line in enumerate(lines[:-1]):
        words = shlex.split(line)
        assert words[:2] == ["python", "scripts/train.py"]
        preset, arguments = parse(words[2:])
        label = list(study.variants)[k // 2]
        expected = MoEDSRTraining().model
        for path, value in study.settings(label).items():
            free = replace(expected, paper_ranges=expected.paper_ranges and value != 2)
            expected = at(free, path, value)
        assert preset == "moedsr"
        assert arguments.train.model == expected
        assert arguments.train.run.seed == k % 2
        places.add(arguments.out.as_posix())
    assert len(places) == len(lines) - 1
    assert all(place in lines[-1] for place in places)


def test_the_unchanged_model_is_trained_once_for_all_studies():
    plan = TrainingPlan(trials=1)
    named = [
        plan.run(BACKBONE_STUDY, "qmpnn", 0),
        plan.run(sweep_study([8]), "8", 0),
        plan.run(ENCODING_STUDY, "spherical", 0),
    ]
    assert {path.as_posix() for path in named} == {"runs/moedsr-0"}
    assert plan.run(sweep_study([4]), "4", 0).as_posix() == "runs/moedsr-experts-4-0"


def test_a_shared_configuration_file_decides_what_is_unchanged(tmp_path, parse):
    path = tmp_path / "small.json"
    path.write_text(json.dumps({"model": {"n_experts": 4}}), encoding="utf-8")
    plan = TrainingPlan(config=path, trials=1)
    assert plan.run(sweep_study([4]), "4", 0).name == "moedsr-0"
    *lines, _ = commands(BACKBONE_STUDY, plan, SOURCE, labels=["dmasif"])
    _, arguments = parse(shlex.split(lines[0])[2:])
    assert arguments.train.model.n_experts == 4
    assert arguments.train.model.router.backbone == "dmasif"


def test_the_anchored_model_has_backbones_but_no_plain_coordinates(parse):
    plan = TrainingPlan(preset="moedsr-anchored", trials=1)
    *lines, _ = commands(BACKBONE_STUDY, plan, SOURCE, labels=["pointmlp"])
    preset, arguments = parse(shlex.split(lines[0])[2:])
    assert (preset, arguments.train.model.router.backbone) == ("moedsr-anchored", "pointmlp")
    with pytest.raises(InputError, match=r"moedsr-anchored has no expert\.encoding"):
        commands(ENCODING_STUDY, plan, SOURCE)


def test_every_backbone_is_a_row_and_the_paper_has_a_number_for_each():
    assert set(BACKBONE_STUDY.variants) == {"qmpnn", *BACKBONES}
    assert set(BACKBONE_STUDY.heading.paper) == set(BACKBONE_STUDY.variants)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: sweep_study([]), "numbers of experts"),
        (lambda: sweep_study([0]), "at least 1"),
        (lambda: BACKBONE_STUDY.settings("pointnet"), "must be one of qmpnn, pointnet2"),
        (lambda: TrainingPlan(preset="moe"), "preset must be one of"),
        (lambda: TrainingPlan(trials=0), "trials must be"),
    ],
)
def test_what_no_study_is_made_of_is_refused(make, said):
    with pytest.raises(InputError, match=said):
        make()


def test_weights_are_taken_for_what_they_are(tmp_path):
    plain = replace(SMALL, expert=replace(SMALL.expert, encoding="coordinates"))
    ours, theirs = saved(tmp_path / "ours"), saved(tmp_path / "theirs", plain)
    check_variants(ENCODING_STUDY, {"spherical": [ours], "coordinates": [theirs]})
    with pytest.raises(InputError, match=r"labelled naive and has expert\.kind implicit"):
        check_variants(ENCODING_STUDY, {"spherical": [ours], "naive": [theirs]})


def test_variants_that_differ_in_something_else_are_refused(tmp_path):
    wider = replace(SMALL, n_experts=3, expert=replace(SMALL.expert, phi_z=7))
    models = {"2": [saved(tmp_path / "two")], "3": [saved(tmp_path / "three", wider)]}
    with pytest.raises(InputError, match=r"has expert\.phi_z 6 and .* has 7"):
        check_variants(sweep_study([2, 3]), models)


def test_trials_may_differ_in_their_seed_and_not_in_their_length(tmp_path):
    group = [saved(tmp_path / str(seed), steps=9, seed=seed) for seed in range(2)]
    check_variants(sweep_study([2]), {"2": group})
    longer = saved(tmp_path / "longer", steps=10, seed=2)
    with pytest.raises(InputError, match=r"has run\.steps 9 and .* has 10"):
        check_variants(sweep_study([2]), {"2": [*group, longer]})


def test_a_training_that_was_stopped_does_not_stand_beside_one_that_ended(tmp_path):
    ended, other = (saved(tmp_path / str(seed), steps=9, seed=seed) for seed in range(2))
    stopped = other.folder.parent / "best" / "weights"
    shutil.copytree(other.folder, stopped)
    with pytest.raises(InputError, match="trained to its end"):
        check_variants(sweep_study([2]), {"2": [ended, describe(load_model(stopped))]})


def test_variants_trained_on_other_proteins_are_refused(tmp_path):
    group = [saved(tmp_path / str(seed), steps=9, seed=seed) for seed in range(2)]
    for k in range(2):
        (tmp_path / str(k) / "split.json").write_text(f'{{"train": [{k}]}}', encoding="utf-8")
    again = [describe(load_model(one.folder)) for one in group]
    with pytest.raises(InputError, match=r"hash of split\.json"):
        check_variants(sweep_study([2]), {"2": again})


def test_a_shipped_description_without_a_backbone_means_the_papers_own():
    shipped = describe(load_model("default"))
    assert shipped.settings["router.backbone"] == "qmpnn"
