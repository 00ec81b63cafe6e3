"""Random search over MoE-DSR's Table 2, in a study that can be stopped and gone on with."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from moedsr_core.errors import InputError
from moedsr_core.models.config import Interval
from moedsr_core.models.moedsr import PAPER_RANGES, MoEDSRConfig
from moedsr_core.report import Report, cells, markdown_table
from moedsr_core.training.loop import DivergedError
from moedsr_core.wording import counted, reason

Score = Callable[[MoEDSRConfig, int, Path], float]
"""Best validation score of a model's configuration trained from a seed in a run folder."""
_WIDE = 10.0
"""Ratio of an interval's ends from which on its logarithm is drawn evenly; ours, for the paper
names only the ends."""


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """How many configurations, and how often the best one."""

    trials: int = 20
    """Configurations drawn; the paper gives no number."""
    repeats: int = 3
    """Runs of the best configuration, from as many seeds (MoE-DSR: three trials)."""
    seed: int = 0
    """Of the draws and of all runs."""

    def __post_init__(self) -> None:
        """Refuse a search for nothing."""
        if self.trials < 1 or self.repeats < 2 or self.seed < 0:
            raise InputError(
                "a search needs at least 1 trial, 2 repeats for a standard deviation and a seed "
                f"of 0 or more, got {self.trials}, {self.repeats} and {self.seed}"
            )


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        trials: Drawn values by dotted path and the score of each trial, in order; a trial whose
            loss stopped being finite has the score NaN.
        best: Number of the best trial.
        repeats: Scores of the best configuration's repeated runs.
    """

    trials: list[tuple[dict[str, Any], float]]
    best: int
    repeats: list[float]

    @property
    def mean(self) -> float:
        """Of the repeats."""
        return statistics.fmean(self.repeats)

    @property
    def deviation(self) -> float:
        """Standard deviation of the repeats, of a sample."""
        return statistics.stdev(self.repeats)


def search(
    base: MoEDSRConfig,
    config: SearchConfig,
    folder: Path,
    score: Score,
    report: Callable[[int, dict[str, Any], float], None] = lambda number, values, score: None,
) -> SearchResult:
    """Draw configurations, train each, and train the best one again.

    What trial k draws follows from the seed and k alone. A search that was stopped goes on with
    the trial it was in, whose own run folder goes on from its last checkpoint.

    Args:
        base: What is not drawn.
        config: How many.
        folder: Holds ``study.sqlite`` and one run folder for each trial and repeat.
        score: Trains.
        report: Called after each trial with its number, draws and score.

    Raises:
        InputError: If no trial came to a score, or the folder holds another search.
    """
    study = _study(folder, config)
    while (number := len(_finished(study))) < config.trials:
        study.sampler = optuna.samplers.RandomSampler(seed=config.seed + number)
        trial = study.ask()
        values = draw(trial)
        try:
            value = score(with_values(base, values), config.seed, folder / f"trial-{number:03d}")
        except DivergedError as error:
            study.tell(trial, state=TrialState.FAIL)
            study.set_user_attr(f"failure-{number:03d}", str(error))
            value = math.nan
        else:
            study.tell(trial, value)
        report(number, values, value)
    done = _finished(study)[: config.trials]
    rows = [(t.params, math.nan if t.value is None else t.value) for t in done]
    scores = [-math.inf if math.isnan(value) else value for _, value in rows]
    if max(scores) == -math.inf:
        raise InputError(
            f"none of {counted(len(rows), 'trial')} came to a score; the first: "
            f"{study.user_attrs['failure-000']}"
        )
    best = scores.index(max(scores))
    again = with_values(base, rows[best][0])
    repeats = [
        score(again, config.seed + k, folder / f"best-{best:03d}-seed-{config.seed + k}")
        for k in range(config.repeats)
    ]
    return SearchResult(rows, best, repeats)


def draw(trial: optuna.trial.BaseTrial) -> dict[str, Any]:
    """A value for every row of Table 2 that leaves a choice, by dotted path."""
    values: dict[str, Any] = {}
    for path, allowed in PAPER_RANGES.items():
        if isinstance(allowed, Interval):
            low, high = allowed
            values[path] = trial.suggest_float(path, low, high, log=high >= _WIDE * low)
        elif len(allowed) > 1:
            values[path] = trial.suggest_categorical(path, allowed)
    return values


def with_values(config: Any, values: dict[str, Any]) -> Any:
    """A configuration with some values replaced, given by dotted path."""
    here: dict[str, Any] = {}
    for field in fields(config):
        part = getattr(config, field.name)
        if is_dataclass(part):
            inner = {
                path.split(".", 1)[1]: value
                for path, value in values.items()
                if path.startswith(f"{field.name}.")
            }
            here[field.name] = with_values(part, inner)
        elif field.name in values:
            here[field.name] = values[field.name]
    return replace(config, **here)


def write_tables(result: SearchResult, folder: Path) -> None:
    """Write ``search.csv`` and ``search.md``: a row a trial, and the best one's repeats.

    Raises:
        InputError: If the disk is full, or the place cannot be written to.
    """
    columns = sorted({path for values, _ in result.trials for path in values})
    again = f"best, {len(result.repeats)} runs"
    rows = [
        {"trial": k}
        | {path: _text(values[path]) for path in columns}
        | {"score": _text(score), again: ""}
        for k, (values, score) in enumerate(result.trials)
    ]
    rows[result.best][again] = f"{result.mean:.4f} ± {result.deviation:.4f}"
    table = markdown_table(list(rows[0]), [cells(row) for row in rows])
    Report(name="search", tables={"search": rows}, markdown=table, pictures={}).write(folder)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _study(folder: Path, config: SearchConfig) -> optuna.Study:
    """The folder's study, begun or gone on with."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        study = optuna.create_study(
            study_name="moedsr", direction="maximize", load_if_exists=True,
            storage=f"sqlite:///{(folder / 'study.sqlite').resolve().as_posix()}",
        )  # fmt: skip
    except Exception as error:
        raise InputError(
            f"{folder} holds no study that can be gone on with "
            f"({reason(error)}); give another folder"
        ) from error
    known = study.user_attrs.get("seed", config.seed)
    if known != config.seed:
        raise InputError(f"{folder} holds a search of seed {known}, not {config.seed}")
    study.set_user_attr("seed", config.seed)
    return study


def _finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials that came to an end, in order; one that was stopped stays listed as running."""
    states = (TrialState.COMPLETE, TrialState.FAIL)
    return study.get_trials(deepcopy=False, states=states)
