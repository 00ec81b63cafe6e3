"""The dull baseline: boosted trees on local features of the input, and no more.

What they say is of all later frames at once, since every figure of the evaluation that is not of
a single frame is a statistic over them. Their one shape for all times is the first surface moved
by the median change of the signed distance: as for *mean shape*, inside is what is inside more
often than not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from moedsr_core.data.splits import protein_of
from moedsr_core.errors import CheckpointError, InputError
from moedsr_core.evaluation.motion import Motion
from moedsr_core.evaluation.tree_features import FEATURES, point_features
from moedsr_core.evaluation.truth import OCCUPANCY_BAND, Moment, Truth
from moedsr_core.files import whole_folder
from moedsr_core.structure import Structure
from moedsr_core.wording import reason

NAME = "local_trees"
"""What the contender is called."""
FEATURE_VERSION = 1
"""To be raised whenever a column of :func:`point_features` comes to mean something else."""
REACH = OCCUPANCY_BAND
"""Points further from the first surface do not change [Å]; none such were learnt from."""
STATISTICS: dict[str, tuple[str, Callable[..., np.ndarray]]] = {
    "median_change": ("regression", lambda start, later: np.median(later - start, axis=0)),
    "mean_change": ("regression", lambda start, later: (later - start).mean(axis=0)),
    "fluctuation": ("regression", lambda start, later: later.std(axis=0, ddof=1)),
    "occupancy": ("cross_entropy", lambda start, later: (later < 0).mean(axis=0)),
}
"""What the trees predict: how LightGBM fits it, and what it is of the signed distances to the first
and the later surfaces. One forest each."""
RECORD = "trees.json"
"""File that says what the trees of a folder are."""
_ASKED = "grow them with scripts/local_trees.py"


def lightgbm() -> Any:
    """The library that grows and reads trees.

    Raises:
        InputError: If it is not installed.
    """
    try:
        import lightgbm  # only those who ask for trees need it
    except (ImportError, OSError) as error:
        raise InputError(
            "local_trees need LightGBM, which is not installed; install moedsr with its extra "
            '"train", as in pip install "moedsr[train]"'
        ) from error
    return lightgbm


@dataclass(frozen=True)
class LocalTrees:
    """Forests that were grown once, for any protein.

    Attributes:
        folder: Where they lie.
        record: What is written of them: the ``proteins`` they were grown on, among others.
        forests: LightGBM's boosters by statistic.
    """

    folder: Path
    record: dict[str, Any]
    forests: Mapping[str, Any]

    def refuse_grown_on(self, name: str, structure: Structure) -> None:
        """See that they never saw the protein that is measured, by its name or its sequence.

        Raises:
            InputError: If they did.
        """
        seen, ours = self.record["proteins"], sequence_digest(structure)
        names = (name, protein_of(name))
        known = [who for who, digest in seen.items() if digest == ours or who in names]
        if known:
            raise InputError(
                f"the trees in {self.folder} were grown on {known[0]}, which is the protein to "
                f"measure, {name}; measure another one or grow trees on others"
            )

    def predict(
        self,
        structure: Structure,
        points: Float[np.ndarray, "n 3"],
        start: Float[np.ndarray, " n"],
    ) -> dict[str, Float[np.ndarray, " n"]]:
        """Every statistic at points within :data:`REACH` of the first surface.

        Args:
            structure: The input [Å].
            points: In its pose [Å].
            start: Their signed distance to its surface [Å].
        """
        table = point_features(structure, points, start)
        return {name: forest.predict(table) for name, forest in self.forests.items()}

    def measured(self, structure: Structure, truth: Truth) -> tuple[Moment, Motion]:
        """What the trees say where a trajectory is measured: the shape for all times, and motion.

        Args:
            structure: The first frame, canonical pose [Å].
            truth: Where to ask.
        """
        start = np.concatenate([truth.start[truth.near], truth.offset])
        reached = np.abs(start) < REACH
        said = self.predict(structure, truth.points[reached], start[reached])
        values = start.copy()
        values[reached] += said["median_change"]
        nodes, seen = len(start) - len(truth.vertices), int(reached.sum())
        at_vertices = slice(seen - len(truth.vertices), seen)
        occupancy = said["occupancy"][: at_vertices.start]
        assert reached[nodes:].all() and len(occupancy) == truth.band.sum()
        return truth.moment(values), Motion(
            rmsf=np.maximum(said["fluctuation"][at_vertices], 0.0),
            displacement=-said["mean_change"][at_vertices],
            occupancy=occupancy,
            noise=np.zeros(len(occupancy)),
        )


def sequence_digest(structure: Structure) -> str:
    """The same for two structures whose residues are of the same kinds in the same order."""
    return hashlib.sha256(structure.residue_kinds.astype("<i2").tobytes()).hexdigest()


def save_trees(
    folder: Path, forests: Mapping[str, Any], proteins: Mapping[str, str], settings: dict[str, Any]
) -> None:
    """Write forests as LightGBM's text, with a record of what they are; all or nothing.

    Args:
        folder: Where to.
        forests: LightGBM's boosters for every one of :data:`STATISTICS`.
        proteins: Digest of the sequence of every protein they were grown on, by name.
        settings: How they were grown.

    Raises:
        InputError: If the disk is full, or the place cannot be written to.
    """
    texts = {name: forests[name].model_to_string().encode() for name in STATISTICS}
    record = {
        "program": "moedsr",
        "sha256": {name: hashlib.sha256(text).hexdigest() for name, text in texts.items()},
        "feature_version": FEATURE_VERSION,
        "features": list(FEATURES),
        "proteins": dict(proteins),
        "settings": settings,
    }
    with whole_folder(folder) as draft:
        for name, text in texts.items():
            (draft / f"{name}.txt").write_bytes(text)
        (draft / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")


def load_trees(folder: Path) -> LocalTrees:
    """Read what :func:`save_trees` wrote.

    Raises:
        InputError: If LightGBM is not installed.
        CheckpointError: If the folder holds no trees, damaged ones, or trees of other features.
    """
    library = lightgbm()
    record = _read_record(folder)
    forests = {}
    for name in STATISTICS:
        path = folder / f"{name}.txt"
        try:
            text = path.read_bytes()
            if hashlib.sha256(text).hexdigest() != record["sha256"][name]:  # LightGBM would crash
                raise ValueError("it is not what was written")
            forests[name] = library.Booster(model_str=text.decode())
        except (OSError, ValueError, library.basic.LightGBMError) as error:
            raise CheckpointError(
                f"the trees in {path} cannot be read ({reason(error)}); {_ASKED} again"
            ) from error
    return LocalTrees(folder, record, forests)


def _read_record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        version, features = record["feature_version"], record["features"]
        sums = {name: str(record["sha256"][name]) for name in STATISTICS}
        seen = {str(name): str(digest) for name, digest in record["proteins"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{folder} holds no local trees ({reason(error)}); {_ASKED}, or name the folder that "
            "it wrote"
        ) from error
    if (version, features) != (FEATURE_VERSION, list(FEATURES)):
        raise CheckpointError(
            f"the trees in {folder} were grown on features of version {version}, and this version "
            f"of moedsr describes points in version {FEATURE_VERSION}; {_ASKED} anew"
        )
    return {**record, "proteins": seen, "sha256": sums}
