"""The models that can be trained: each one's whole configuration, and how its task is built."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from moedsr_core.data.samples import SampleConfig
from moedsr_core.errors import InputError
from moedsr_core.frame import TimeMap
from moedsr_core.models.anchored import AnchoredMoEDSR
from moedsr_core.models.anchored_config import AnchoredConfig
from moedsr_core.models.config import config_from_dict, config_to_dict
from moedsr_core.models.dsr import DSR, DSRConfig
from moedsr_core.models.moedsr import MoEDSR, MoEDSRConfig
from moedsr_core.training.learner import OptimizerConfig
from moedsr_core.training.loop import RunConfig
from moedsr_core.training.motion_task import MotionConfig, MotionTask
from moedsr_core.training.schedules import ScheduleConfig
from moedsr_core.training.sources import Sources
from moedsr_core.training.surface_task import SurfaceConfig, SurfaceTask
from moedsr_core.training.task import Task
from moedsr_core.training.trajectories import FrameConfig, omega_scale, trajectories
from moedsr_core.wording import reason


@dataclass(frozen=True, kw_only=True)
class DSRTraining:
    """`dsr`: one implicit network for a few trajectories, as the DSR paper trains it."""

    model: DSRConfig = field(default_factory=DSRConfig)
    """The network and its loss."""
    surfaces: SurfaceConfig = field(default_factory=SurfaceConfig)
    """What a step sees: one frame, all its surface points."""
    frames: FrameConfig = field(default_factory=FrameConfig)
    """Which frames, and their model time and scale."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Adam, halved every 200 epochs."""
    run: RunConfig = field(
        default_factory=lambda: RunConfig(
            epochs=4000, evaluate_every=3000, checkpoint_every=1500, log_every=150
        )
    )
    """4,000 epochs (DSR, appendix C)."""


@dataclass(frozen=True, kw_only=True)
class MoEDSRTraining:
    """`moedsr`: router and experts for proteins never seen, as the MoE-DSR paper describes it."""

    model: MoEDSRConfig = field(default_factory=MoEDSRConfig)
    """Router, experts and loss; its ``batch_size`` is the number of proteins of a step."""
    surfaces: SurfaceConfig = field(
        default_factory=lambda: SurfaceConfig(
            frames_per_example=4, points=512, validate_on="proteins"
        )
    )
    """What a step sees. The paper gives no numbers of frames and points; four frames share one
    pass through the router, which costs as much as 1,500 points."""
    frames: FrameConfig = field(default_factory=lambda: FrameConfig(time="lag", scale="protein"))
    """Which frames, and their model time and scale. A protein never seen has neither training
    frames nor a data set it belongs to, hence physical time and each protein's own scale."""
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(
            clip=1.0, schedule=ScheduleConfig(kind="cosine", warm_up=1000)
        )
    )
    """The paper names neither optimiser nor rates. Ours: DSR's, along a cosine, with the norm of
    the gradient held to 1."""
    run: RunConfig = field(
        default_factory=lambda: RunConfig(
            steps=200_000, evaluate_every=2000, checkpoint_every=1000, log_every=100
        )
    )
    """The paper does not say how long; ours."""


@dataclass(frozen=True, kw_only=True)
class AnchoredTraining:
    """`moedsr-anchored`: how the known surface of the input moves; what users get."""

    model: AnchoredConfig = field(default_factory=AnchoredConfig)
    """The network."""
    samples: SampleConfig = field(default_factory=SampleConfig)
    """How trajectories are turned into samples."""
    motion: MotionConfig = field(default_factory=MotionConfig)
    """What a step sees."""
    time: TimeMap = field(default_factory=TimeMap)
    """The model's time axis."""
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(
            kind="adamw", learning_rate=2e-3, weight_decay=1e-2, clip=1.0, average=0.998,
            schedule=ScheduleConfig(kind="cosine"),
        )
    )  # fmt: skip
    """AdamW along a cosine, and the average of the weights."""
    run: RunConfig = field(
        default_factory=lambda: RunConfig(
            steps=3400, evaluate_every=425, checkpoint_every=425, log_every=50
        )
    )
    """3,400 steps; validation proteins gain nothing after about 2,500."""


Training = DSRTraining | MoEDSRTraining | AnchoredTraining


def _dsr(config: DSRTraining, sources: Sources, device: torch.device) -> Task:
    return _surface_task(DSR(config.model), "dsr", config.surfaces, config, sources, device)


def _moedsr(config: MoEDSRTraining, sources: Sources, device: torch.device) -> Task:
    surfaces = replace(config.surfaces, batch=config.model.batch_size)
    return _surface_task(MoEDSR(config.model), "moedsr", surfaces, config, sources, device)


def _surface_task(
    model: DSR | MoEDSR,
    architecture: str,
    surfaces: SurfaceConfig,
    config: DSRTraining | MoEDSRTraining,
    sources: Sources,
    device: torch.device,
) -> Task:
    unseen = surfaces.validate_on == "proteins"
    train = sources.surfaces("train")
    others = sources.surfaces("validation") if unseen else train
    scale = omega_scale({**train, **others}, config.frames)
    return SurfaceTask(
        model,
        architecture=architecture,
        loss=config.model.loss,
        code_scale=config.model.code_scale,
        config=surfaces,
        training=trajectories(train, config.frames, scale),
        validation=trajectories(others, config.frames, scale, held_out=not unseen),
        time=config.frames.saved_time,
        scale=scale,
        rates=(config.optimizer.learning_rate, config.optimizer.code_learning_rate),
        seed=config.run.seed,
        device=device,
    )


def _anchored(config: AnchoredTraining, sources: Sources, device: torch.device) -> Task:
    training, validation = (
        sources.samples(part, config.samples, config.time, device)
        for part in ("train", "validation")
    )
    return MotionTask(
        AnchoredMoEDSR(config.model),
        config=config.motion,
        training=training,
        validation=validation,
        time=config.time,
        rate=config.optimizer.learning_rate,
        seed=config.run.seed,
        device=device,
    )


@dataclass(frozen=True)
class Preset:
    """A model that can be trained.

    Attributes:
        config: Class of its configuration; its defaults are the preset.
        build: Makes the task, untrained weights drawn from torch's default generator.
    """

    config: type[Any]
    build: Callable[[Any, Sources, torch.device], Task]


PRESETS: dict[str, Preset] = {
    "dsr": Preset(DSRTraining, _dsr),
    "moedsr": Preset(MoEDSRTraining, _moedsr),
    "moedsr-anchored": Preset(AnchoredTraining, _anchored),
}
"""Presets by name."""


def build_task(name: str, config: Training, sources: Sources, device: torch.device) -> Task:
    """Task of a preset, with weights that follow from the configuration's seed.

    Raises:
        InputError: If there is nothing to train on, or the data cannot be used.
    """
    torch.manual_seed(config.run.seed)
    return PRESETS[name].build(config, sources, device)


def preset_to_json(name: str, config: Training) -> str:
    """Text of a configuration file."""
    return json.dumps({"preset": name, **config_to_dict(config)}, indent=1)


def preset_from_json(name: str, path: Path) -> Training:
    """Configuration of a preset from a file that :func:`preset_to_json` wrote; all keys optional.

    Raises:
        InputError: If the file cannot be read, is for another preset, or holds an unknown key.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        meant = data.pop("preset", name)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{path} is not a configuration file ({reason(error)})") from error
    if meant != name:
        raise InputError(f"{path} configures {meant!r}, not {name!r}; train that or change it")
    return config_from_dict(PRESETS[name].config, _over(PRESETS[name].config(), data))


def _over(config: Any, data: Any) -> Any:
    """The preset's own values where the file gives none, at any depth."""
    if not isinstance(data, dict):
        return data
    known = config if isinstance(config, dict) else config_to_dict(config)
    merged = {**known, **data}
    for key, value in known.items():
        if isinstance(value, dict) and key in data:
            merged[key] = _over(value, data[key])
    return merged
