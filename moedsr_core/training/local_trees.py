"""Growing the trees of the baseline :mod:`moedsr_core.evaluation.local_trees`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from moedsr_core.choices import check_number
from moedsr_core.data.samples import MotionSample, SampleConfig, prepare_samples
from moedsr_core.data.trajectory_files import Folders, find_trajectories, home_of
from moedsr_core.errors import InputError
from moedsr_core.evaluation.local_trees import STATISTICS, lightgbm, save_trees, sequence_digest
from moedsr_core.evaluation.tree_features import CATEGORIES, FEATURES, point_features

Tell = Callable[[str, int, int], None]
"""Called with what is done, the steps done and the steps in all."""
LEAST_ROWS = 200
"""Points that a leaf stands for, at least; a forest needs two leaves."""


@dataclass(frozen=True, kw_only=True)
class TreeConfig:
    """How trees are grown: gradient boosting by LightGBM, each protein of equal weight."""

    rounds: int = 150
    """Trees of each forest."""
    leaves: int = 63
    """Leaves of each tree, at most."""
    rate: float = 0.05
    """What each tree counts."""
    seed: int = 0
    """Of the points, and of which of them and which features each tree sees."""
    threads: int = 2
    """Processor threads; the trees are the same for any."""
    frames: int = 30
    """Frames of each protein whose surfaces are measured; its replicates share them."""
    references: int = 5
    """How many of those frames serve as the input structure."""
    points: int = 4000
    """Points around each reference surface."""
    rows: int = 250_000
    """Points of all surfaces together that trees are grown on, at most; of more, every so many."""

    def __post_init__(self) -> None:
        """Refuse what grows nothing."""
        check_number("frames", self.frames, 3, 100_000, whole=True)
        check_number("references", self.references, 1, 100_000, whole=True)
        check_number("points", self.points, 1, 10_000_000, whole=True)
        check_number("rows", self.rows, 2 * LEAST_ROWS, 10**9, whole=True)
        check_number("rounds", self.rounds, 1, 100_000, whole=True)
        check_number("leaves", self.leaves, 2, 10_000, whole=True)
        check_number("rate", self.rate, 1e-4, 1.0)
        check_number("seed", self.seed, 0, 2**31 - 1, whole=True)
        check_number("threads", self.threads, 1, 1024, whole=True)

    @property
    def samples(self) -> SampleConfig:
        """What is measured of every trajectory."""
        return SampleConfig(
            n_frames=self.frames, n_references=self.references, n_points=self.points, seed=self.seed
        )


def grow_from_split(
    split: dict[str, list[dict[str, Any]]],
    data: Folders,
    out: Path,
    kept: Path,
    config: TreeConfig,
    tell: Tell = lambda what, done, total: None,
) -> None:
    """Measure the training part of a split, grow trees on it and write them.

    Args:
        split: From :func:`splits.read_split`.
        data: Where the proteins' folders lie.
        out: Folder of the trees.
        kept: Folder of what is measured, or was measured before with the same configuration.
        config: How.
        tell: Told of every step; may raise to stop.

    Raises:
        InputError: If LightGBM is not installed, there is nothing to learn from, or a trajectory
            cannot be used.
    """
    lightgbm()
    entries = split["train"]
    if not entries:
        raise InputError("trees need a protein to grow on, and the split lists none under train")
    samples: list[tuple[str, MotionSample]] = []
    for done, entry in enumerate(entries):
        tell(f"measuring {entry['name']}", done, len(entries))
        samples += _measured(data, kept, entry, config.samples)
    tell("measuring", len(entries), len(entries))
    forests = grow(samples, config, tell)
    proteins = {name: sequence_digest(sample.structure) for name, sample in samples}
    save_trees(out, forests, proteins, asdict(config))


def _measured(
    data: Folders, kept: Path, entry: dict[str, Any], config: SampleConfig
) -> Iterator[tuple[str, MotionSample]]:
    replicates = find_trajectories(home_of(data, entry["name"]))
    each = config.shared(len(replicates))
    for files in replicates:
        paths = prepare_samples(files, kept, each, spacing_ps=entry.get("spacing_ps"))
        yield from ((entry["name"], MotionSample.load(path)) for path in paths)


def grow(
    samples: list[tuple[str, MotionSample]],
    config: TreeConfig,
    tell: Tell = lambda what, done, total: None,
) -> dict[str, Any]:
    """Grow a forest for each of :data:`STATISTICS`.

    Args:
        samples: Name of the protein with each; all proteins weigh the same.
        config: How.
        tell: Told of every tree.

    Returns:
        LightGBM's boosters by statistic.

    Raises:
        InputError: If LightGBM is not installed, or there are too few points or frames.
    """
    library = lightgbm()
    samples = _thinned(samples, config.rows)
    table, weights = _rows(samples)
    forests = {}
    for name, (objective, statistic) in STATISTICS.items():
        wanted = np.concatenate([statistic(s.start, s.distances) for _, s in samples])
        rows = library.Dataset(
            table, wanted, weight=weights, feature_name=list(FEATURES),
            categorical_feature=list(CATEGORIES), params={"verbose": -1},
        )  # fmt: skip
        title = f"growing {name}"

        def told(state: Any, title: str = title) -> None:
            tell(title, state.iteration + 1, config.rounds)

        settings = _settings(config) | {"objective": objective}
        forests[name] = library.train(settings, rows, config.rounds, callbacks=[told])
    return forests


def _thinned(samples: list[tuple[str, MotionSample]], rows: int) -> list[tuple[str, MotionSample]]:
    """Every so many points of what has a fluctuation."""
    moving = [(name, sample) for name, sample in samples if len(sample.distances) > 1]
    step = max(1, -(-sum(len(sample.points) for _, sample in moving) // rows))
    return [
        (
            name,
            replace(
                s, points=s.points[::step], start=s.start[::step], distances=s.distances[:, ::step]
            ),
        )
        for name, s in moving
    ]


def _rows(
    samples: list[tuple[str, MotionSample]],
) -> tuple[Float[np.ndarray, "rows features"], Float[np.ndarray, " rows"]]:
    """Features of all points, and what each counts."""
    points: Counter[str] = Counter()
    for name, sample in samples:
        points[name] += len(sample.points)
    if points.total() < 2 * LEAST_ROWS:
        raise InputError(
            f"trees need at least {2 * LEAST_ROWS} points of trajectories of three frames and "
            f"more, got {points.total()}; give longer trajectories or more points"
        )
    each = points.total() / len(points)
    weights = [np.full(len(sample.points), each / points[name]) for name, sample in samples]
    tables = [point_features(s.structure, s.points, s.start) for _, s in samples]
    return np.concatenate(tables), np.concatenate(weights)


def _settings(config: TreeConfig) -> dict[str, Any]:
    return {
        "num_leaves": config.leaves,
        "learning_rate": config.rate,
        "min_data_in_leaf": LEAST_ROWS,
        "cat_smooth": 50.0,
        "feature_fraction": 0.5,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "seed": config.seed,
        "num_threads": config.threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
