"""A killed training goes on as if nothing had happened."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small_training
import torch
from safetensors.torch import load_file
from small_training import SMALL, train_small

KILLS = 2


def started(root: Path) -> subprocess.Popen:
    here = Path(small_training.__file__)
    paths = os.pathsep.join([str(here.parents[1]), str(here.parent)])
    return subprocess.Popen(
        [sys.executable, str(here), str(root)],
        stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def killed_after(root: Path, lines: int, delay: float) -> bool:
    """Start the training and kill it after so many steps; whether it was still at work."""
    with started(root) as child:
        for _ in range(lines):
            child.stdout.readline()
        time.sleep(delay)
        working = child.poll() is None
        child.kill()
    return working


def weights(root: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.relative_to(root)} {name}": tensor
        for path in sorted(root.rglob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def test_a_training_killed_at_random_ends_with_the_weights_of_an_undisturbed_one(tmp_path):
    seed = time.time_ns() % 10**6
    draw = random.Random(seed)
    with started(tmp_path / "whole") as child:
        child.communicate(timeout=200)
    assert child.returncode == 0
    kills = [(draw.randint(1, 8), draw.uniform(0.0, 0.03)) for _ in range(KILLS)]
    worked = [killed_after(tmp_path / "killed", *kill) for kill in kills]
    assert worked[0], f"nothing was killed (seed {seed})"
    with started(tmp_path / "killed") as child:
        child.communicate(timeout=200)
    assert child.returncode == 0, f"seed {seed}"
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert found.keys() == expected.keys(), f"seed {seed}"
    assert len(expected) > 100
    different = [name for name in expected if not torch.equal(expected[name], found[name])]
    assert different == [], f"seed {seed}"
    for preset in SMALL:
        logs = [_without_clock(tmp_path / part / preset) for part in ("whole", "killed")]
        assert logs[0] == logs[1], f"seed {seed}"


def _without_clock(folder: Path) -> list[list[str]]:
    """The log without the columns that depend on the clock or on where the run was cut."""
    lines = [line.split(",") for line in (folder / "log.csv").read_text().splitlines()]
    return [line[:1] + line[3:5] + line[-2:] for line in lines]


@pytest.mark.parametrize("preset", SMALL)
def test_a_run_that_goes_on_does_not_depend_on_the_state_of_the_random_numbers(tmp_path, preset):
    class Stopped(Exception):
        pass

    def stop(done, steps):
        if done == 5:
            raise Stopped

    whole = train_small(preset, tmp_path / "whole")
    with pytest.raises(Stopped):
        train_small(preset, tmp_path / "cut", tick=stop)
    torch.rand(50)
    steps = []
    cut = train_small(preset, tmp_path / "cut", tick=lambda done, _: steps.append(done))
    assert steps == [5, 6]
    a, b = whole.module.state_dict(), cut.module.state_dict()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
    shutil.rmtree(tmp_path / "cut" / "last")
    (tmp_path / "whole" / "last").rename(tmp_path / "whole" / "last.old")
    train_small(preset, tmp_path / "whole", tick=lambda done, _: steps.append(done))
    assert steps == [5, 6]
