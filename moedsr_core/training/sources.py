"""What a model is trained and validated on: trajectories by name, in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from moedsr_core.data.layout import load_replicates
from moedsr_core.data.samples import MotionSample, SampleConfig, prepare_samples
from moedsr_core.data.trajectory_files import Folders, find_trajectories, home_of, stores_of
from moedsr_core.errors import InputError
from moedsr_core.frame import TimeMap
from moedsr_core.training.motion_task import TrainingProtein, training_protein
from moedsr_core.training.surfaces import EnsembleSurfaces, StoredSurfaces, Surfaces

Split = dict[str, list[dict[str, Any]]]
"""Entries by part: ``name`` and, where files carry no time stamps, ``spacing_ps``."""


def open_surfaces(home: Path, entry: dict[str, Any]) -> dict[str, Surfaces]:
    """Surfaces of a split's entry by trajectory: prepared ones, or else made from the atoms.

    Args:
        home: The protein's folder NAME in a layout of :mod:`moedsr_core.data.trajectory_files`,
            or where it would be beside stores NAME.h5 or NAME_R1.h5 …. Each replicate is a
            trajectory of its own.
        entry: The protein's name and, for the latter, perhaps its ``spacing_ps``.

    Raises:
        InputError: If the files are missing or cannot be used.
    """
    stores = stores_of(home)
    if stores:
        return {path.stem: StoredSurfaces(path) for path in stores}
    try:
        find_trajectories(home)
    except InputError as error:
        raise InputError(
            f"{home.parent} has no {home.name}.h5 or {home.name}_R1.h5 …, and {error}"
        ) from error
    replicates = load_replicates(home, spacing_ps=entry.get("spacing_ps"))
    return {one.name: EnsembleSurfaces(one) for one in replicates}


@dataclass(frozen=True)
class Sources:
    """Trajectories by part of a split.

    Attributes:
        folders: Where they lie.
        split: Which of them are for what.
        kept: Folder for what is measured once and kept.
        track: Goes through a sequence and shows how far it is.
    """

    folders: Folders
    split: Split
    kept: Path
    track: Callable[[Sequence[Any]], Iterable[Any]] = iter
    _owners: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def surfaces(self, part: str) -> dict[str, Surfaces]:
        """Surfaces of one part's trajectories by name.

        Raises:
            InputError: If a trajectory cannot be used, two are called the same, or there is none
                to train on.
        """
        found: dict[str, Surfaces] = {}
        for entry in self._entries(part):
            opened = open_surfaces(home_of(self.folders, entry["name"]), entry)
            self._refuse_shared(opened, entry["name"])
            found |= opened
        return found

    def samples(
        self, part: str, config: SampleConfig, time: TimeMap, device: torch.device
    ) -> list[TrainingProtein]:
        """Motion samples of one part's trajectories, measured where that has not been done.

        A sample holds frames of one replicate alone: time does not pass between replicates. These
        share their protein's frames and references, so that each protein counts alike.

        Raises:
            InputError: If a trajectory cannot be used, two are called the same, or there is none
                to train on.
        """
        proteins = []
        for entry in self._entries(part):
            replicates = find_trajectories(home_of(self.folders, entry["name"]))
            each = config.shared(len(replicates))
            for files in replicates:
                self._refuse_shared([files.label], entry["name"])
                paths = prepare_samples(files, self.kept, each, spacing_ps=entry.get("spacing_ps"))
                samples = map(MotionSample.load, paths)
                proteins += [training_protein(sample, time, device) for sample in samples]
        return proteins

    def _refuse_shared(self, labels: Iterable[str], name: str) -> None:
        """Refuse a trajectory called as another entry's, in whichever part: one would be lost."""
        for label in labels:
            owner = self._owners.setdefault(label, name)
            if owner != name:
                raise InputError(
                    f"{owner} and {name} of the split both have a trajectory called {label}; "
                    "rename one of them or leave it out"
                )

    def _entries(self, part: str) -> Iterable[dict[str, Any]]:
        entries = self.split[part]
        if part == "train" and not entries:
            raise InputError(
                "training needs at least one trajectory, and the split lists none under train; "
                "add some or name them with --names"
            )
        return self.track(entries) if entries else []


def chosen(split: Split, names: Sequence[str]) -> Split:
    """Training and validation part; with names, these alone to train on, wherever they stood."""
    if not names:
        return {part: split[part] for part in ("train", "validation")}
    known = {entry["name"]: entry for part in split.values() for entry in part}
    return {"train": [known.get(name, {"name": name}) for name in names], "validation": []}
