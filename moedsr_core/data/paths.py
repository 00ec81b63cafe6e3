"""Transition paths of the DSR paper and which of their frames are trained on and tested.

DIMS and FRODA paths have no physical time: a frame's number is its time. The paper (Sun et al.
2023, sections 4.2 and 4.3) trains on every so-many-th of the first frames and asks for the same
frames again (*reconstruction*), for frames between them (*interpolation*), and for the frames after
them (*future*).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from moedsr_core.choices import check_choice, check_number
from moedsr_core.data.ensemble import Ensemble, load_ensemble
from moedsr_core.data.trajectory_files import find_trajectories
from moedsr_core.errors import InputError
from moedsr_core.wording import counted

_MOST = 10**9
"""Above every count of frames."""


@dataclass(frozen=True, kw_only=True)
class FrameChoice:
    """Which frames of a trajectory a model is trained on."""

    window: int
    """Frames counted from the first that training frames are taken from."""
    stride: int
    """Every how-many-th of them is taken, from frame 0."""

    def __post_init__(self) -> None:
        """Refuse windows and strides that leave no two frames."""
        check_number("stride", self.stride, 1, _MOST, whole=True)
        check_number("window", self.window, self.stride + 1, _MOST, whole=True)


FRAME_CHOICES = {
    "dims": FrameChoice(window=80, stride=2),
    "froda": FrameChoice(window=120, stride=3),
    "ifabp": FrameChoice(window=400, stride=5),
    "adk_equilibrium": FrameChoice(window=1500, stride=10),
    "nhaa": FrameChoice(window=1500, stride=10),
    "yiip": FrameChoice(window=1500, stride=10),
    "dryad": FrameChoice(window=1500, stride=10),
    "abeta_demo": FrameChoice(window=150, stride=5),
}
"""The paper's sets (section 4.2) and the demonstration of its released code.

GPCRmd is left out: its interval grows "gradually", and nothing says how."""
SETS = {
    "adk_dims_a": "dims", "adk_dims_psa2": "dims", "adk_dims_psa3": "dims",
    "adk_froda1": "froda", "adk_froda2": "froda", "adk_froda3": "froda",
    "adk_eq_oplsaa": "adk_equilibrium",
}  # fmt: skip
"""Which of the paper's sets a trajectory belongs to, by the name of its folder."""
TIMELESS = frozenset({"dims", "froda"})
"""Sets without physical time."""


@dataclass(frozen=True)
class ProtocolFrames:
    """Frames of one experiment, as numbers in the trajectory.

    Attributes:
        name: Trajectory, or one of the paper's sets.
        protocol: One of :data:`PROTOCOLS`.
        train: Frames trained on.
        test: Frames that are predicted and compared.
        notes: Where the trajectory is shorter than the paper's; one sentence each.
    """

    name: str
    protocol: str
    train: tuple[int, ...]
    test: tuple[int, ...]
    notes: tuple[str, ...] = ()


def _same(choice: FrameChoice, train: range) -> list[int]:
    return list(train)


def _between(choice: FrameChoice, train: range) -> list[int]:
    return sorted(set(range(train[-1])) - set(train))


def _middle(choice: FrameChoice, train: range) -> list[int]:
    return [k + choice.stride // 2 for k in train[:-1]] if choice.stride > 1 else []


def _future_10(choice: FrameChoice, train: range) -> list[int]:
    return list(range(choice.window, choice.window + 10))


def _future_20(choice: FrameChoice, train: range) -> list[int]:
    return list(range(choice.window + 10, choice.window + 20))


PROTOCOLS: dict[str, Callable[[FrameChoice, range], list[int]]] = {
    "reconstruction": _same,
    "interpolation": _between,
    "interpolation_middle": _middle,
    "future_10": _future_10,
    "future_11_20": _future_20,
}
"""What is tested.

*Interpolation*: the paper extracts "one frame at intervals of several frames" and does not say
which frames it then evaluates. ``interpolation`` takes all that lie between trained ones,
``interpolation_middle`` one in the middle of every gap. With DIMS they are the same.

*Future*: frames are counted from the end of the window, "the first 80 frames", not from the last
trained one. They are frames of the file, not of every second: DIMS has 102 frames, too few for 20
strides after frame 80."""


def frame_choice(name: str) -> FrameChoice:
    """Training frames of a trajectory or set of the paper.

    Raises:
        InputError: If the paper has no such set.
    """
    key = SETS.get(name, name)
    check_choice("the set of frames", key, {**FRAME_CHOICES, **SETS})
    return FRAME_CHOICES[key]


def protocol_frames(name: str, protocol: str, n_frames: int) -> ProtocolFrames:
    """Frames that one experiment of the DSR paper trains on and tests.

    Args:
        name: Trajectory (``adk_dims_a``) or set (``dims``).
        protocol: One of :data:`PROTOCOLS`.
        n_frames: Frames in the trajectory.

    Raises:
        InputError: If name or protocol are unknown, or the trajectory is too short to train on or
            to test.
    """
    choice = frame_choice(name)
    check_choice("protocol", protocol, PROTOCOLS)
    window, notes = choice.window, []
    if n_frames < window:
        notes.append(
            f"the paper trains on the first {window} frames of {name}, which has only {n_frames}: "
            "all of those are used"
        )
        window = n_frames
    train = range(0, window, choice.stride)
    if len(train) < 2:
        raise InputError(
            f"one in {choice.stride} of {counted(n_frames, 'frame')} of {name} leaves {len(train)} "
            "to train on; give a longer trajectory"
        )
    wanted = PROTOCOLS[protocol](replace(choice, window=window), train)
    test = tuple(k for k in wanted if k < n_frames)
    if not test:
        raise InputError(
            f"{protocol} of {name} needs frames after {window - 1}, but it has "
            f"{counted(n_frames, 'frame')}; choose another protocol"
        )
    if len(test) < len(wanted):
        notes.append(
            f"{name} has {counted(n_frames, 'frame')}, so that {protocol} tests frames {test[0]} "
            f"to {test[-1]}: {len(test)} instead of {len(wanted)}"
        )
    return ProtocolFrames(name, protocol, tuple(train), test, tuple(notes))


def load_path(folder: str | Path) -> Ensemble:
    """A trajectory of the DSR paper's sets; where it has no physical time, a frame counts 1 ps.

    Raises:
        InputError: If the folder is none of :data:`SETS`, or holds no usable trajectory.
    """
    files = find_trajectories(folder)[0]
    check_choice("the folder's name", files.name, SETS)
    if SETS[files.name] not in TIMELESS:
        return load_ensemble(files.topology, files.trajectory, name=files.name)
    path = load_ensemble(files.topology, files.trajectory, name=files.name, spacing_ps=1.0)
    said = "this path has no physical time; frame k stands at k ps"
    return replace(path, notes=(said, *path.notes))
