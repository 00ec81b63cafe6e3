"""When each frame was taken: the order of frames, their times, and what is odd about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from moedsr_core.errors import InputError
from moedsr_core.wording import counted

_SAME = 2e-3
"""Frames that differ by no more than this anywhere [Å] are one frame written twice."""
_AKMA_PS = 0.0488882
"""CHARMM's unit of time [ps]; converters of DCD files write it where no spacing is known."""


@dataclass(frozen=True)
class FrameTimes:
    """Frames in order of time.

    Attributes:
        order: Which frames of the file, in order of time.
        lags_ps: Time of each after the first of them [ps].
        notes: What was found, one sentence each.
    """

    order: Int[np.ndarray, " kept"]
    lags_ps: Float[np.ndarray, " kept"]
    notes: tuple[str, ...]


def frame_times(
    stamps: Float[np.ndarray, " frames"],
    coords: Float[np.ndarray, "frames atoms 3"],
    spacing_ps: float | None,
    source: str,
) -> FrameTimes:
    """Order frames by their time stamps, or space them evenly as told.

    Frames out of order are put in order, frames written twice are kept once, gaps are kept as
    gaps; each of these is said.

    Args:
        stamps: Time stamps as written [ps].
        coords: Frames as written [Å]; they tell a frame written twice from two frames.
        spacing_ps: Overrules the time stamps [ps].
        source: Name of the file, for messages.

    Raises:
        InputError: If the spacing is not positive, or the time stamps give no order and no spacing
            is told.
    """
    if spacing_ps is not None:
        return _even(stamps, coords, spacing_ps, source)
    if not np.isfinite(stamps).all() or np.ptp(stamps) == 0:
        raise InputError(
            f"the time stamps of {source} do not increase; give the spacing of its frames "
            "(--spacing-ps)"
        )
    notes = []
    order = np.argsort(stamps, kind="stable")
    late = int((np.diff(stamps) < 0).sum())
    if late:
        notes.append(
            f"frames were out of order in {counted(late, 'place')} and were put in order of time"
        )
    order, repeated = _without_repeats(order, stamps, coords, source)
    if repeated:
        notes.append(
            f"{counted(repeated, 'frame was', 'frames were')} written twice; each was kept once"
        )
    lags = stamps[order] - stamps[order[0]]
    notes += [*_gap_notes(lags), *_repeat_notes(coords[order])]
    return FrameTimes(order, lags, tuple(notes))


def _even(
    stamps: Float[np.ndarray, " frames"],
    coords: Float[np.ndarray, "frames atoms 3"],
    spacing_ps: float,
    source: str,
) -> FrameTimes:
    if not (np.isfinite(spacing_ps) and spacing_ps > 0):
        raise InputError(
            f"with a spacing of {spacing_ps} ps the times of {source} do not increase; "
            "give a positive number of ps"
        )
    steps = np.diff(stamps)
    told = f"frames are taken as {spacing_ps:g} ps apart, as told"
    if not np.isfinite(steps).all() or not steps.any():
        notes = [f"the file has no time stamps; {told}"]
    elif (steps <= 0).any():
        notes = [f"time stamps are out of order or repeated; {told}, in file order"]
    elif np.ptp(steps) > _tolerance(stamps, float(np.median(steps))):
        notes = [f"time stamps step by {steps.min():g} to {steps.max():g} ps; {told}"]
    elif abs(np.median(steps) - spacing_ps) > _tolerance(stamps, spacing_ps):
        notes = [f"time stamps step by {np.median(steps):.4g} ps; {told}"]
    else:
        notes = []
    lags = np.arange(len(stamps)) * float(spacing_ps)
    return FrameTimes(np.arange(len(stamps)), lags, (*notes, *_repeat_notes(coords)))


def _tolerance(stamps: Float[np.ndarray, " frames"], step: float) -> float:
    """What single precision and a thousandth of a step leave uncertain [ps]."""
    return 1e-3 * abs(step) + 4 * float(np.spacing(np.float32(np.abs(stamps).max())))


def _without_repeats(
    order: Int[np.ndarray, " frames"],
    stamps: Float[np.ndarray, " frames"],
    coords: Float[np.ndarray, "frames atoms 3"],
    source: str,
) -> tuple[Int[np.ndarray, " kept"], int]:
    """Keep the first of frames with one stamp; refuse where they are different frames."""
    first = order[np.searchsorted(stamps[order], stamps[order])]
    for here, original in zip(order, first, strict=True):
        if here != original and np.abs(coords[here] - coords[original]).max() > _SAME:
            raise InputError(
                f"the time stamps of {source} do not increase: frames {original} and {here} "
                f"differ but are both at {stamps[here]:g} ps; give the spacing of its frames "
                "(--spacing-ps)"
            )
    kept = order[order == first]
    return kept, len(order) - len(kept)


def _gap_notes(lags: Float[np.ndarray, " frames"]) -> list[str]:
    steps = np.diff(lags)
    usual = float(np.median(steps))
    notes = []
    if abs(usual - _AKMA_PS) < 1e-3 * _AKMA_PS:
        notes.append(
            f"time stamps step by {usual:.4g} ps, CHARMM's unit of time, which is written where no "
            "spacing is known; give the true spacing"
        )
    gaps = int((steps > 1.5 * usual).sum())
    if gaps:
        notes.append(
            f"{gaps} of {len(steps)} steps in time are longer than the usual {usual:g} ps, "
            f"up to {steps.max():g} ps: frames are missing"
        )
    return notes


def _repeat_notes(coords: Float[np.ndarray, "frames atoms 3"]) -> list[str]:
    """Say where neighbouring frames are one and the same conformation."""
    pairs = zip(coords[1:], coords[:-1], strict=True)
    same = [k for k, (a, b) in enumerate(pairs) if np.abs(a - b).max() <= _SAME]
    if not same:
        return []
    return [
        f"{len(same)} of {len(coords)} frames repeat the frame before (first: frame {same[0] + 1})"
    ]
