"""Random search over Table 2: what is drawn, that it goes on where it stopped, its tables."""

from __future__ import annotations

import csv
import math
import statistics

import numpy as np
import pytest

pytest.importorskip("optuna", reason="optuna is an extra")

from moedsr_core.errors import InputError
from moedsr_core.models.config import Interval, config_to_dict, within
from moedsr_core.models.moedsr import PAPER_RANGES, MoEDSRConfig
from moedsr_core.training.loop import DivergedError
from moedsr_core.training.search import SearchConfig, search, with_values, write_tables

BASE = MoEDSRConfig()
FREE = {p for p, r in PAPER_RANGES.items() if isinstance(r, Interval) or len(r) > 1}


def value_of(config, path):
    for name in path.split("."):
        config = getattr(config, name)
    return config


class Bench:
    """Scores a configuration by a formula and remembers what it was asked."""

    def __init__(self, stop_at=None, diverge_at=()):
        self.seen, self.stop_at, self.diverge_at = [], stop_at, diverge_at

    def __call__(self, config, seed, folder):
        if len(self.seen) == self.stop_at:
            raise KeyboardInterrupt
        self.seen.append((config, seed, folder.name))
        if len(self.seen) - 1 in self.diverge_at:
            raise DivergedError("the loss is nan")
        return -config.loss.lambda_sdf + 0.01 * seed


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    bench = Bench()
    folder = tmp_path_factory.mktemp("search")
    return bench, search(BASE, SearchConfig(trials=8), folder, bench), folder


def test_every_free_row_of_table_2_is_drawn_within_its_range(ran):
    bench, result, _ = ran
    assert len(result.trials) == 8
    for (config, _, _), (values, _) in zip(bench.seen[:8], result.trials, strict=True):
        assert set(values) == FREE
        for path, allowed in PAPER_RANGES.items():
            assert within(value_of(config, path), allowed)
        assert all(value_of(config, path) == value for path, value in values.items())
    drawn = [values["loss.lambda_sdf"] for values, _ in result.trials]
    assert len(set(drawn)) == 8


def test_what_is_not_drawn_stays(ran):
    bench, _, _ = ran
    default = config_to_dict(BASE)
    for config, _, _ in bench.seen:
        found = config_to_dict(config)
        assert found["expert"]["mlp"] == default["expert"]["mlp"]
        assert found["router"]["layers"] == default["router"]["layers"]


def test_the_best_is_run_again_from_three_seeds(ran):
    bench, result, _ = ran
    scores = [score for _, score in result.trials]
    assert result.best == int(np.argmax(scores))
    again = bench.seen[8:]
    assert [seed for _, seed, _ in again] == [0, 1, 2]
    assert {config for config, _, _ in again} == {bench.seen[result.best][0]}
    assert len({folder for _, _, folder in bench.seen}) == 11
    assert result.mean == pytest.approx(statistics.fmean(result.repeats))
    assert result.deviation == pytest.approx(0.01)


def test_a_stopped_search_goes_on_and_ends_as_an_undisturbed_one(ran, tmp_path):
    _, whole, _ = ran
    for stop_at in (3, 4):
        with pytest.raises(KeyboardInterrupt):
            search(BASE, SearchConfig(trials=8), tmp_path, Bench(stop_at=stop_at))
    bench = Bench()
    result = search(BASE, SearchConfig(trials=8), tmp_path, bench)
    assert result == whole
    assert bench.seen[0][2] == "trial-007"


def test_a_longer_search_begins_with_the_shorter_one(ran, tmp_path):
    _, whole, _ = ran
    search(BASE, SearchConfig(trials=2), tmp_path, Bench())
    assert search(BASE, SearchConfig(trials=8), tmp_path, Bench()).trials == whole.trials


def test_a_diverged_trial_does_not_end_the_search(tmp_path):
    result = search(BASE, SearchConfig(trials=3), tmp_path, Bench(diverge_at=[0]))
    assert [math.isnan(score) for _, score in result.trials] == [True, False, False]
    assert result.best in (1, 2)


def test_a_search_in_which_all_diverge_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none of 2 trials came to a score.*the loss is nan"):
        search(BASE, SearchConfig(trials=2), tmp_path, Bench(diverge_at=range(9)))


def test_a_failure_that_is_no_divergence_ends_the_search(tmp_path):
    def broken(config, seed, folder):
        raise InputError("training needs at least one trajectory")

    with pytest.raises(InputError, match="at least one trajectory"):
        search(BASE, SearchConfig(trials=2), tmp_path, broken)


def test_a_search_of_another_seed_and_a_foreign_file_are_refused(tmp_path):
    search(BASE, SearchConfig(trials=1), tmp_path, Bench())
    with pytest.raises(InputError, match="search of seed 0, not 1"):
        search(BASE, SearchConfig(trials=1, seed=1), tmp_path, Bench())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "study.sqlite").write_bytes(b"not a database, whatever its name" * 9)
    with pytest.raises(InputError, match="no study that can be gone on with"):
        search(BASE, SearchConfig(trials=1), tmp_path / "other", Bench())


def test_the_tables_hold_every_trial_and_the_spread_of_the_best(ran):
    _, result, folder = ran
    write_tables(result, folder)
    with (folder / "search.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == [str(k) for k in range(8)]
    for row, (values, score) in zip(rows, result.trials, strict=True):
        assert float(row["score"]) == pytest.approx(score, rel=1e-3)
        assert float(row["loss.lambda_z"]) == pytest.approx(values["loss.lambda_z"], rel=1e-3)
    spread = [row["best, 3 runs"] for row in rows]
    assert spread[result.best] == f"{result.mean:.4f} ± 0.0100"
    assert [s for k, s in enumerate(spread) if k != result.best] == [""] * 7
    lines = (folder / "search.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 10
    assert {line.count("|") for line in lines} == {len(FREE) + 4}


@pytest.mark.parametrize("bad", [{"trials": 0}, {"repeats": 1}, {"seed": -1}])
def test_searches_for_nothing_are_refused(bad):
    with pytest.raises(InputError):
        SearchConfig(**bad)


def test_values_are_put_in_by_dotted_path():
    changed = with_values(BASE, {"router.phi_s": 16, "n_experts": 4})
    assert (changed.router.phi_s, changed.n_experts) == (16, 4)
    assert with_values(changed, {"router.phi_s": 32, "n_experts": 8}) == BASE
