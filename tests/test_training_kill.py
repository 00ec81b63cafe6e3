"""A killed training goes on as if nothing had happened."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import small_training
import torch
from safetensors.torch import load_file
from small_training import SMALL, train_all, train_small

from moedsr_core.training import loop


def killed_after(root: Path, steps: int, delay: float) -> bool:
    """Train in a process that is killed after so many steps; whether it was still at work."""
    here = Path(small_training.__file__)
    paths = os.pathsep.join([str(here.parents[1]), str(here.parent)])
    child = subprocess.run(
        [sys.executable, str(here), str(root), str(steps), str(delay)],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )
    return abs(child.returncode) == small_training.KILL


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The threads of the processes that are killed: others would add up in another order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Folder of a run of each preset that nothing disturbed."""
    root = tmp_path_factory.mktemp("whole")
    train_all(root)
    return root


def weights(root: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.relative_to(root)} {name}": tensor
        for path in sorted(root.rglob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def test_a_training_killed_at_random_ends_with_the_weights_of_an_undisturbed_one(
    whole, tmp_path, count
):
    seed = time.time_ns() % 10**6
    draw = random.Random(seed)
    # the first one between a checkpoint and the end of its run, the others anywhere
    after = [draw.randint(3, 5), *(draw.randint(1, 8) for _ in range(count(0, 4)))]
    kills = [(steps, draw.uniform(0.0, 0.03)) for steps in after]
    worked = [killed_after(tmp_path / "killed", *kill) for kill in kills]
    assert worked[0], f"nothing was killed (seed {seed})"
    train_all(tmp_path / "killed")
    expected, found = weights(whole), weights(tmp_path / "killed")
    assert found.keys() == expected.keys(), f"seed {seed}"
    assert len(expected) > 100
    different = [name for name in expected if not torch.equal(expected[name], found[name])]
    assert different == [], f"seed {seed}"
    for preset in SMALL:
        logs = [_without_clock(root / preset) for root in (whole, tmp_path / "killed")]
        assert logs[0] == logs[1], f"seed {seed}"


def test_a_run_killed_right_after_a_checkpoint_keeps_that_steps_line(whole, tmp_path, monkeypatch):
    real = loop.save_checkpoint

    def die(folder: Path, *rest) -> None:
        real(folder, *rest)
        if folder.name == "last":
            raise KeyboardInterrupt

    preset = next(iter(SMALL))
    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", die)
        with pytest.raises(KeyboardInterrupt):
            train_small(preset, tmp_path)
    train_small(preset, tmp_path)
    assert _without_clock(tmp_path) == _without_clock(whole / preset)


def _without_clock(folder: Path) -> list[list[str]]:
    """The log without the columns that depend on the clock or on where the run was cut."""
    lines = [line.split(",") for line in (folder / "log.csv").read_text().splitlines()]
    return [line[:1] + line[3:5] + line[-2:] for line in lines]


@pytest.mark.parametrize("preset", SMALL)
def test_a_run_that_goes_on_does_not_depend_on_the_state_of_the_random_numbers(
    whole, tmp_path, preset
):
    class Stopped(Exception):
        pass

    def stop(done, steps):
        if done == 5:
            raise Stopped

    with pytest.raises(Stopped):
        train_small(preset, tmp_path, tick=stop)
    torch.rand(50)
    steps = []
    cut = train_small(preset, tmp_path, tick=lambda done, _: steps.append(done))
    assert steps == [5, 6]
    a, b = load_file(whole / preset / "best" / "average.safetensors"), cut.module.state_dict()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
    (tmp_path / "last").rename(tmp_path / "last.old")
    train_small(preset, tmp_path, tick=lambda done, _: steps.append(done))
    assert steps == [5, 6]
