"""The graph of surface points: its neighbours, normals, envelope and thinning."""

from __future__ import annotations

import pytest
import torch
from equivariance import make_graph, synthetic_protein

from moedsr_core.models.router import surface_graph as graphs

pytestmark = pytest.mark.usefixtures("double_precision")


@pytest.fixture
def protein():
    return synthetic_protein()


def test_quasi_geodesic_lies_between_one_and_three_times_the_straight_line():
    same, across, opposite = graphs.quasi_geodesic(
        torch.full((3,), 2.0), torch.tensor([1.0, 0, -1])
    )
    assert (same, across, opposite) == (2.0, 4.0, 6.0)


def test_smoothed_normals_agree_with_the_printed_sum(protein, monkeypatch):
    monkeypatch.setattr(graphs, "_BLOCK", 500)  # several blocks of rows
    x, n = protein.points, protein.normals
    kernel = torch.exp(-(x[:, None] - x[None]).square().sum(-1) / (2 * 9.0**2))
    expected = torch.nn.functional.normalize((kernel[..., None] * n[None]).sum(1), dim=1)
    torch.testing.assert_close(graphs.smoothed_normals(x, n, 9.0), expected)


def test_neighbours_agree_with_brute_force(protein, monkeypatch):
    monkeypatch.setattr(graphs, "_BLOCK", 500)
    normals = graphs.smoothed_normals(protein.points, protein.normals, 9.0)
    graph = make_graph(protein, window=9.0, k=12)
    straight = (protein.points[:, None] - protein.points[None]).norm(dim=-1)
    distance = straight * (2 - normals @ normals.T)
    distance.fill_diagonal_(torch.inf)
    expected = distance.sort(dim=1)
    assert torch.equal(graph.neighbours, expected.indices[:, :12])
    torch.testing.assert_close(graph.distances, expected.values[:, :12])
    reach = expected.values[:, 12:13].clamp(max=9.0)
    assert torch.equal(graph.envelope > 0, expected.values[:, :12] < reach)


def test_features_stay_smooth_when_the_neighbour_cap_swaps_points(protein):
    graph = make_graph(protein, window=1e3, k=8)
    normals = graphs.smoothed_normals(protein.points, protein.normals, 9.0)
    ninth = make_graph(protein, window=1e3, k=9).distances[:, 8:9]
    torch.testing.assert_close(graph.envelope, graphs.cutoff_envelope(graph.distances / ninth))
    everyone = graphs.surface_graph(protein.points, normals, 1e3, 500)
    assert everyone.neighbours.shape == (120, 119)


def test_the_envelope_ends_with_vanishing_first_and_second_derivative():
    u = torch.tensor([0.0, 1.0 - 1e-9, 1.0 + 1e-9], requires_grad=True)
    value = graphs.cutoff_envelope(u)
    (first,) = torch.autograd.grad(value.sum(), u, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), u)
    torch.testing.assert_close(value.detach(), torch.tensor([1.0, 0, 0]))
    assert first.abs().max() < 1e-12
    assert second[1:].abs().max() < 1e-6


def test_farthest_points_cover_the_cloud_as_widely_as_they_are_spread(protein):
    chosen = graphs.farthest_points(protein.points, 30)
    kept = protein.points[chosen]
    spread = torch.pdist(kept).min()
    reach = torch.cdist(protein.points, kept).min(dim=1).values.max()
    assert len(set(chosen.tolist())) == 30
    assert reach <= spread


def test_interpolation_gives_known_values_back(protein):
    values = torch.randn(40, 3)
    got = graphs.interpolate(values, protein.points[:40], protein.points)
    torch.testing.assert_close(got[:40], values, atol=1e-5, rtol=0)
    assert got.min() >= values.min() and got.max() <= values.max()
