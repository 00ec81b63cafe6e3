"""How much each residue's part of the surface moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UserError
from ..surface import Surface
from .chart import Chart, Measurement, Series, Table
from .residues import residue_selection, residues_of

MEASURES = ("fluctuation", "motion")


@dataclass(frozen=True)
class Profile(Measurement):
    """Motion by residue, of those that have a part of the surface.

    Attributes:
        surface: Name of the surface.
        molecule: Object that it lies on.
        by: One of :data:`MEASURES`.
        state: State of the surface that was measured, from 1; 0 where it is all of them.
        chain: Chain of each residue, (n,).
        resi: Number and insertion code of each, (n,).
        resn: Name of each, (n,).
        value: Mean over its points [Å], (n,).
        points: How many of the surface's points are nearest to it, (n,).
        buried: Chain, number and name of the residues without a part of the surface.
    """

    surface: str
    molecule: str
    by: str
    state: int
    chain: np.ndarray
    resi: np.ndarray
    resn: np.ndarray
    value: np.ndarray
    points: np.ndarray
    buried: tuple[tuple[str, str, str], ...] = ()

    def label(self, k: int) -> str:
        """``A/45 LEU``."""
        place = f"{self.chain[k]}/{self.resi[k]}" if self.chain[k] else str(self.resi[k])
        return f"{place} {self.resn[k]}"

    def selection(self, k: int) -> str:
        """PyMOL's selection of one residue."""
        return residue_selection(self.molecule, str(self.chain[k]), str(self.resi[k]))

    def most_mobile(self, count: int) -> list[int]:
        """Places of the residues that move most, the first of them most."""
        return np.argsort(-self.value, kind="stable")[:count].tolist()

    def charts(self) -> tuple[Chart, ...]:
        """A bar for each residue."""
        title = f"{self.surface}: {self.by} of each residue's surface"
        if self.state:
            title += f", state {self.state}"
        return (
            Chart(
                title=title,
                x_label="residue",
                y_label=f"{self.by} [Å]",
                series=(Series("", np.arange(len(self.value)), self.value),),
                kind="bar",
                tick_labels=tuple(self.label(k) for k in range(len(self.value))),
            ),
        )

    def table(self) -> Table:
        """A row for each residue."""
        columns = (self.chain, self.resi, self.resn, self.value, self.points)
        rows = [list(row) for row in zip(*(column.tolist() for column in columns))]  # noqa: B905
        return [["chain", "residue", "name", f"{self.by}_A", "points"], *rows]


def residue_profile(
    surface: Surface, by: str = "fluctuation", state: int = 1, *, _self: Any
) -> Profile:
    """Mean motion of each residue's part of the surface.

    A point belongs to the residue of the atom nearest to it in the first frame.

    Args:
        surface: What is measured.
        by: ``fluctuation``, the standard deviation over all frames of the first surface's points;
            or ``motion``, how far the points of one state are from the first surface, to either
            side.
        state: Which state, for ``motion``.
        _self: PyMOL.

    Raises:
        UserError: If the values are not there, or the residues cannot be told.
    """
    if by == "motion":
        k = frame_of(surface, state)
        values = np.abs(surface.frames[k].displacement)
    else:
        k, values = 0, _fluctuation(surface)
    residues = residues_of(surface, _self)
    of_point = residues.of_points(surface, k)
    points = np.bincount(of_point, minlength=len(residues.resi))
    total = np.bincount(of_point, values.astype(np.float64), minlength=len(points))
    exposed = np.flatnonzero(points)
    places = zip(*(part[points == 0].tolist() for part in residues.names))  # noqa: B905
    return Profile(
        surface=surface.name,
        molecule=surface.atoms.object_name,
        by=by,
        state=state if by == "motion" else 0,
        chain=residues.chain[exposed],
        resi=residues.resi[exposed],
        resn=residues.resn[exposed],
        value=total[exposed] / points[exposed],
        points=points[exposed],
        buried=tuple((chain, resi, resn) for chain, resi, resn in places),
    )


def frame_of(surface: Surface, state: int) -> int:
    """Number of the frame that a state shows, from 0.

    Raises:
        UserError: If there is no such state.
    """
    there = len(surface.frames)
    if not 1 <= state <= there:
        raise UserError(
            f"state must be from 1 to {there} for '{surface.name}', got {state}"
            if there
            else f"'{surface.name}' has no frame yet; wait for the first"
        )
    return state - 1


def _fluctuation(surface: Surface) -> np.ndarray:
    values = surface.attributes.get("fluctuation")
    if values is not None:
        return values
    there, planned = len(surface.frames), surface.planned
    if there < planned:
        raise UserError(
            f"the fluctuation of '{surface.name}' is known once all {planned} frames are there, of "
            f"which it holds {there}; take by=motion, or predict it again if it was cancelled"
        )
    raise UserError(f"'{surface.name}' holds no fluctuation; predict it, or take by=motion")
