"""Trainings of all three models small enough to finish in a second; also run as a child process."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path
from threading import Timer

import numpy as np
import torch
from e3nn_memory import remember
from synthetic_chain import chain, swelling

from moedsr_core.data.ensemble import Ensemble
from moedsr_core.data.samples import SampleConfig, motion_samples
from moedsr_core.frame import TimeMap
from moedsr_core.models.anchored_config import AnchoredConfig
from moedsr_core.models.dsr import DSRConfig
from moedsr_core.models.experts.implicit import ImplicitConfig
from moedsr_core.models.moedsr import ExpertConfig, MoEDSRConfig
from moedsr_core.models.router.router import RouterConfig
from moedsr_core.training.learner import OptimizerConfig
from moedsr_core.training.loop import RunConfig, train
from moedsr_core.training.motion_task import MotionConfig, TrainingProtein, training_protein
from moedsr_core.training.presets import (
    AnchoredTraining,
    DSRTraining,
    MoEDSRTraining,
    Training,
    build_task,
)
from moedsr_core.training.run_folder import RunFolder
from moedsr_core.training.schedules import ScheduleConfig
from moedsr_core.training.sources import Sources
from moedsr_core.training.surface_task import SurfaceConfig
from moedsr_core.training.surfaces import EnsembleSurfaces
from moedsr_core.training.task import Task
from moedsr_core.training.trajectories import FrameConfig
from moedsr_core.training.world import World

CPU = torch.device("cpu")
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # on Windows both end a process at once
TIME = TimeMap(span_ps=1000.0, origin_ps=10.0)
ROUTER = RouterConfig(
    phi_s=4, phi_r=4, phi_p=8, zeta=8, gamma=1.0, max_neighbours=8, l_max=1, layers=1
)
RUN = RunConfig(steps=6, evaluate_every=3, checkpoint_every=2, log_every=2)
MLP = ImplicitConfig(layers=2, width=32)
SAMPLES = SampleConfig(n_frames=4, n_references=2, n_points=500, n_surface_points=40)
SMALL: dict[str, Training] = {
    "dsr": DSRTraining(
        model=DSRConfig(latent_size=8, mlp=MLP),
        surfaces=SurfaceConfig(points=48, batch=2, validation_frames=2, validation_points=200),
        frames=FrameConfig(stride=2),
        optimizer=OptimizerConfig(learning_rate=1e-3, schedule=ScheduleConfig(halve_epochs=1)),
        run=RUN,
    ),
    "moedsr": MoEDSRTraining(
        model=MoEDSRConfig(
            router=ROUTER, n_experts=3, batch_size=2, paper_ranges=False,
            expert=ExpertConfig(phi_sh=3, phi_z=4, mlp=MLP),
        ),
        surfaces=SurfaceConfig(
            points=48, frames_per_example=2, router_points=40, validation_points=200,
            validate_on="proteins",
        ),
        frames=FrameConfig(time="lag", time_map=TIME, scale="protein"),
        optimizer=OptimizerConfig(learning_rate=1e-3, clip=1.0, average=0.9),
        run=RUN,
    ),
    "moedsr-anchored": AnchoredTraining(
        model=AnchoredConfig(
            router=ROUTER, n_experts=3, n_selected=2, width=16, depth=1, local_channels=8,
            neighbours=6, phi_z=8,
        ),
        samples=SAMPLES,
        motion=MotionConfig(batch=2, points=32, frames=2),
        time=TIME,
        optimizer=replace(AnchoredTraining().optimizer, learning_rate=0.1),
        run=RUN,
    ),
}  # fmt: skip
"""One small configuration of each preset."""


def bending() -> Ensemble:
    """A chain whose second half moves sideways, further in each frame."""
    first = chain(12, seed=3)
    along = np.arange(len(first.coords)) / len(first.coords)
    push = np.zeros_like(first.coords)
    push[:, 0] = 3.0 * np.clip(along - 0.5, 0.0, None)
    coords = np.stack([first.coords + k * push for k in range(4)])
    return Ensemble("bending", first, coords, 100.0 * np.arange(4))


@cache
def ensembles() -> tuple[Ensemble, ...]:
    return swelling(4), bending()


@cache
def surfaces(number: int) -> EnsembleSurfaces:
    return EnsembleSurfaces(ensembles()[number], n_points=300)


@cache
def samples(config: SampleConfig) -> list[TrainingProtein]:
    return [training_protein(s, TIME) for s in motion_samples(ensembles()[0], config)]


class SyntheticSources(Sources):
    """Two proteins to train on and none to validate on, instead of files."""

    def surfaces(self, part):
        return (
            {} if part == "validation" else {e.name: surfaces(k) for k, e in enumerate(ensembles())}
        )

    def samples(self, part, config, time, device):
        return [] if part == "validation" else samples(config)


SYNTHETIC = SyntheticSources(
    Path(), {"train": [{"name": "swelling"}, {"name": "bending"}], "validation": []}, Path()
)


def small_task(preset: str, config: Training | None = None) -> Task:
    return build_task(preset, config or SMALL[preset], SYNTHETIC, CPU)


def train_small(
    preset: str, out: Path, config: Training | None = None, world: World | None = None, **options
) -> Task:
    """Train a preset on the synthetic proteins in a run folder."""
    config = config or SMALL[preset]
    task = small_task(preset, config)
    folder = RunFolder(out)
    folder.claim({"preset": preset, "seed": config.run.seed}, {}, world or World())
    train(task, config.run, config.optimizer, folder, world=world, **options)
    return task


def train_all(root: Path, **options) -> None:
    """Train every preset that is not finished."""
    for preset in SMALL:
        if (root / preset / "finished").exists():
            continue
        train_small(preset, root / preset, **options)
        (root / preset / "finished").touch()


def killed_within(steps: int, delay: float) -> Callable[[int, int], None]:
    """A tick that has this process killed a while [s] after so many steps."""
    made = count(1)

    def tick(*_: int) -> None:
        if next(made) == steps:
            Timer(delay, os.kill, (os.getpid(), KILL)).start()

    return tick


if __name__ == "__main__":
    remember()
    torch.set_num_threads(1)
    train_all(Path(sys.argv[1]), tick=killed_within(int(sys.argv[2]), float(sys.argv[3])))
