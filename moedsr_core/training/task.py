"""What the training loop asks of a model: one object holds all that is particular to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from moedsr_core.models.base import ProteinCode, SurfaceModel
from moedsr_core.training.order import EpochOrder, Example

Rates = list[tuple[list[nn.Parameter], float]]
"""Parameters and their peak learning rates."""


class Task(ABC):
    """A model, what it learns from, and how well it does.

    Attributes:
        model: What is trained.
        module: Everything that learns: the model, and codes where there are any.
        order: Which examples each batch holds.
        terms_logged: Names of what :meth:`terms` gives.
        scores: Names of what :meth:`validate` measures; the first one is maximised.
        n_validation: Number of validation examples.
    """

    model: SurfaceModel
    module: nn.Module
    order: EpochOrder
    terms_logged: tuple[str, ...]
    scores: tuple[str, ...]
    n_validation: int

    @abstractmethod
    def rates(self) -> Rates:
        """Parameters and their peak learning rates."""

    @abstractmethod
    def encode(self, example: Example) -> ProteinCode:
        """Route the example's protein. Differentiable; random through torch's own generator."""

    @abstractmethod
    def terms(
        self, example: Example, code: ProteinCode, rng: np.random.Generator
    ) -> dict[str, Tensor]:
        """Unweighted loss terms of one example by name, without the load balance.

        Those that :meth:`total` gives no weight are for the log only.
        """

    @abstractmethod
    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Weighted sum of the terms; ``balance`` is among them where there are several experts."""

    @abstractmethod
    def validate(self, number: int) -> dict[str, float]:
        """Scores of one validation example."""

    @abstractmethod
    def export(self, folder: Path) -> None:
        """Write the model as weights that can be loaded."""
