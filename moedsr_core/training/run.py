"""One training from configuration to weights, in its run folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from moedsr_core.models.config import config_to_dict
from moedsr_core.training.loop import train
from moedsr_core.training.presets import Training, build_task
from moedsr_core.training.run_folder import RunFolder
from moedsr_core.training.sources import Sources
from moedsr_core.training.world import World


def run_training(
    preset: str,
    config: Training,
    sources: Sources,
    out: Path,
    *,
    world: World,
    report: Callable[[dict[str, Any]], None] = lambda row: None,
    tick: Callable[[int, int], None] = lambda done, steps: None,
) -> dict[str, float]:
    """Train a preset, or go on with the run that stands in ``out``, and write its weights.

    Nothing is written before the data has been read and found usable.

    Args:
        preset: Key of ``PRESETS``.
        config: Everything that decides the result.
        sources: What is trained and validated on.
        out: Run folder.
        world: The processes that train together.
        report: Called with each line of the log, in the process that writes.
        tick: Called with the steps made and the steps in all, after each step.

    Returns:
        The best validation scores.

    Raises:
        InputError: If the data cannot be used, the folder holds another run, the loss stops
            being finite, or a file cannot be written.
    """
    folder = RunFolder(out, config.run.tensorboard)
    identity = {"preset": preset, **config_to_dict(config)}
    folder.check(identity, sources.split)
    task = build_task(preset, config, sources, world.device)
    folder.claim(identity, sources.split, world)
    scores = train(
        task, config.run, config.optimizer, folder, world=world, report=report, tick=tick
    )
    if world.writes:
        task.export(folder.weights)
    return scores
