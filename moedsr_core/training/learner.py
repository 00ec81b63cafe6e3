"""The optimiser and what goes with it: rates, clipping, precision, and the average of weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from moedsr_core.choices import check_choice
from moedsr_core.errors import InputError
from moedsr_core.training.schedules import ScheduleConfig
from moedsr_core.training.world import World

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
"""Optimisers by name."""
PRECISIONS: dict[str, torch.dtype | None] = {
    "float32": None,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
"""What the large matrix products are computed in, by name."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How weights follow from gradients."""

    kind: str = "adam"
    """``adam`` (DSR, appendix C; MoE-DSR names none) or ``adamw``."""
    learning_rate: float = 1e-4
    """Peak learning rate of the network. DSR prints 5e-3, its released configuration says 1e-4;
    MoE-DSR says nothing. Ours is the released one: at 5e-3 the loss of the full network rose from
    1 to 287 within ten steps."""
    code_learning_rate: float = 1e-3
    """Peak learning rate of the trajectories' codes (DSR, appendix C, and its code)."""
    weight_decay: float = 0.0
    """Of the optimiser; decoupled with ``adamw``."""
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    """How the rates change."""
    clip: float = 0.0
    """Largest norm of the whole gradient; 0 leaves it as it is, as DSR's code does."""
    accumulate: int = 1
    """Batches whose gradients are averaged for one step."""
    average: float = 0.0
    """Decay of the moving average of the weights, which is what is kept; 0 keeps the weights."""
    precision: str = "float32"
    """``float32``, or mixed: ``bfloat16`` rounds a point to 1/256 of its place in Ω, about 0.1 Å,
    ``float16`` to 1/2048, and scales the loss against underflow. The router stays in float32."""

    def __post_init__(self) -> None:
        """Refuse what cannot learn."""
        check_choice("optimizer.kind", self.kind, OPTIMIZERS)
        check_choice("optimizer.precision", self.precision, PRECISIONS)
        for name in ("learning_rate", "code_learning_rate"):
            if not getattr(self, name) > 0:
                raise InputError(f"optimizer.{name} must be positive, got {getattr(self, name)}")
        for name in ("weight_decay", "clip"):
            if not getattr(self, name) >= 0:
                raise InputError(
                    f"optimizer.{name} must not be negative, got {getattr(self, name)}"
                )
        if not 0 <= self.average < 1:
            raise InputError(f"optimizer.average must be from 0 to below 1, got {self.average}")
        if self.accumulate < 1:
            raise InputError(f"optimizer.accumulate must be at least 1, got {self.accumulate}")


class Learner:
    """Turns gradients into weights.

    Args:
        module: Everything that learns.
        rates: Its parameters and their peak learning rates.
        config: How.
        device: Where the module is.
    """

    def __init__(
        self,
        module: nn.Module,
        rates: list[tuple[list[nn.Parameter], float]],
        config: OptimizerConfig,
        device: torch.device,
    ) -> None:
        self.module, self.config, self.device = module, config, device
        groups = [{"params": parameters, "lr": rate} for parameters, rate in rates]
        self._peaks: list[float] = [rate for _, rate in rates]
        self._parameters = [p for parameters, _ in rates for p in parameters]
        make: Any = OPTIMIZERS[config.kind]
        self.optimizer: torch.optim.Optimizer = make(groups, weight_decay=config.weight_decay)
        self.average = {name: value.clone() for name, value in module.state_dict().items()}
        self.scaler = torch.amp.GradScaler(  # type: ignore[attr-defined]
            device.type, enabled=config.precision == "float16"
        )

    def rounded(self) -> AbstractContextManager:
        """Context in which matrix products have the configured precision."""
        dtype = PRECISIONS[self.config.precision]
        if dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=dtype)

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a part of the loss."""
        if loss.requires_grad:
            self.scaler.scale(loss).backward()

    def update(self, share: float, step: int, world: World) -> None:
        """Make one step with the gradients gathered in all processes.

        Args:
            share: Of the peak learning rates.
            step: Steps made so far.
            world: The processes.
        """
        for group, peak in zip(self.optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * share
        world.sum_gradients(self._parameters)
        self.scaler.unscale_(self.optimizer)
        if self.config.clip > 0:
            nn.utils.clip_grad_norm_(self._parameters, self.config.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self._follow(min(self.config.average, (1 + step) / (10 + step)))

    def scaler_state(self) -> dict[str, Any]:
        """State of the loss scale, as plain numbers; empty without one."""
        return self.scaler.state_dict()

    def restore(self, average: dict[str, Tensor], scaler: dict[str, Any]) -> None:
        """Take back what a checkpoint holds beside module and optimiser."""
        self.average = {name: value.to(self.device) for name, value in average.items()}
        if scaler:
            self.scaler.load_state_dict(scaler)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Context in which the module has the averaged weights."""
        current = {name: value.clone() for name, value in self.module.state_dict().items()}
        self.module.load_state_dict(self.average)
        try:
            yield
        finally:
            self.module.load_state_dict(current)

    @torch.no_grad()
    def _follow(self, decay: float) -> None:
        for name, value in self.module.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1.0 - decay)
            else:
                self.average[name].copy_(value)
