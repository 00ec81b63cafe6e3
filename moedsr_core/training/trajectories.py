"""Trajectories ready to learn from: which frames, at which model times, at which scale."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from moedsr_core.choices import check_choice
from moedsr_core.errors import InputError
from moedsr_core.frame import TimeMap
from moedsr_core.losses import local_sigma
from moedsr_core.training.surfaces import Surfaces

_HEADROOM = 1.05
"""Ω over the farthest surface point, where one scale serves a whole data set; ours. DSR leaves
a tenth of the extent, all on one side."""


_BYTES = 32.0
"""Of one surface point in memory."""


@dataclass(frozen=True, kw_only=True)
class FrameConfig:
    """Which frames are learned from, and what they are called in model time and space."""

    first: int = 0
    """Only the first so many frames of each trajectory are used; 0 takes all."""
    stride: int = 1
    """Every so many of them is learned from; those between are held out."""
    time: str = "frame"
    """Model time of a frame. ``lag``: its physical lag on the logarithmic axis ``time_map``.
    ``frame``: its number, evenly from -1 at the first training frame to 1 at the last, as in DSR,
    for paths without physical time. The papers only say [-1, 1]."""
    time_map: TimeMap = field(default_factory=TimeMap)
    """The axis that ``lag`` means."""
    scale: str = "data"
    """Length of one unit of Ω: ``data``, one for all trajectories so that the farthest fits, as
    DSR needs; ``protein``, each protein's own, as for a protein never seen."""

    def __post_init__(self) -> None:
        """Refuse unknown choices."""
        check_choice("frames.time", self.time, TIMES)
        check_choice("frames.scale", self.scale, dict.fromkeys(SCALES))
        if self.first < 0 or self.stride < 1:
            raise InputError(
                "frames.first must be 0 or more and frames.stride at least 1, got "
                f"{self.first} and {self.stride}"
            )

    def training(self, n: int) -> Int[np.ndarray, " frames"]:
        """Numbers of the training frames of a trajectory of ``n`` frames."""
        return np.arange(0, min(self.first or n, n), self.stride)

    def held_out(self, n: int) -> Int[np.ndarray, " frames"]:
        """Numbers of the frames between the training frames."""
        return np.setdiff1d(np.arange(min(self.first or n, n)), self.training(n))

    @property
    def saved_time(self) -> TimeMap:
        """Time axis of the trained model."""
        return self.time_map if self.time == "lag" else TimeMap(span_ps=0.0)


def _lag_times(config: FrameConfig, source: Surfaces) -> Float[np.ndarray, " frames"]:
    return np.asarray(config.time_map.to_t(source.lags_ps))


def _frame_times(config: FrameConfig, source: Surfaces) -> Float[np.ndarray, " frames"]:
    """One line through all frames, -1 and 1 at the ends of training (DSR's ``utils.py``)."""
    last = config.training(len(source))[-1]
    return 2.0 * np.arange(len(source)) / max(int(last), 1) - 1.0


TIMES: dict[str, Callable[[FrameConfig, Surfaces], Float[np.ndarray, " frames"]]] = {
    "lag": _lag_times,
    "frame": _frame_times,
}
"""Model time of every frame, by name."""
SCALES = ("data", "protein")


@dataclass(frozen=True)
class FrameCloud:
    """One frame's surface in the model's units.

    Attributes:
        points: Surface points [units of Ω].
        normals: Outward unit normals.
    """

    points: Float[np.ndarray, "points 3"]
    normals: Float[np.ndarray, "points 3"]

    def sigma(self, rows: Int[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
        """Distance of some of the points to their 50th neighbours [units of Ω]; measured once."""
        new = rows[np.isnan(self._sigma[rows])]
        if len(new):
            self._sigma[new] = local_sigma(self.points, rows=new)
        return self._sigma[rows]

    @cached_property
    def _sigma(self) -> Float[np.ndarray, " points"]:
        return np.full(len(self.points), np.nan)


class Trajectory:
    """A trajectory at its place in the data set.

    Args:
        name: What to call it; no two of a data set are called the same.
        source: Its surfaces.
        scale: Length of one unit of Ω in training [Å].
        frames: Numbers of the frames in use.
        times: Model time of every frame.
        memory_mb: Clouds kept in memory, at most [MB].
    """

    def __init__(
        self,
        name: str,
        source: Surfaces,
        scale: float,
        frames: Int[np.ndarray, " frames"],
        times: Float[np.ndarray, " all"],
        memory_mb: float = 256.0,
    ) -> None:
        self.name, self.structure, self.scale = name, source.structure, scale
        self.frames, self.times = frames, times
        self._source, self._left = source, memory_mb * 1e6
        self._kept: OrderedDict[int, FrameCloud] = OrderedDict()

    def cloud(self, k: int) -> FrameCloud:
        """Surface of frame ``k`` of the whole trajectory."""
        if k not in self._kept:
            points, normals = self._source.surface(k)
            points = (points * (self._source.scale / self.scale)).astype(np.float32)
            self._keep(k, FrameCloud(points, normals.astype(np.float32)))
        return self._kept[k]

    def _keep(self, k: int, cloud: FrameCloud) -> None:
        self._kept[k] = cloud
        self._left -= _BYTES * len(cloud.points)
        while self._left < 0 and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._left += _BYTES * len(oldest.points)


def trajectories(
    sources: Mapping[str, Surfaces],
    config: FrameConfig,
    scale: float | None,
    *,
    held_out: bool = False,
) -> list[Trajectory]:
    """Bring trajectories to one scale or to their own, and their frames to model time.

    Args:
        sources: Surfaces of each by name.
        config: Which frames, and what they are called.
        scale: From :func:`omega_scale`.
        held_out: Take the frames between the training frames instead of these; trajectories
            without any are left out.
    """
    pick = config.held_out if held_out else config.training
    return [
        Trajectory(name, source, scale or source.scale, frames, TIMES[config.time](config, source))
        for name, source in sources.items()
        for frames in [pick(len(source))]
        if len(frames)
    ]


def omega_scale(sources: Mapping[str, Surfaces], config: FrameConfig) -> float | None:
    """Length of one unit of Ω that all trajectories share [Å]; None where each has its own.

    Every frame in use is looked at.

    Raises:
        InputError: If each has its own and a protein leaves it.
    """
    needed = 0.0
    for name, source in sources.items():
        frames = range(min(config.first or len(source), len(source)))
        sizes = [float(np.abs(source.surface(k)[0]).max()) for k in frames]
        far = int(np.argmax(sizes))
        if config.scale == "protein" and sizes[far] > 1:
            raise InputError(
                f"the surface of {name} must stay in Ω, {source.scale:.1f} Å from the "
                f"centre of its first frame, but reaches {sizes[far] * source.scale:.1f} Å in "
                f"frame {frames[far]}; leave it out, use fewer frames, or set frames.scale to data"
            )
        needed = max(needed, source.scale, _HEADROOM * sizes[far] * source.scale)
    return needed if config.scale == "data" else None
