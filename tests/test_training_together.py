"""Several processes train as one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from e3nn_memory import remember
from safetensors.torch import load_file, save_file
from small_training import SMALL, small_task, train_small

from moedsr_core.errors import InputError
from moedsr_core.training.learner import Learner
from moedsr_core.training.loop import _gradients
from moedsr_core.training.world import World, join

TOLERANCE = 1e-5
"""Of gradients, relative to the largest entry of a tensor: the sums are made in another order."""


def gradients(preset: str, world: World) -> dict[str, torch.Tensor]:
    """Gradient of the first step, summed over the processes."""
    config = SMALL[preset]
    task = small_task(preset)
    learner = Learner(task.module, task.rates(), config.optimizer, world.device)
    _gradients(task, learner, config.run.seed, 0, world)
    world.sum_gradients(task.module.parameters())
    return {n: p.grad for n, p in task.module.named_parameters() if p.grad is not None}


def work(root: Path) -> None:
    """What each of the processes does."""
    with join("cpu") as world:
        for preset in SMALL:
            save_file(gradients(preset, world), root / f"{preset}-{world.rank}.safetensors")
        train_small("moedsr", root / "run", world=world)
        try:
            world.agree(10 + world.rank)
        except InputError as error:
            (root / f"refused-{world.rank}").write_text(str(error), encoding="utf-8")


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> Path:
    """Folder in which two processes trained, this one and another."""
    root = tmp_path_factory.mktemp("together")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    here = Path(__file__)
    paths = os.pathsep.join([str(here.parents[1]), str(here.parent)])
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    other = subprocess.Popen(
        [sys.executable, str(here), str(root)],
        env={
            **os.environ, **place, "RANK": "1", "LOCAL_RANK": "1", "OMP_NUM_THREADS": "1",
            "PYTHONPATH": paths,
        },
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**place, "RANK": "0", "LOCAL_RANK": "0"}.items():
            patch.setenv(name, value)
        work(root)
    error = other.communicate(timeout=250)[1]
    assert other.returncode == 0, error
    return root


@pytest.mark.parametrize("preset", SMALL)
def test_two_processes_have_the_gradient_of_one(together, preset):
    alone = gradients(preset, World())
    for rank in range(2):
        found = load_file(together / f"{preset}-{rank}.safetensors")
        assert found.keys() == alone.keys()
        for name, value in alone.items():
            apart = float((found[name] - value).abs().max())
            assert apart <= TOLERANCE * float(value.abs().max()) + 1e-9, name


def test_each_process_alone_has_another_gradient():
    """What the comparison above would see if nothing were summed."""
    alone = gradients("moedsr", World())
    half = gradients("moedsr", Half())
    apart = [float((half[n] - alone[n]).abs().max() / alone[n].abs().max()) for n in half]
    assert max(apart) > 100 * TOLERANCE


class Half(World):
    """The first of two processes whose sums reach nobody."""

    def __init__(self) -> None:
        super().__init__(rank=0, size=1)

    def share(self, n: int) -> range:
        return range(0, n, 2)


def test_a_run_of_two_processes_is_kept_by_one(together, tmp_path):
    run = together / "run"
    assert {path.name for path in run.iterdir()} == {
        "config.json", "split.json", "versions.json", "log.csv", "last", "best",
    }  # fmt: skip
    lines = (run / "log.csv").read_text().splitlines()
    assert len(lines) == 5
    assert json.loads((run / "versions.json").read_text())[-1]["processes"] == 2
    train_small("moedsr", tmp_path)
    ours, theirs = ([float(x) for x in f.read_text().splitlines()[1].split(",")[3:-2]] for f in (
        run / "log.csv", tmp_path / "log.csv",
    ))  # fmt: skip
    assert ours == pytest.approx(theirs, rel=1e-3)


def test_processes_that_see_different_checkpoints_stop(together):
    for rank in range(2):
        said = (together / f"refused-{rank}").read_text(encoding="utf-8")
        assert "steps [10, 11]" in said
        assert "every node sees the same files" in said


def test_work_is_shared_without_loss():
    for n in (0, 1, 5, 8):
        shares = [k for r in range(3) for k in World(rank=r, size=3).share(n)]
        assert sorted(shares) == list(range(n))


def test_alone_nothing_needs_to_be_joined(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join("cpu") as world:
        assert (world.rank, world.size, world.writes) == (0, 1, True)
        assert torch.equal(world.sum(torch.ones(2)), torch.ones(2))


if __name__ == "__main__":
    remember()
    torch.set_num_threads(1)
    work(Path(sys.argv[1]))
