"""How much each expert of the model says about a surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from ..palettes import category_colors
from ..surface import Surface
from .chart import Chart, Measurement, Series, Table


@dataclass(frozen=True)
class GateWeights(Measurement):
    """Shares of the experts.

    Attributes:
        surface: Name of the surface.
        share: Mean share of each expert over the first frame's points; their sum is 1, (experts,).
        leads: Share of the points where each expert has the largest say, (experts,).
    """

    surface: str
    share: np.ndarray
    leads: np.ndarray

    def charts(self) -> tuple[Chart, ...]:
        """A bar for each expert, in the colour that it has on the surface."""
        experts = np.arange(len(self.share))
        return (
            Chart(
                title=f"{self.surface}: share of each expert",
                x_label="expert",
                y_label="mean share over the surface",
                series=tuple(
                    Series(f"expert {k + 1}", experts[k : k + 1], self.share[k : k + 1], color)
                    for k, color in enumerate(_hex(category_colors(len(self.share))))
                ),
                kind="bar",
            ),
        )

    def table(self) -> Table:
        """A row for each expert."""
        rows = zip(range(1, len(self.share) + 1), self.share.tolist(), self.leads.tolist())  # noqa: B905
        return [["expert", "mean_share", "leads_at"], *(list(row) for row in rows)]


def gate_weights(surface: Surface) -> GateWeights:
    """Mean share of each expert over the first surface.

    Raises:
        UserError: If the surface holds none, as one that does not move.
    """
    shares = surface.attributes.get("expert")
    if shares is None or not shares.shape[1]:
        raise UserError(
            f"'{surface.name}' holds no shares of experts; they come with the first frame of a "
            "prediction"
        )
    leading = np.bincount(shares.argmax(axis=1), minlength=shares.shape[1])
    return GateWeights(
        surface=surface.name,
        share=shares.astype(np.float64).mean(axis=0),
        leads=leading / len(shares),
    )


def _hex(colors: np.ndarray) -> list[str]:
    return ["#" + "".join(f"{round(255 * c):02x}" for c in color) for color in colors.tolist()]
