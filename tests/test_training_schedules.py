"""How the learning rate changes."""

from __future__ import annotations

import numpy as np
import pytest

from moedsr_core.errors import InputError
from moedsr_core.training.schedules import ScheduleConfig, rate_share

COSINE = ScheduleConfig(kind="cosine")


def rates(config, steps, per_epoch=1):
    return np.array([rate_share(config, k, steps, per_epoch) for k in range(steps + 1)])


def test_a_cosine_warms_up_and_falls():
    found = rates(COSINE, 1100)
    assert found[:100] == pytest.approx(np.arange(1, 101) / 100)
    assert found[100] == 1.0
    assert (np.diff(found[100:]) < 0).all()
    assert found[600] == pytest.approx(0.505)
    assert found[1100] == pytest.approx(0.01)


def test_a_run_shorter_than_the_warm_up_has_a_rate():
    assert rates(COSINE, 4) == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05])


def test_halving_counts_epochs_as_dsr_does():
    found = rates(ScheduleConfig(halve_epochs=200), 900 * 3, per_epoch=3)
    assert (found[: 200 * 3] == 1.0).all()
    assert (found[200 * 3 : 400 * 3] == 0.5).all()
    assert found[800 * 3] == 0.0625


def test_a_constant_rate_stays():
    assert (rates(ScheduleConfig(kind="constant"), 50) == 1.0).all()


@pytest.mark.parametrize(
    "bad", [{"kind": "linear"}, {"halve_epochs": 0.0}, {"warm_up": 0}, {"floor": 1.5}]
)
def test_schedules_that_cannot_be_are_refused(bad):
    with pytest.raises(InputError):
        ScheduleConfig(**bad)
