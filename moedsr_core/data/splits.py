"""Which trajectories are for training, validation and test: one JSON file, whole proteins only."""

from __future__ import annotations

import json
import re
from pathlib import Path

from moedsr_core.data.ensemble import Ensemble
from moedsr_core.data.layout import load_replicates
from moedsr_core.data.trajectory_files import Folders, home_of
from moedsr_core.errors import InputError
from moedsr_core.wording import reason

PARTS = ("train", "validation", "test")
_REPLICATE = re.compile(r"_R\d+$")


def protein_of(trajectory: str) -> str:
    """Name of the protein that a trajectory is of; replicates are NAME_R1, NAME_R2 …."""
    return _REPLICATE.sub("", trajectory)


def read_split(path: str | Path) -> dict[str, list[dict]]:
    """Entries of each part: ``name`` and, where the files carry no time stamps, ``spacing_ps``.

    Raises:
        InputError: If the file is not such a list, or a name stands in two parts.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        split = {part: list(data[part]) for part in PARTS}
        names = [entry["name"] for part in PARTS for entry in split[part]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a split file with {PARTS} ({reason(error)})") from error
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{path} puts {twice} into more than one place; each protein goes to one")
    return split


def load_part(
    split: dict[str, list[dict]], part: str, data: Folders, **options: int
) -> dict[str, Ensemble]:
    """Trajectories of one part, in any layout of :mod:`trajectory_files`.

    Args:
        split: From :func:`read_split`.
        part: ``train``, ``validation`` or ``test``.
        data: Where the proteins' folders lie.
        options: ``stride`` and ``max_frames``, as for :func:`ensemble.load_ensemble`.

    Returns:
        Ensembles by name; replicates are kept apart, as NAME_R1, NAME_R2 ….

    Raises:
        InputError: If the part is unknown, or a trajectory cannot be used.
    """
    if part not in PARTS:
        raise InputError(f"unknown part {part!r}; choose from {list(PARTS)}")
    ensembles = {}
    for entry in split[part]:
        replicates = load_replicates(
            home_of(data, entry["name"]),
            spacing_ps=entry.get("spacing_ps"),
            **options,
        )
        ensembles.update({ensemble.name: ensemble for ensemble in replicates})
    return ensembles
