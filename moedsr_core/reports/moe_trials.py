"""Scores of trained models, several trials of each, ready to stand in one table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from moedsr_core.data.splits import protein_of
from moedsr_core.errors import InputError
from moedsr_core.wording import reason

BASELINES = ("static", "mean_shape")
"""Measured with every model and the same for all."""
_SAME_OPTIONS = ("spacing", "omega", "distances")
"""Options of an evaluation that every contender of a table must share."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trained model on all proteins of a table."""

    source: str
    """Where the scores are from, for messages."""
    evaluations: dict[str, dict[str, Any]]
    """What ``Evaluation.to_dict`` gives, by trajectory."""

    @cached_property
    def proteins(self) -> dict[str, list[str]]:
        """Trajectories of each protein."""
        found: dict[str, list[str]] = {}
        for name in self.evaluations:
            found.setdefault(protein_of(name), []).append(name)
        return found

    def value(self, protein: str, contender: str, metric: str) -> float:
        """A figure of one protein, the mean over its replicates; NaN where it means nothing."""
        figures = [
            _figure(self.evaluations[name]["scores"][contender].get(metric))
            for name in self.proteins[protein]
        ]
        return float(np.mean(figures))

    def how(self, name: str) -> tuple[Any, ...]:
        """What a trajectory was compared with, and by which conventions."""
        one = self.evaluations[name]
        same = (one["options"][key] for key in _SAME_OPTIONS)
        return (tuple(one["ensemble"]["compared"]), *same)


def read_trial(path: Path) -> Trial:
    """Scores from a JSON file of ``scripts/evaluate.py`` or ``moedsr evaluate``.

    Raises:
        InputError: If the file is not one of these.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if "scores" in data:
            data = {data["ensemble"]["name"]: data}
        trial = Trial(source=str(path), evaluations=data)
        for name, one in data.items():
            trial.how(name)
            one["scores"]["static"], float(one["omega_A"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} does not hold scores ({reason(error)}); write it with "
            "scripts/evaluate.py --json"
        ) from error
    if not data:
        raise InputError(f"{path} holds the scores of no protein; measure it again")
    return trial


@dataclass(frozen=True)
class Contest:
    """Models that were measured alike.

    Attributes:
        trials: Trials of each model by its label, in the order of the table.
        contender: What stands for a model: ``typical`` or ``drawn``.

    Raises:
        InputError: If there is no trial, or two were measured on other proteins, frames or by other
            conventions.
    """

    trials: Mapping[str, tuple[Trial, ...]]
    contender: str = "typical"

    def __post_init__(self) -> None:
        """Refuse what cannot stand in one table."""
        everyone = [trial for group in self.trials.values() for trial in group]
        if not everyone or not all(self.trials.values()):
            raise InputError("a table needs at least one trial of every model, got none")
        taken = sorted(set(self.trials) & set(BASELINES))
        if taken:
            raise InputError(f"{taken[0]} is a baseline; give the model another label")
        for other in everyone[1:]:
            _refuse_unlike(everyone[0], other)
        for trial in everyone:
            _refuse_without(trial, self.contender)

    @property
    def proteins(self) -> list[str]:
        """Names, in the order of the first trial."""
        return list(self._first.proteins)

    @property
    def labels(self) -> list[str]:
        """The baselines, then the models."""
        return [*BASELINES, *self.trials]

    def values(self, label: str, metric: str) -> Float[np.ndarray, "trials proteins"]:
        """Figure of every trial on every protein; baselines have one trial."""
        still = label in BASELINES
        group = (self._first,) if still else self.trials[label]
        who = label if still else self.contender
        return np.array([[t.value(p, who, metric) for p in self.proteins] for t in group])

    @property
    def _first(self) -> Trial:
        return next(iter(self.trials.values()))[0]


@dataclass(frozen=True)
class Spread:
    """A figure over trials.

    Attributes:
        mean: Mean.
        sd: Standard deviation of a sample; NaN for a single trial.
        trials: How many.
    """

    mean: float
    sd: float
    trials: int


def spread(values: Float[np.ndarray, " trials"]) -> Spread:
    """Mean and standard deviation over trials; NaN if one of them is."""
    sd = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    return Spread(float(values.mean()), sd, len(values))


def _figure(scored: Any) -> float:
    value = scored["mean"] if isinstance(scored, dict) else scored
    return math.nan if value is None else float(value)


def _refuse_unlike(first: Trial, other: Trial) -> None:
    odd = sorted(set(first.evaluations) ^ set(other.evaluations))
    if odd:
        raise InputError(
            f"{first.source} and {other.source} are of different proteins ({odd[0]} is in one "
            "only); measure both on the same part of one split"
        )
    for name, one in first.evaluations.items():
        same_unit = math.isclose(one["omega_A"], other.evaluations[name]["omega_A"], rel_tol=1e-4)
        if first.how(name) != other.how(name) or not same_unit:
            raise InputError(
                f"{first.source} and {other.source} measured {name} differently (frames, spacing, "
                "omega or distances); measure both with the same options"
            )


def _refuse_without(trial: Trial, contender: str) -> None:
    for name, one in trial.evaluations.items():
        missing = [who for who in (*BASELINES, contender) if who not in one["scores"]]
        if missing:
            raise InputError(
                f"{trial.source} has no {missing[0]} for {name}; choose one of "
                f"{', '.join(one['scores'])}"
            )
