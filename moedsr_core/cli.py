"""The command ``moedsr``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import isnan
from pathlib import Path
from typing import Annotated, Literal

import rich.console
import rich.table
import tyro

import moedsr_core
from moedsr_core import command_line, remote
from moedsr_core.backend.commands import Operate
from moedsr_core.data.ensemble import Ensemble, load_ensemble
from moedsr_core.errors import InputError
from moedsr_core.evaluation.evaluate import evaluate
from moedsr_core.evaluation.local_trees import load_trees
from moedsr_core.evaluation.options import EvaluateOptions
from moedsr_core.evaluation.result import Evaluation
from moedsr_core.evaluation.source import ensemble_files
from moedsr_core.files import refuse_unwritable, whole_file, whole_folder
from moedsr_core.mesh_io import mesh_format, write_mesh
from moedsr_core.models.registry import ModelInfo, available_models, load_model
from moedsr_core.predict import PredictOptions, choose_device, predict, surface_mesh
from moedsr_core.prediction_files import progress, refuse_foreign, said_of, write_prediction
from moedsr_core.remote import Remote, predict_remotely
from moedsr_core.report import csv_text
from moedsr_core.structure import polymer_heavy_atoms
from moedsr_core.structure_io import read_structure


@dataclass(frozen=True, kw_only=True)
class Predict(PredictOptions):
    """Predict how a protein's surface moves, and write it frame by frame."""

    file: tyro.conf.Positional[Path]
    """Structure: PDB, mmCIF, or anything mdtraj reads."""
    out: Path = Path("moedsr_prediction")
    """Folder for trajectory.npz, frames/ and summary.json."""
    topology: Path | None = None
    """File that names the atoms, where FILE holds coordinates only."""
    input_frame: int = 0
    """Model or frame of FILE to start from, counted from 0."""
    format: Literal["ply", "obj", "glb"] = "ply"
    """Kind of the files in frames/."""
    overwrite: bool = False
    """Write into a folder that holds other things; files of the same names are replaced."""
    backend: str = ""
    """Address of a server, https://host:port, that computes it in the place of this computer."""
    token_file: Path | None = None
    """File whose first line is the server's token; MOEDSR_TOKEN_FILE by default."""
    ca_file: Path | None = None
    """Certificate to trust where the system does not know the server's."""

    def __post_init__(self) -> None:
        """Leave values alone while flags are read, so that unknown flags are refused first."""

    def __call__(self) -> None:
        """Predict and write."""
        options = PredictOptions(**{f.name: getattr(self, f.name) for f in fields(PredictOptions)})
        refuse_foreign(self.out, self.overwrite)
        structure = read_structure(self.file, topology=self.topology, frame=self.input_frame)
        with whole_folder(self.out) as folder, progress(options.frames) as tell:
            if self.backend:
                server = Remote(
                    backend=self.backend, token_file=self.token_file, ca_file=self.ca_file
                )
                trajectory = predict_remotely(structure, options, server, folder, tell)
            else:
                trajectory = predict(structure, options, on_progress=tell)
            tell("writing files", options.frames)
            summary = write_prediction(trajectory, folder, self.format, {"input": str(self.file)})
        print(said_of(summary, self.out))


@dataclass(frozen=True, kw_only=True)
class Surface:
    """Write the molecular surface of a structure as it is."""

    file: tyro.conf.Positional[Path]
    """Structure: PDB, mmCIF, or anything mdtraj reads."""
    out: Path | None = None
    """Mesh to write; ends in .ply, .obj or .glb. By default a .ply here, named as the structure."""
    spacing: float = 0.5
    """About the length of a triangle's edges [Å]."""
    surface: str = "ses"
    """Who makes it: ses (moedsr itself), pymol or msms."""
    topology: Path | None = None
    """File that names the atoms, where FILE holds coordinates only."""
    input_frame: int = 0
    """Model or frame of FILE, counted from 0."""

    def __call__(self) -> None:
        """Mesh and write."""
        out = self.out or Path(f"{self.file.stem}.ply")
        mesh_format(out)  # refused before any work, as is a place that is closed to us
        refuse_unwritable(out)
        structure = read_structure(self.file, topology=self.topology, frame=self.input_frame)
        mesh = surface_mesh(polymer_heavy_atoms(structure), self.surface, self.spacing)
        write_mesh(out, mesh)
        size = f"{len(mesh.vertices)} vertices, {mesh.area:.1f} Å², {mesh.volume:.1f} Å³"
        print(f"{size}, in {out}")


@dataclass(frozen=True, kw_only=True)
class Models:
    """List the models that come with moedsr."""

    json: bool = False
    """Print JSON instead of a table."""

    def __call__(self) -> None:
        """List them."""
        rows = [_describe(info) for info in available_models()]
        if self.json:
            print(json.dumps(rows, indent=1))
            return
        table = rich.table.Table("name", "default", "experts", "MB", "span", "what it is")
        for row in rows:
            span = f"{row['span_ps']:g} ps" if row["span_ps"] else "no unit"
            default = "yes" if row["default"] else ""
            cells = (row["experts"], f"{row['size_mb']:.1f}", span, row["summary"])
            table.add_row(str(row["name"]), default, *map(str, cells))
        rich.console.Console().print(table)


@dataclass(frozen=True, kw_only=True)
class Evaluate(EvaluateOptions):
    """Measure a model on a trajectory, beside the still picture and the best single shape."""

    ensemble: Path | None = None
    """Folder NAME with NAME.pdb and NAME_R1.xtc, or with top.pdb and traj.xtc."""
    model: str = "default"
    """Name of a model, or a folder with weights."""
    json: Path = Path("evaluation.json")
    """Where every number is written."""
    per_frame: Path | None = None
    """CSV file with a row for every frame of every contender."""
    topology: Path | None = None
    """File that names the atoms, where it is not in the folder or has another name."""
    trajectory: Path | None = None
    """The frames, likewise."""
    replicate: int = 1
    """Which of the runs R1, R2 … of the folder."""
    beside: int | None = None
    """Also measure this other run of the folder, as ``replicate``: how well one simulation tells
    another, which is about as much as can be asked of a model."""
    spacing_ps: float | None = None
    """Time between frames [ps], where the trajectory has no usable time stamps."""
    jobs: int = 0
    """Processes that measure frames side by side; 0 means one for each processor."""
    trees: Path | None = None
    """Folder that scripts/local_trees.py wrote; its trees are measured as one more contender."""

    def __post_init__(self) -> None:
        """Leave values alone while flags are read, so that unknown flags are refused first."""

    def __call__(self) -> None:
        """Measure and write."""
        names = (f.name for f in fields(EvaluateOptions))
        options = EvaluateOptions(**{name: getattr(self, name) for name in names})
        for path in filter(None, (self.json, self.per_frame)):
            refuse_unwritable(path)
        if self.per_frame is not None and self.per_frame.resolve() == self.json.resolve():
            raise InputError(f"--json and --per-frame both name {self.json}; give each a file")
        files = ensemble_files(self.ensemble, self.topology, self.trajectory, self.replicate)
        other = self._other_run(files)
        loaded = load_model(self.model, choose_device(options.device))
        trees = None if self.trees is None else load_trees(self.trees)
        ensemble = load_ensemble(*files, spacing_ps=self.spacing_ps)
        with progress() as tell:
            result = evaluate(ensemble, loaded, options, tell, self.jobs, trees, other)
        if self.per_frame is not None:
            with whole_file(self.per_frame) as file:
                file.write(csv_text(result.frame_rows()).encode())
        with whole_file(self.json) as file:
            file.write(json.dumps(result.to_dict(), indent=1, allow_nan=False).encode())
        rich.console.Console().print(_score_table(result))

    def _other_run(self, files: tuple[Path, Path]) -> Ensemble | None:
        """The run that stands beside the one in ``files``."""
        if self.beside is None:
            return None
        if self.ensemble is None:
            raise InputError(
                "--beside chooses from the runs of a folder; name the folder with --ensemble"
            )
        beside = ensemble_files(self.ensemble, self.topology, None, self.beside, "--beside")
        if beside[1].resolve() == files[1].resolve():
            raise InputError(f"run {self.beside} cannot stand beside itself; give another --beside")
        return load_ensemble(*beside, spacing_ps=self.spacing_ps)


Command = (
    Annotated[Predict, tyro.conf.subcommand("predict")]
    | Annotated[Surface, tyro.conf.subcommand("surface")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Models, tyro.conf.subcommand("models")]
    | remote.Command
    | Operate
)


_SHOWN = {
    "iou": "IoU",
    "chamfer_A": "Chamfer",
    "nc_signed": "NC",
    "gap_closed": "gap",
    "occupancy_skill": "skill",
    "mean_displacement_r": "shift r",
    "surface_rmsf_r": "RMSF r",
}
"""Metrics of the table on the screen, and their short names."""


def _score_table(result: Evaluation) -> rich.table.Table:
    table = rich.table.Table("", *_SHOWN.values(), title=f"{result.name}, means over frames")
    table.columns[0].no_wrap = True
    for name in result.motion:
        known = {**result.frames.get(name, {}), **result.motion[name]}
        values = (result.mean(name, m) if m in known else float("nan") for m in _SHOWN)
        table.add_row(name, *("" if isnan(v) else f"{v:.3f}" for v in values))
    return table


def _describe(info: ModelInfo) -> dict[str, object]:
    return {
        "name": info.name,
        "summary": info.summary,
        "default": info.is_default,
        "experts": info.experts,
        "size_mb": info.size_mb,
        "span_ps": info.time.span_ps,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    Codes: 0 done, 1 failed, 2 bad input or unknown flag, 3 another program failed, 130 stopped.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv == ["--version"]:
        print(f"moedsr {moedsr_core.__version__}")
        return 0
    return command_line.run(Command, argv)
