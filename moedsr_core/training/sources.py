"""What a model is trained and validated on: trajectories by name, in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from moedsr_core.data.ensemble import load_ensemble
from moedsr_core.data.samples import MotionSample, SampleConfig, prepare_samples
from moedsr_core.errors import InputError
from moedsr_core.frame import TimeMap
from moedsr_core.training.motion_task import TrainingProtein, training_protein
from moedsr_core.training.surfaces import EnsembleSurfaces, Surfaces

Split = dict[str, list[dict[str, Any]]]
"""Entries by part: ``name`` and, where files carry no time stamps, ``spacing_ps``."""


def _from_ensemble(folder: Path, entry: dict[str, Any]) -> Surfaces:
    """Surfaces made from NAME/top.pdb and NAME/traj.xtc."""
    place = folder / entry["name"]
    return EnsembleSurfaces(
        load_ensemble(
            place / "top.pdb", place / "traj.xtc",
            name=entry["name"], spacing_ps=entry.get("spacing_ps"),
        )
    )  # fmt: skip


OPENERS: dict[str, Callable[[Path, dict[str, Any]], Surfaces]] = {
    "ensemble": _from_ensemble,
}
"""How the surfaces of a split's entry are had from the data folder, by kind of data."""


@dataclass(frozen=True)
class Sources:
    """Trajectories by part of a split.

    Attributes:
        folder: Where they lie.
        split: Which of them are for what.
        kept: Folder for what is measured once and kept.
        track: Goes through a sequence and shows how far it is.
    """

    folder: Path
    split: Split
    kept: Path
    track: Callable[[Sequence[Any]], Iterable[Any]] = iter

    def surfaces(self, part: str) -> list[Surfaces]:
        """Surfaces of one part's trajectories.

        Raises:
            InputError: If a trajectory cannot be used, or there is none to train on.
        """
        return [
            OPENERS[_kind(self.folder, entry)](self.folder, entry)
            for entry in self.track(self._entries(part))
        ]

    def samples(
        self, part: str, config: SampleConfig, time: TimeMap, device: torch.device
    ) -> list[TrainingProtein]:
        """Motion samples of one part's trajectories, measured where that has not been done.

        Raises:
            InputError: If a trajectory cannot be used, or there is none to train on.
        """
        proteins = []
        for entry in self.track(self._entries(part)):
            place = self.folder / entry["name"]
            paths = prepare_samples(
                place / "top.pdb", place / "traj.xtc", self.kept, config,
                name=entry["name"], spacing_ps=entry.get("spacing_ps"),
            )  # fmt: skip
            proteins += [training_protein(MotionSample.load(path), time, device) for path in paths]
        return proteins

    def _entries(self, part: str) -> list[dict[str, Any]]:
        entries = self.split[part]
        if part == "train" and not entries:
            raise InputError(
                "training needs at least one trajectory, and the split lists none under train; "
                "add some or name them with --names"
            )
        return entries


def _kind(folder: Path, entry: dict[str, Any]) -> str:
    return "ensemble"


def chosen(split: Split, names: Sequence[str]) -> Split:
    """A split that trains on the named trajectories alone, wherever they stood; all if none."""
    if not names:
        return split
    known = {entry["name"]: entry for part in split.values() for entry in part}
    return {"train": [known.get(name, {"name": name}) for name in names], "validation": []}
