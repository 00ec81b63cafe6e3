"""How the learning rate changes while training goes on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from moedsr_core.choices import check_choice
from moedsr_core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """Share of the peak learning rate at each step."""

    kind: str = "halving"
    """``constant``; ``halving``: half as much after every ``halve_epochs`` epochs, as DSR;
    ``cosine``: a linear rise over ``warm_up`` steps, then half a cosine to ``floor``."""
    halve_epochs: float = 200.0
    """Epochs between halvings (DSR, appendix C)."""
    warm_up: int = 100
    """Steps of the linear rise."""
    floor: float = 0.01
    """Share that is left at the end of the cosine."""

    def __post_init__(self) -> None:
        """Refuse schedules that stop learning or never begin."""
        check_choice("schedule.kind", self.kind, SCHEDULES)
        if not self.halve_epochs > 0 or self.warm_up < 1 or not 0 <= self.floor <= 1:
            raise InputError(
                "a schedule needs halve_epochs above 0, warm_up of at least 1 step and a floor "
                f"from 0 to 1, got {self.halve_epochs}, {self.warm_up} and {self.floor}"
            )


def rate_share(config: ScheduleConfig, step: int, steps: int, steps_per_epoch: int) -> float:
    """Share of the peak learning rate.

    Args:
        config: The schedule.
        step: Steps made so far.
        steps: Steps of the whole training.
        steps_per_epoch: Steps in which every training frame is seen once.
    """
    return SCHEDULES[config.kind](config, step, steps, steps_per_epoch)


def _constant(config: ScheduleConfig, step: int, steps: int, steps_per_epoch: int) -> float:
    return 1.0


def _halving(config: ScheduleConfig, step: int, steps: int, steps_per_epoch: int) -> float:
    return 0.5 ** int((step // steps_per_epoch) / config.halve_epochs)


def _cosine(config: ScheduleConfig, step: int, steps: int, steps_per_epoch: int) -> float:
    if step < config.warm_up:
        return (step + 1) / config.warm_up
    share = (step - config.warm_up) / max(steps - config.warm_up, 1)
    return config.floor + (1.0 - config.floor) * 0.5 * (1 + math.cos(math.pi * share))


SCHEDULES: dict[str, Callable[[ScheduleConfig, int, int, int], float]] = {
    "constant": _constant,
    "halving": _halving,
    "cosine": _cosine,
}
"""Schedules by name."""
