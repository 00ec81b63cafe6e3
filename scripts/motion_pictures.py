"""Predicted beside true motion of held-out proteins, on the input's own surface, in one scale.

For each protein a picture with four surfaces: how much each place fluctuates and how far it goes on
average, in the trajectory and in motions drawn from the model; and one picture of how long the
surface remembers where it was, in both::

    python scripts/motion_pictures.py --data ../shared/data/protein_md --names adk_eq_oplsaa
"""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from jaxtyping import Float
from rich.console import Console
from rich.progress import track

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from moedsr_core.data.ensemble import Ensemble  # noqa: E402
from moedsr_core.data.splits import PARTS, load_part, read_split  # noqa: E402
from moedsr_core.errors import InputError  # noqa: E402
from moedsr_core.evaluation.evaluate import model_times  # noqa: E402
from moedsr_core.evaluation.model_contender import ModelContender, drawn_motion  # noqa: E402
from moedsr_core.evaluation.motion import Motion, Tally, true_tally  # noqa: E402
from moedsr_core.evaluation.truth import measure_truth, mesh_of  # noqa: E402
from moedsr_core.files import refuse_unwritable_folder, whole_file  # noqa: E402
from moedsr_core.metrics.motion import correlation  # noqa: E402
from moedsr_core.models.inputs import protein_input  # noqa: E402
from moedsr_core.models.registry import LoadedModel, load_model  # noqa: E402
from moedsr_core.report import figure, png  # noqa: E402
from moedsr_core.surface.mesh import Mesh  # noqa: E402
from moedsr_core.terminal import exit_code  # noqa: E402
from moedsr_pymol.cgo import Layout  # noqa: E402

SPLIT = Path(__file__).with_name("protein_md.json")
SPACING = 0.8
WIDTH, HEIGHT = 560, 420


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Draw predicted and true motion side by side."""

    data: tuple[Path, ...]
    """Folders that hold one folder per protein."""
    names: tuple[str, ...] = ()
    """Trajectories; all of the part where none is named."""
    out: Path = ROOT / "docs" / "images"
    """Folder of the pictures motion-NAME.png and memory.png."""
    split: Path = SPLIT
    """Which proteins are for what."""
    part: str = "test"
    """train, validation or test."""
    model: str = "default"
    """Name of a model, or a folder with weights."""
    frames: int = 20
    """Frames of each trajectory."""
    draws: int = 26
    """Motions drawn from the model."""


@dataclass(frozen=True)
class Compared:
    """One protein's motion, twice.

    Attributes:
        name: Of the trajectory.
        mesh: Of the first surface, along its principal axes.
        true: What the trajectory does at its vertices.
        drawn: What drawn motions do there.
        memory: Autocorrelation of either.
    """

    name: str
    mesh: Mesh
    true: Motion
    drawn: Motion
    memory: tuple[Float[np.ndarray, " lags"], Float[np.ndarray, " lags"]]


def main(argv: list[str] | None = None) -> int:
    """Run; returns the exit code."""
    return exit_code(lambda console: _run(argv, console), "stopped; pictures drawn are kept")


def _run(argv: list[str] | None, console: Console) -> None:
    arguments = tyro.cli(Arguments, args=argv, description=__doc__)
    if min(arguments.frames, arguments.draws) < 1:
        raise InputError(
            "--frames and --draws must be whole numbers from 1, got "
            f"{arguments.frames} and {arguments.draws}"
        )
    refuse_unwritable_folder(arguments.out)
    ensembles = _chosen(arguments)
    if not ensembles:
        raise InputError(f"{arguments.split} lists nothing under {arguments.part}")
    loaded = load_model(arguments.model)
    arguments.out.mkdir(parents=True, exist_ok=True)
    memories = {}
    for ensemble in track(ensembles, "trajectories", console=console):
        compared = compare(ensemble, loaded, arguments.frames, arguments.draws)
        memories[ensemble.name] = compared.memory
        _write(arguments.out / f"motion-{ensemble.name}.png", picture(compared))
    _write(arguments.out / "memory.png", memory_picture(memories))
    print(arguments.out)


def _chosen(arguments: Arguments) -> list[Ensemble]:
    split = read_split(arguments.split)
    if arguments.names and arguments.part in PARTS:
        known = {e["name"] for e in split[arguments.part]}
        missing = [name for name in arguments.names if name not in known]
        if missing:
            raise InputError(
                f"{missing[0]} is not in the {arguments.part} part of {arguments.split}; it holds "
                f"{', '.join(sorted(known))}"
            )
        entries = [e for e in split[arguments.part] if e["name"] in arguments.names]
        split = {**split, arguments.part: entries}
    return list(load_part(split, arguments.part, arguments.data).values())


def compare(ensemble: Ensemble, loaded: LoadedModel, frames: int, draws: int) -> Compared:
    """Measure a trajectory and drawn motions at the vertices of its first surface."""
    chosen = np.unique(np.linspace(1, len(ensemble) - 1, frames).round().astype(int))
    protein, pose = protein_input(ensemble.structure, scale=loaded.scale)
    structure = ensemble.structure.with_coords(pose.to_canonical(ensemble.coords[0]))
    later = np.stack([pose.to_canonical(ensemble.coords[k]) for k in chosen])
    truth = measure_truth(structure, later, protein.surface, SPACING)
    times = model_times(loaded.time_map, ensemble.lags_ps, chosen)
    model = ModelContender(loaded.model, loaded.model.encode(protein), truth, times)
    movie, shown = Tally(truth), model.drawn(seed=0)
    for k in range(len(chosen)):
        movie.add(shown(k))
    mesh = mesh_of(truth.shown(truth.first()), truth.grid)
    assert mesh is not None
    true = true_tally(truth)
    return Compared(
        name=ensemble.name,
        mesh=_along_its_axes(mesh),
        true=true.motion(),
        drawn=drawn_motion(model, draws, seed=0),
        memory=(true.autocorrelation(), movie.autocorrelation()),
    )


def _along_its_axes(mesh: Mesh) -> Mesh:
    centred = mesh.vertices - mesh.vertices.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2]
    axes[2] *= np.sign(np.linalg.det(axes))
    return Mesh(centred @ axes.T, mesh.faces, mesh.normals @ axes.T)


def picture(compared: Compared) -> bytes:
    """Two rows, fluctuation and mean displacement; the trajectory left, the model right."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    drawn = figure(9.2, 6.4)
    rows = [
        ("RMSF [Å]", compared.true.rmsf, compared.drawn.rmsf, "viridis", False),
        (
            "mean displacement [Å]",
            compared.true.displacement, compared.drawn.displacement, "RdBu_r", True,
        ),
    ]  # fmt: skip
    grid = drawn.subplots(2, 2)
    for axes, (label, true, predicted, palette, signed) in zip(grid, rows, strict=True):
        top = float(np.quantile(np.abs(true), 0.98))
        scale = Normalize(-top if signed else 0.0, top)
        colors = colormaps[palette]
        for one, who, values in zip(axes, ("trajectory", "drawn"), (true, predicted), strict=True):
            one.imshow(_rendered(compared.mesh, colors(scale(values))[:, :3]))
            one.set_axis_off()
            one.set_title(who)
        r = correlation(predicted, true)
        bar = drawn.colorbar(ScalarMappable(scale, colors), ax=list(axes), shrink=0.8)
        bar.set_label(f"{label}, r = {r:.2f}")
    drawn.suptitle(compared.name)
    return png(drawn)


def memory_picture(memories: dict[str, tuple[np.ndarray, np.ndarray]]) -> bytes:
    """Autocorrelation of the displacement by frames apart, a panel for every trajectory."""
    columns = min(3, len(memories))
    rows = -(-len(memories) // columns)
    drawn = figure(4.0 * columns, 3.0 * rows)
    panels = drawn.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, (true, predicted)) in zip(panels, memories.items(), strict=False):
        axes.plot(true, "o-", label="trajectory")
        axes.plot(predicted, "s-", label="drawn")
        axes.axhline(0.0, color="grey", linewidth=0.8)
        axes.set_title(name)
        axes.set_xlabel("frames apart")
        axes.set_ylabel("autocorrelation")
        axes.legend()
    for axes in panels[len(memories) :]:
        axes.set_axis_off()
    return png(drawn)


def _rendered(mesh: Mesh, colors: Float[np.ndarray, "vertices 3"]) -> Float[np.ndarray, "h w c"]:
    """A picture of a coloured surface, traced by PyMOL."""
    import pymol2
    from matplotlib.image import imread

    with pymol2.PyMOL() as instance:
        cmd = instance.cmd
        cmd.bg_color("white")
        cmd.set("ray_shadows", 0)
        cmd.set("ray_opaque_background", 1)
        cmd.load_cgo(Layout.of(mesh.faces).floats(mesh.vertices, mesh.normals, colors), "s")
        cmd.zoom("s", 1)
        return np.asarray(imread(io.BytesIO(cmd.png(None, WIDTH, HEIGHT, ray=1))))


def _write(path: Path, content: bytes) -> None:
    with whole_file(path) as file:
        file.write(content)


if __name__ == "__main__":
    sys.exit(main())
