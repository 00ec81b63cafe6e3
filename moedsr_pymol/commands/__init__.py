"""The commands that PyMOL learns."""

from __future__ import annotations

import inspect
from typing import Any

from ..backends import backend_names
from ..coloring import MODES
from ..labels import load_labels
from ..measure.profile import MEASURES
from ..palettes import PALETTES
from ..session.hooks import install
from ..workspace import Workspace
from .comparing import moedsr_compare
from .computing import ACTIONS, moedsr_backend, moedsr_models
from .display import moedsr_color, moedsr_movie, moedsr_save, moedsr_smooth
from .installing import ACTIONS as INSTALL_ACTIONS
from .installing import moedsr_install
from .job_list import moedsr_cancel, moedsr_delete, moedsr_fetch, moedsr_jobs
from .measuring import moedsr_pocket, moedsr_profile, moedsr_shape
from .prediction import moedsr_predict, moedsr_surface
from .window import moedsr_panel

COMMANDS = (
    moedsr_predict, moedsr_surface, moedsr_color, moedsr_smooth, moedsr_profile, moedsr_shape,
    moedsr_pocket, moedsr_compare, moedsr_save, moedsr_movie, moedsr_models, moedsr_backend,
    moedsr_jobs, moedsr_fetch, moedsr_cancel, moedsr_delete, moedsr_install, moedsr_panel,
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
        workspace = Workspace.of(_self)
        ids = [job.id for job in workspace.jobs.values() if job.id]
        return [*workspace.jobs, *ids, *workspace.working(), "all"]

    surfaces = words(lambda: list(Workspace.of(_self).surfaces), "surface", ", ")
    first, second, third = _self.auto_arg[:3]
    for name in ("moedsr_predict", "moedsr_surface"):
        first[name] = [_self.selection_sc, "selection", ", "]
    for name in ("color", "smooth", "profile", "shape", "pocket", "compare", "save"):
        first[f"moedsr_{name}"] = surfaces
    first["moedsr_cancel"] = words(running, "prediction", "")
    first["moedsr_fetch"] = words(lambda: list(load_labels()), "job", "")
    first["moedsr_delete"] = words(lambda: [*load_labels(), "all"], "job", "")
    first["moedsr_backend"] = words(lambda: [*ACTIONS, *backend_names()], "backend", "")
    first["moedsr_install"] = words(lambda: list(INSTALL_ACTIONS), "action", ", ")
    first["moedsr_jobs"] = first["moedsr_models"] = words(backend_names, "backend", "")
    second["moedsr_color"] = words(lambda: [*MODES, *_color_names(_self)], "colour", ", ")
    second["moedsr_compare"] = [_self.object_sc, "object", ", "]
    second["moedsr_pocket"] = [_self.selection_sc, "selection", ", "]
    second["moedsr_profile"] = words(lambda: list(MEASURES), "measure", ", ")
    third["moedsr_color"] = words(lambda: list(PALETTES), "palette", ", ")


def _color_names(_self: Any) -> list[str]:
    return [name for name, _ in _self.get_color_indices()]
