"""The Gaussian network model against the whole Kirchhoff matrix, inverted."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import spearmanr

from moedsr_core.models import elastic_network
from moedsr_core.models.elastic_network import CUTOFF, network_fluctuation

LAB_SPRING = 1e-2


def helix(n: int) -> np.ndarray:
    """Cα atoms of an ideal α-helix [Å]."""
    angle = np.deg2rad(100.0) * np.arange(n)
    return np.stack([2.3 * np.cos(angle), 2.3 * np.sin(angle), 1.5 * np.arange(n)], axis=1)


def globule(n: int, seed: int = 0) -> np.ndarray:
    """A compact chain: steps of 3.8 Å held back towards the origin [Å]."""
    rng, x = np.random.default_rng(seed), [np.zeros(3)]
    for _ in range(n - 1):
        step = rng.normal(size=3) - 0.1 * x[-1]
        x.append(x[-1] + 3.8 * step / np.linalg.norm(step))
    return np.array(x)


def kirchhoff(x: np.ndarray) -> np.ndarray:
    contacts = np.linalg.norm(x[:, None] - x, axis=-1) <= CUTOFF
    np.fill_diagonal(contacts, False)
    return np.diag(contacts.sum(axis=1)).astype(float) - contacts


def standardised(values: np.ndarray) -> np.ndarray:
    return (np.log(values) - np.log(values).mean()) / np.log(values).std()


@pytest.mark.parametrize("x", [helix(40), globule(90)], ids=["helix", "globule"])
def test_fluctuations_are_the_diagonal_of_the_inverse_without_the_common_motion(x):
    n = len(x)
    inverse = np.linalg.inv(kirchhoff(x) + LAB_SPRING * np.eye(n))
    expected = standardised(inverse.diagonal() - 1 / (n * LAB_SPRING))
    assert np.abs(network_fluctuation(x) - expected).max() < 1e-8


@pytest.mark.parametrize("x", [helix(40), globule(90)], ids=["helix", "globule"])
def test_fluctuations_rank_as_those_of_the_free_network(x):
    free = np.linalg.pinv(kirchhoff(x)).diagonal()
    assert spearmanr(network_fluctuation(x), free).statistic > 0.99


def test_a_hundred_slow_modes_stand_for_all():
    x = globule(300)
    values, vectors = np.linalg.eigh(kirchhoff(x))
    slow = (vectors[:, 1:101] ** 2 / (values[1:101] + LAB_SPRING)).sum(axis=1)
    assert np.abs(network_fluctuation(x) - standardised(slow)).max() < 1e-4


def test_the_ends_of_a_chain_move_more_than_its_middle():
    moves = network_fluctuation(helix(40))
    assert (np.diff(moves[:18]) < 0).mean() > 0.8
    assert min(moves[:3].min(), moves[-3:].min()) > moves[15:25].max() + 1.0
    assert np.abs(moves - moves[::-1]).max() < 1e-8


def test_result_has_zero_mean_and_unit_variance():
    moves = network_fluctuation(globule(120))
    assert moves.mean() == pytest.approx(0, abs=1e-12)
    assert moves.std() == pytest.approx(1, abs=1e-12)


def test_rigid_motion_and_reflection_change_nothing():
    x = globule(80)
    turned = Rotation.random(random_state=0).apply(x) * -1 + [50.0, -20.0, 3.0]
    assert np.abs(network_fluctuation(turned) - network_fluctuation(x)).max() < 1e-8


@pytest.mark.parametrize("shift", [0.0, 500.0], ids=["one piece", "two pieces"])
def test_order_of_residues_changes_nothing(shift):
    x = globule(60)
    x[25:] += shift
    order = np.random.default_rng(1).permutation(60)
    assert np.abs(network_fluctuation(x[order]) - network_fluctuation(x)[order]).max() < 1e-8


def test_a_detached_residue_moves_most_and_stays_finite():
    x = np.concatenate([globule(50), [[300.0, 0.0, 0.0]]])
    moves = network_fluctuation(x)
    assert np.isfinite(moves).all()
    assert moves.argmax() == 50


def test_sparse_and_dense_solvers_agree(monkeypatch):
    x = globule(300, seed=2)
    dense = network_fluctuation(x)
    monkeypatch.setattr(elastic_network, "_DENSE_LIMIT", 200)
    monkeypatch.setattr(np.linalg, "eigh", None)
    assert np.abs(network_fluctuation(x) - dense).max() < 1e-6


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_residues_do_not_fluctuate(n):
    assert np.array_equal(network_fluctuation(np.zeros((n, 3))), np.zeros(n))


def test_residues_that_all_touch_fluctuate_alike():
    assert np.abs(network_fluctuation(np.eye(3))).max() < 1e-6
