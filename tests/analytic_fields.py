"""Moving fields whose level sets are known, for tests of what follows them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch


@dataclass
class AnalyticField:
    """A field given by a function of points (n, 3) [Å] and time."""

    function: Callable[[np.ndarray, float], np.ndarray]
    evaluations: int = 0
    prepared: list[np.ndarray] = field(default_factory=list)

    def prepare(self, points: np.ndarray) -> dict[str, torch.Tensor]:
        self.prepared.append(points)
        return {"x": torch.from_numpy(points)}

    def values(self, rows: dict[str, torch.Tensor], t: float) -> np.ndarray:
        self.evaluations += len(rows["x"])
        return self.function(rows["x"].numpy(), t)


def ball(x: np.ndarray, center: tuple[float, float, float], radius: float) -> np.ndarray:
    return np.linalg.norm(x - np.array(center), axis=1) - radius


def breathing_ball(x: np.ndarray, t: float) -> np.ndarray:
    return ball(x, (0.1, 0.2, 0.3), 6.0 + t)


def merging_balls(x: np.ndarray, t: float) -> np.ndarray:
    apart = 4.5 - 1.5 * t
    return np.minimum(ball(x, (-apart, 0.1, 0.0), 4.0), ball(x, (apart, 0.0, 0.2), 4.0))


def torus(x: np.ndarray, t: float) -> np.ndarray:
    return np.hypot(np.hypot(x[:, 0], x[:, 1]) - 6.0, x[:, 2]) - 2.0 - 0.3 * t


def appearing_ball(x: np.ndarray, t: float) -> np.ndarray:
    """A second, small ball from t = 0 on, midway between coarse nodes of an 0.5 Å grid."""
    small = ball(x, (4.0, 4.0, 4.0), 0.9) if t >= 0 else np.full(len(x), np.inf)
    return np.minimum(ball(x, (-2.0, -2.0, -2.0), 4.0), np.minimum(small, 30.0))


def cavity(x: np.ndarray, t: float) -> np.ndarray:
    return np.maximum(ball(x, (0.0, 0.0, 0.0), 7.0), -ball(x, (0.3, 0.0, 0.0), 2.0 - t))


MOVING = {f.__name__: f for f in (breathing_ball, merging_balls, torus, appearing_ball, cavity)}
