"""What is to be prepared: proteins, frames, surfaces, and where the stores go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from moedsr_core.choices import check_number
from moedsr_core.data.frame_surface import SurfaceConfig
from moedsr_core.data.trajectory_files import TrajectoryFiles
from moedsr_core.errors import InputError

DEFAULT_FRAMES = 100
"""Frames of each replicate. MoE-DSR takes 100 of a protein, every 300th of three replicates' 30,000
time steps end to end; every 30th frame 100 ps apart, 34 of each replicate, are the same times."""


@dataclass(frozen=True, kw_only=True)
class FrameConfig:
    """Which frames of which replicates."""

    frames: int | None = None
    """At most this many frames of each replicate, evenly spaced; 100 where no stride is given
    either."""
    stride: int | None = None
    """Every so many-th frame instead."""
    replicates: tuple[str, ...] | None = None
    """Which replicates (R1 …); all by default. Each becomes a store of its own. MoE-DSR's 30,000
    time steps are three independent runs end to end, whose time is not one; theirs can be had by
    reading the three stores in turn."""

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.frames is not None and self.stride is not None:
            raise InputError("give either frames or stride, not both")
        if self.frames is not None:
            check_number("frames", self.frames, 2, 10_000_000, whole=True)
        if self.stride is not None:
            check_number("stride", self.stride, 1, 10_000_000, whole=True)

    @property
    def most(self) -> int | None:
        """Frames to thin to while reading; None where the stride decides."""
        return self.frames or (DEFAULT_FRAMES if self.stride is None else None)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to prepare, from where, to where."""

    names: Sequence[str]
    """Proteins."""
    data: Path
    """Folder that holds their folders."""
    out: Path
    """Folder for the stores."""
    spacing_ps: dict[str, float] = field(default_factory=dict)
    """Time between frames of proteins whose files carry no time stamps [ps]."""
    frames: FrameConfig = field(default_factory=FrameConfig)
    """Which frames."""
    surfaces: SurfaceConfig = field(default_factory=SurfaceConfig)
    """How surfaces are made."""

    def store_of(self, files: TrajectoryFiles) -> Path:
        """Where a trajectory's store goes."""
        return self.out / f"{files.label}.h5"

    def recipe(self, files: TrajectoryFiles) -> dict:
        """Everything that the content of a store depends on, as JSON."""
        sources = {"topology": files.topology, "trajectory": files.trajectory}
        return {
            "name": files.name,
            "replicate": files.replicate,
            **{key: path.name for key, path in sources.items()},
            **{f"{key}_bytes": path.stat().st_size for key, path in sources.items()},
            "spacing_ps": self.spacing_ps.get(files.name),
            "frames": self.frames.most,
            "stride": self.frames.stride,
            "surfaces": asdict(self.surfaces),
        }
