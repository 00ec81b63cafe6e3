"""The commands that PyMOL learns."""

from __future__ import annotations

import inspect
from typing import Any

from ..backends import backend_names
from ..coloring import MODES
from ..labels import load_labels
from ..palettes import PALETTES
from ..session.hooks import install
from ..workspace import Workspace
from .computing import ACTIONS, moedsr_backend, moedsr_models
from .display import moedsr_color, moedsr_save
from .job_list import moedsr_cancel, moedsr_fetch, moedsr_jobs
from .prediction import moedsr_predict, moedsr_surface

COMMANDS = (
    moedsr_predict, moedsr_surface, moedsr_color, moedsr_save, moedsr_models, moedsr_backend,
    moedsr_jobs, moedsr_fetch, moedsr_cancel,
)  # fmt: skip
for _command in COMMANDS:  # PyMOL prints help as it stands, headings at the margin
    _command.__doc__ = f"\n{inspect.cleandoc(_command.__doc__ or '')}\n"


def register(_self: Any) -> None:
    """Teach a PyMOL the commands, their help and their completion."""
    for command in COMMANDS:
        _self.extend(command.__name__, command)
    install(_self)

    def words(make: Any, what: str, end: str) -> list[Any]:
        return [lambda: _self.Shortcut(make()), what, end]

    def running() -> list[str]:
        jobs = Workspace.of(_self).jobs
        return [*jobs, *(job.id for job in jobs.values() if job.id), "all"]

    surfaces = words(lambda: list(Workspace.of(_self).surfaces), "surface", ", ")
    first, second, third = _self.auto_arg[:3]
    for name in ("moedsr_predict", "moedsr_surface"):
        first[name] = [_self.selection_sc, "selection", ", "]
    first["moedsr_color"] = first["moedsr_save"] = surfaces
    first["moedsr_cancel"] = words(running, "prediction", "")
    first["moedsr_fetch"] = words(lambda: list(load_labels()), "job", "")
    first["moedsr_backend"] = words(lambda: [*ACTIONS, *backend_names()], "backend", "")
    first["moedsr_jobs"] = first["moedsr_models"] = words(backend_names, "backend", "")
    second["moedsr_color"] = words(lambda: [*MODES, *_color_names(_self)], "colour", ", ")
    third["moedsr_color"] = words(lambda: list(PALETTES), "palette", ", ")


def _color_names(_self: Any) -> list[str]:
    return [name for name, _ in _self.get_color_indices()]
