"""Checkpoints: whole or not at all, and of this very model."""

from __future__ import annotations

import itertools
import math
import os
import shutil
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file

from moedsr_core.errors import CheckpointError, InputError
from moedsr_core.training import checkpoint
from moedsr_core.training.checkpoint import (
    best_weights,
    has_checkpoint,
    load_checkpoint,
    save_checkpoint,
)

FILES = ["model.safetensors", "average.safetensors", "optimizer.safetensors", "state.json"]


def state(step: int) -> dict:
    return {"step": step, "best": -math.inf, "scores": {}, "seconds": 1.5, "scaler": {}}


@pytest.fixture
def linear():
    """A trained layer, its optimiser, and an average of its weights."""
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.rand(5, 3)).square().sum().backward()
        optimizer.step()
    return model, optimizer, {name: value + 1 for name, value in model.state_dict().items()}


@pytest.fixture
def saved(tmp_path, linear):
    save_checkpoint(tmp_path / "last", *linear, state(3))
    return tmp_path / "last"


def content(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_checkpoint_comes_back_whole(saved, linear):
    model, optimizer, average = linear
    other = torch.nn.Linear(3, 2)
    fresh = torch.optim.AdamW(other.parameters(), lr=0.1)
    got, found = load_checkpoint(saved, other, fresh)
    assert found == state(3)
    assert all(torch.equal(got[name], average[name]) for name in average)
    x = torch.rand(5, 3)
    for m, o in ((model, optimizer), (other, fresh)):
        o.zero_grad()
        m(x).square().sum().backward()
        o.step()
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


def test_a_kill_at_any_moment_of_saving_leaves_the_old_or_the_new_checkpoint(
    tmp_path, monkeypatch, linear
):
    model, optimizer, average = linear
    for kill in itertools.count():
        folder, calls = tmp_path / str(kill) / "last", itertools.count()
        save_checkpoint(folder, model, optimizer, average, state(1))

        def stop(*args, real, calls=calls, kill=kill, **options):
            if next(calls) == kill:
                raise KeyboardInterrupt
            return real(*args, **options)

        with monkeypatch.context() as patch:
            for module, name in ((os, "replace"), (shutil, "rmtree"), (checkpoint, "save_file")):
                patch.setattr(module, name, partial(stop, real=getattr(module, name)))
            try:
                save_checkpoint(folder, model, optimizer, average, state(2))
                break
            except KeyboardInterrupt:
                pass
        assert has_checkpoint(folder)
        _, found = load_checkpoint(folder, model, optimizer)
        assert found["step"] in (1, 2)
        save_checkpoint(folder, model, optimizer, average, state(5))
        assert load_checkpoint(folder, model, optimizer)[1]["step"] == 5
        assert [path.name for path in folder.parent.iterdir()] == ["last"]
    assert kill >= 7


@pytest.mark.parametrize("fails_at", [0, 1, 2])
def test_a_full_disk_while_saving_leaves_the_old_checkpoint_alone(
    saved, linear, monkeypatch, fails_at
):
    before, calls = content(saved), itertools.count()

    def full(tensors, path):
        if next(calls) == fails_at:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save_file(tensors, path)

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(InputError, match=r"could not write .*No space left on device; choose"):
        save_checkpoint(saved, *linear, state(9))
    assert content(saved) == before
    assert [path.name for path in saved.parent.iterdir()] == ["last"]


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path):
    path.write_bytes(b"")


def removed(path):
    path.unlink()


def foreign(path):
    if path.suffix == ".json":
        path.write_text("[1, 2]")
    else:
        save_file({"weight": torch.zeros(2, 2)}, path)


def of_another_size(path):
    if path.suffix == ".json":
        path.write_text('{"best": 0.0}')
    else:
        save_file(
            {name: torch.zeros([s + 1 for s in t.shape]) for name, t in load_file(path).items()},
            path,
        )


@pytest.mark.parametrize("damage", [truncated, emptied, removed, foreign, of_another_size])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_checkpoint_is_refused_in_one_sentence(saved, linear, name, damage):
    damage(saved / name)
    with pytest.raises(CheckpointError, match="cannot be continued from") as caught:
        load_checkpoint(saved, *linear[:2])
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_model_is_refused(saved):
    other = torch.nn.Linear(4, 2)
    with pytest.raises(CheckpointError, match="start a new run folder"):
        load_checkpoint(saved, other, torch.optim.AdamW(other.parameters()))


@pytest.mark.parametrize("damage", [truncated, removed])
def test_best_weights_that_are_damaged_or_gone_are_refused(saved, damage):
    saved.rename(saved.with_name("best"))
    damage(saved.with_name("best") / "average.safetensors")
    with pytest.raises(CheckpointError, match="no readable best checkpoint"):
        best_weights(saved.parent)
