"""Weights come back as they were saved, and what cannot be trusted is refused in one sentence."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from synthetic_chain import posed_chain, stir

from moedsr_core.errors import CheckpointError, InputError
from moedsr_core.frame import TimeMap
from moedsr_core.models import registry
from moedsr_core.models.anchored import AnchoredMoEDSR
from moedsr_core.models.anchored_config import AnchoredConfig
from moedsr_core.models.dsr import DSR, DSRConfig
from moedsr_core.models.experts.implicit import ImplicitConfig
from moedsr_core.models.moedsr import ExpertConfig, MoEDSR, MoEDSRConfig
from moedsr_core.models.registry import ARCHITECTURES, available_models, load_model, save_model
from moedsr_core.models.router.router import RouterConfig

ROUTER = RouterConfig(phi_s=4, phi_r=4, phi_p=8, zeta=8, max_neighbours=8, l_max=1, layers=1)
MLP = ImplicitConfig(layers=4, width=32)
CONFIGS = {
    "moedsr-anchored": AnchoredConfig(
        router=ROUTER, width=8, depth=1, local_channels=4, neighbours=6, phi_z=8
    ),
    "moedsr": MoEDSRConfig(
        router=ROUTER, n_experts=4, expert=ExpertConfig(phi_z=6, mlp=MLP), paper_ranges=False
    ),
    "dsr": DSRConfig(latent_size=6, mlp=MLP),
}
CLASSES = {"moedsr-anchored": AnchoredMoEDSR, "moedsr": MoEDSR, "dsr": DSR}
TIME = TimeMap(span_ps=5.0e4, origin_ps=20.0)


@pytest.fixture(scope="module")
def protein():
    return posed_chain(n_residues=6)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A folder with one small model of each architecture."""
    root = tmp_path_factory.mktemp("weights")
    for name, config in CONFIGS.items():
        torch.manual_seed(0)
        model = stir(CLASSES[name](config), 0.1)
        save_model(root / name, model, architecture=name, summary="a test", time=TIME, scale=40.0)
    return root


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    """A copy of the smallest model that a test may damage."""
    shutil.copytree(saved / "dsr", tmp_path / "dsr")
    return tmp_path / "dsr"


def edit(folder: Path, **changes) -> None:
    path = folder / "model.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**data, **changes}), encoding="utf-8")


def edit_tensors(folder: Path, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def assert_refused(folder: Path, match: str) -> None:
    with pytest.raises(CheckpointError, match=match) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_saved_model_predicts_the_same_after_loading(saved, protein, name):
    torch.manual_seed(0)
    original = stir(CLASSES[name](CONFIGS[name]), 0.1).eval()
    torch.manual_seed(123)
    model = load_model(saved / name).model
    x, z, t = 0.4 * torch.rand(20, 3) - 0.2, torch.randn(model.latent_size), torch.tensor(0.3)
    with torch.no_grad():
        values = [m(m.encode(protein), x, t, z) for m in (original, model)]
    assert values[0].std() > 0
    assert torch.equal(*values)


@pytest.mark.parametrize("name", CONFIGS)
def test_everything_said_about_a_model_is_kept(saved, name):
    loaded = load_model(saved / name)
    assert loaded.model.config == CONFIGS[name]
    assert loaded.time_map == TIME
    assert loaded.scale == 40.0
    assert not loaded.model.training
    info = loaded.info
    assert (info.name, info.architecture, info.summary) == (name, name, "a test")
    assert info.experts == getattr(CONFIGS[name], "n_experts", 1)
    assert info.size_mb == (saved / name / "model.safetensors").stat().st_size / 1e6


def test_a_model_without_a_scale_has_none(folder):
    edit(folder, scale=None)
    assert load_model(folder).scale is None


def test_saving_again_replaces_the_weights(folder):
    torch.manual_seed(5)
    model = DSR(CONFIGS["dsr"])
    save_model(folder, model, architecture="dsr", summary="new", time=TIME)
    loaded = load_model(folder)
    assert loaded.info.summary == "new"
    ours, theirs = model.state_dict(), loaded.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_save_that_fails_leaves_the_old_weights(folder, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(tensors, path):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(registry, "save_file", full)
    with pytest.raises(InputError, match="No space left"):
        save_model(folder, DSR(CONFIGS["dsr"]), architecture="dsr", summary="", time=TIME)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["dsr"]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_weights_are_refused(folder, share):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert_refused(folder, "cannot be read")


def test_weights_that_are_no_weights_are_refused(folder):
    (folder / "model.safetensors").write_bytes(np.random.default_rng(0).bytes(5000))
    assert_refused(folder, "cannot be read")


def test_weights_are_never_unpickled(folder):
    torch.save(DSR(CONFIGS["dsr"]).state_dict(), folder / "model.safetensors")
    assert_refused(folder, "cannot be read")


def test_weights_of_another_model_are_refused(saved, folder):
    shutil.copy(saved / "moedsr" / "model.safetensors", folder)
    assert_refused(folder, "do not fit")


def test_a_model_that_no_memory_holds_is_refused(folder, monkeypatch):
    def too_large(config):
        raise RuntimeError("can't allocate memory")

    monkeypatch.setitem(registry.ARCHITECTURES, "dsr", (too_large, DSRConfig))
    assert_refused(folder, "too large for this computer")


def test_weights_of_another_size_are_refused(folder):
    config = DSRConfig(latent_size=6, mlp=ImplicitConfig(layers=4, width=24))
    save_file(DSR(config).state_dict(), folder / "model.safetensors")
    assert_refused(folder, "do not fit")


def test_a_missing_tensor_is_named(folder):
    name = next(iter(load_file(folder / "model.safetensors")))
    edit_tensors(folder, lambda tensors: tensors.pop(name))
    assert_refused(folder, name.split(".")[0])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(folder, value):
    def poison(tensors):
        next(iter(tensors.values())).view(-1)[-1] = value

    edit_tensors(folder, poison)
    assert_refused(folder, "NaN or infinity")


def test_a_buffer_that_is_not_finite_is_refused(saved, tmp_path):
    folder = tmp_path / "anchored"
    shutil.copytree(saved / "moedsr-anchored", folder)
    edit_tensors(folder, lambda tensors: tensors["displacement.frequencies"].fill_(torch.nan))
    assert_refused(folder, "NaN or infinity")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"format": 2}, "format 2, this version of moedsr reads format 1"),
        ({"architecture": "transformer"}, "unknown architecture 'transformer'"),
        ({"architecture": ["dsr"]}, "unknown architecture"),
        ({"config": {"wdth": 3}}, "wdth"),
        ({"config": {"latent_size": "six"}}, "latent_size"),
        ({"config": {"latent_size": -1}}, "latent_size"),
        ({"config": [1, 2]}, "does not hold a moedsr model"),
        ({"time": {"span_ps": -1.0}}, "finite span"),
        ({"time": None}, "does not hold a moedsr model"),
        ({"scale": "wide"}, "does not hold a moedsr model"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(folder, changes, match):
    edit(folder, **changes)
    assert_refused(folder, match)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 1}', "\x00\xff"])
def test_a_damaged_description_is_refused(folder, text):
    (folder / "model.json").write_text(text, encoding="utf-8")
    assert_refused(folder, "does not hold a moedsr model")


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_missing_file_is_refused(folder, name):
    (folder / name).unlink()
    assert_refused(folder, rf"does not hold a moedsr model: it lacks {re.escape(name)}; give")


def test_a_folder_of_something_else_is_refused_without_a_number_of_an_error(tmp_path):
    with pytest.raises(CheckpointError) as refused:
        load_model(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path} does not hold a moedsr model: it lacks model.json and model.safetensors; give "
        "the folder `weights` of a run, `best/weights` of one that was stopped, or a name that "
        "`moedsr models` lists"
    )


def test_an_unknown_name_is_refused_with_the_known_ones(saved, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"unknown model 'nosuch'; choose from \[") as caught:
        load_model("nosuch")
    assert not isinstance(caught.value, CheckpointError)
    assert all(info.name in str(caught.value) for info in available_models())


def test_packaged_models_are_found_by_name_and_the_default_comes_first(
    saved, monkeypatch, tmp_path
):
    package = tmp_path / "package"
    shutil.copytree(saved / "dsr", package / "weights" / "aaa")
    shutil.copytree(saved / "dsr", package / "weights" / registry.DEFAULT_MODEL)
    monkeypatch.setattr(registry.moedsr_core, "__file__", str(package / "__init__.py"))
    assert [info.name for info in available_models()] == [registry.DEFAULT_MODEL, "aaa"]
    assert [info.is_default for info in available_models()] == [True, False]
    assert load_model("aaa").info.name == "aaa"
    assert load_model("default").info.name == registry.DEFAULT_MODEL
    assert load_model().info.name == registry.DEFAULT_MODEL


def test_every_architecture_is_tested_here():
    assert set(CONFIGS) == set(ARCHITECTURES)


@pytest.mark.parametrize("info", available_models(), ids=lambda info: info.name)
def test_weights_that_come_with_the_package_load(info):
    loaded = load_model(info.name)
    assert loaded.info == info
    assert sum(p.numel() for p in loaded.model.parameters()) * 4e-6 < info.size_mb + 0.1
