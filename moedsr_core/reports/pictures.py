"""Level sets of one frame, and one frame at several resolutions (the DSR paper's Fig. 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from moedsr_core.choices import check_number
from moedsr_core.errors import InputError
from moedsr_core.report import Report, cells, figure, markdown_table, png
from moedsr_core.reports.dsr_tables import METRICS, Progress, TableOptions, score
from moedsr_core.reports.shading import draw_mesh
from moedsr_core.reports.trained_path import TrainedPath
from moedsr_core.surface.mesh import Mesh

LEVELS = (-0.06, -0.04, -0.02, 0.0, 0.025, 0.05, 0.075)
"""In units of Ω: steps of 0.025 outside and 0.02 inside, as in the released code, which draws
five on each side."""
GRIDS = (32, 64, 128, 256)
"""Grid nodes along each edge of Ω; the paper does not print its own."""
_MOST = 16
"""Panels in one picture."""
_PANEL = 3.2
"""Width of a panel, in inches."""


def levelsets(
    path: TrainedPath,
    k: int,
    levels: Sequence[float] = LEVELS,
    grid: int = 64,
    on_progress: Progress = lambda name, done, total: None,
) -> Report:
    """Several level sets of one frame: outside red, inside blue, the surface white (Fig. 4a).

    Args:
        path: The trajectory and its model.
        k: The frame.
        levels: In units of Ω.
        grid: Grid nodes along each edge of Ω.
        on_progress: Told of every level; may raise to stop.

    Raises:
        InputError: If frame, grid or levels make no sense, or matplotlib is not installed.
    """
    _check(path, k, (grid,), "levels", len(levels))
    for level in levels:
        check_number("a level", level, -1.0, 1.0)
    meshes = []
    for done, level in enumerate(levels):
        on_progress(f"level {level:g}", done, len(levels))
        meshes.append(path.predicted_mesh(k, grid, level))
    rows = [
        {"level": level, "level_A": level * path.scale, **_size(mesh, path.scale)}
        for level, mesh in zip(levels, meshes, strict=True)
    ]
    title = f"{path.ensemble.name}, frame {k}: level sets"
    panels: list[Panel] = [
        (f"{level:g} ({level * path.scale:.1f} Å)", mesh, _level_colour(level))
        for level, mesh in zip(levels, meshes, strict=True)
    ]
    return _report(title, "levelsets", rows, panels)


def resolutions(
    path: TrainedPath,
    k: int,
    grids: Sequence[int] = GRIDS,
    options: TableOptions | None = None,
    on_progress: Progress = lambda name, done, total: None,
) -> Report:
    """One frame's surface on several grids, and the metrics of each (Fig. 4b and section 4.1).

    The metrics are measured alike on all of them, on the grid of ``options``.

    Args:
        path: The trajectory and its model.
        k: The frame.
        grids: Grid nodes along each edge of Ω.
        options: How to measure.
        on_progress: Told of every grid; may raise to stop.

    Raises:
        InputError: If the frame or a grid makes no sense, or matplotlib is not installed.
    """
    options = options or TableOptions()
    _check(path, k, grids, "grids", len(grids))
    truth = path.true_mesh(path.ensemble.coords[k], options.spacing)
    rows: list[dict[str, Any]] = []
    panels: list[Panel] = [("true", truth, _WHITE)]
    for done, nodes in enumerate(grids):
        on_progress(f"{nodes}³", done, len(grids))
        mesh = path.predicted_mesh(k, nodes)
        spacing = 2.0 * path.scale / (nodes - 1)
        row: dict[str, Any] = {"grid": nodes, "spacing_A": spacing, **_size(mesh, path.scale)}
        for convention in options.conventions:
            scores = score(mesh, truth, convention, k, options)
            row |= {f"{metric}_{convention}": scores[metric] for metric in METRICS}
        rows.append(row)
        panels.append((f"{nodes}³, {spacing:.2f} Å", mesh, _WHITE))
    title = f"{path.ensemble.name}, frame {k}: resolutions"
    return _report(title, "resolutions", rows, panels)


Panel = tuple[str, Mesh | None, tuple[float, float, float]]
"""Title, mesh and colour."""
_WHITE = (0.95, 0.95, 0.95)


def _report(
    title: str, name: str, rows: Sequence[dict[str, Any]], panels: Sequence[Panel]
) -> Report:
    header = [column.replace("_", " ") for column in rows[0]]
    table = markdown_table(header, [cells(row) for row in rows])
    return Report(
        tables={name: rows},
        markdown=f"# {title}\n\n{table}",
        pictures={name: _picture(title, panels)},
    )


def _picture(title: str, panels: Sequence[Panel]) -> bytes:
    columns = min(len(panels), 4)
    lines = -(-len(panels) // columns)
    drawn = figure(_PANEL * columns, 0.5 + _PANEL * lines)
    drawn.suptitle(title)
    drawable = [mesh.vertices for _, mesh, _ in panels if mesh is not None]
    radius = max((float(np.linalg.norm(v, axis=1).max()) for v in drawable), default=1.0)
    for number, (name, mesh, colour) in enumerate(panels):
        axes = drawn.add_subplot(lines, columns, number + 1, projection="3d")
        axes.set_title(name if mesh is not None else f"{name}: no surface", fontsize="small")
        axes.set_axis_off()
        if mesh is not None:
            draw_mesh(axes, mesh, colour, radius)
    return png(drawn)


def _size(mesh: Mesh | None, scale: float) -> dict[str, Any]:
    if mesh is None:
        return {"vertices": 0, "faces": 0, "area_A2": 0.0, "volume_A3": 0.0}
    return {
        "vertices": len(mesh.vertices),
        "faces": len(mesh.faces),
        "area_A2": mesh.area * scale**2,
        "volume_A3": mesh.volume * scale**3,
    }


def _level_colour(level: float) -> tuple[float, float, float]:
    if level == 0:
        return _WHITE
    return (0.85, 0.25, 0.2) if level > 0 else (0.2, 0.35, 0.85)


def _check(path: TrainedPath, k: int, grids: Sequence[int], what: str, count: int) -> None:
    check_number("frame", k, 0, len(path.ensemble) - 1, whole=True)
    for nodes in grids:
        check_number("grid", nodes, 8, 512, whole=True)
    if not 1 <= count <= _MOST:
        raise InputError(f"a picture takes 1 to {_MOST} {what}, got {count}; give fewer")
