"""What a point of space learns from the atoms and residues around it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from equivariance import assert_invariant
from synthetic_chain import ATOMS, posed_chain, stir

from moedsr_core.models.elastic_network import network_fluctuation
from moedsr_core.models.local import (
    ATOM_FEATURES,
    ContinuousFilter,
    LocalEncoder,
    ResidueGather,
    atom_descriptors,
    neighbourhood,
    side_chain_middles,
)
from moedsr_core.models.router.surface_graph import nearest_by_tree

REACH, NEIGHBOURS = 8.0, 12


@pytest.fixture(scope="module")
def protein():
    return posed_chain()


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return stir(LocalEncoder(8, NEIGHBOURS, REACH)).eval()


def around(protein, n=50, seed=0, dtype=torch.float32):
    """Points near the protein's atoms [Å]."""
    generator = torch.Generator().manual_seed(seed)
    pick = torch.randint(len(protein.atom_positions), (n,), generator=generator)
    return (protein.atom_positions[pick] + 2.0 * torch.randn(n, 3, generator=generator)).to(dtype)


def in_double(protein):
    return replace(
        protein,
        residue_positions=protein.residue_positions.double(),
        atom_positions=protein.atom_positions.double(),
        atom_radii=protein.atom_radii.double(),
    )


def shuffled(protein, order):
    """The same protein with its atoms listed in another order."""
    return replace(
        protein,
        atom_positions=protein.atom_positions[order],
        atom_radii=protein.atom_radii[order],
        atom_depths=protein.atom_depths[order],
        atom_residues=protein.atom_residues[order],
    )


def test_nearest_atoms_are_those_of_a_full_search(protein):
    x = around(protein)
    distances = torch.cdist(x.double(), protein.atom_positions.double())
    expected = distances.topk(7, largest=False).indices
    assert torch.equal(nearest_by_tree(x, protein.atom_positions, 7), expected)


def test_one_nearest_atom_keeps_its_column(protein):
    assert nearest_by_tree(around(protein, 5), protein.atom_positions, 1).shape == (5, 1)


def test_descriptors_hold_what_they_name(protein):
    table = atom_descriptors(protein)
    assert table.shape == (len(protein.atom_positions), ATOM_FEATURES)
    positions = protein.atom_positions.numpy()
    fluctuation = network_fluctuation(protein.residue_positions.numpy())
    assert table[:, 0].numpy() == pytest.approx(fluctuation[protein.atom_residues.numpy()])
    within = np.linalg.norm(positions[:, None] - positions, axis=-1) <= 8.0
    assert table[:, 2].numpy() == pytest.approx((np.log(within.sum(axis=1)) - 3.9) / 0.45)
    names = np.tile(ATOMS, len(positions) // len(ATOMS))
    assert (table[names == "CG", 4] == 0).all()
    assert table[names == "CA", 4].numpy() == pytest.approx(2 / 3)
    assert torch.equal(table[:, 7:].argmax(dim=1), protein.atom_depths)
    ends = protein.atom_residues.numpy() % (len(protein.residue_positions) - 1) == 0
    assert (table[ends, 5] == 1).all()
    assert table[~ends, 5].max() < 0.72


def test_descriptors_ignore_rigid_motion(protein):
    assert_invariant(atom_descriptors, protein, 1e-5)


def test_atom_features_ignore_rigid_motion(protein, encoder):
    with torch.no_grad():
        assert_invariant(lambda p: encoder.surroundings(p).atoms, protein, 1e-4)


def test_features_of_points_ignore_rigid_motion_of_the_whole(protein, encoder):
    def at_surface(moved):
        return encoder(moved.points, moved, encoder.surroundings(moved))

    with torch.no_grad():
        assert_invariant(at_surface, protein, 1e-4)


def test_the_motion_check_fails_on_features_that_see_directions(protein, encoder):
    class Crooked(ContinuousFilter):
        def forward(self, around, features):
            return super().forward(around, features) + self.shift

    crooked = Crooked(8)
    with torch.no_grad(), pytest.raises(AssertionError, match="changes the result"):

        def broken(moved):
            crooked.shift = moved.points[:, :1]
            gathered = neighbourhood(moved.points, moved, NEIGHBOURS, REACH)
            return crooked(gathered, encoder.surroundings(moved).atoms)

        assert_invariant(broken, protein, 1e-4)


def test_order_of_atoms_changes_nothing(protein, encoder):
    order = torch.randperm(len(protein.atom_positions), generator=torch.Generator().manual_seed(1))
    other, x = shuffled(protein, order), around(protein)
    with torch.no_grad():
        atoms, mixed = encoder.surroundings(protein), encoder.surroundings(other)
        torch.testing.assert_close(mixed.atoms, atoms.atoms[order], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(
            encoder(x, other, mixed), encoder(x, protein, atoms), atol=1e-5, rtol=1e-4
        )


def test_remembered_neighbourhoods_belong_to_their_protein(protein, encoder):
    other = posed_chain(n_residues=12)
    with torch.no_grad():
        first, second, again = (encoder.surroundings(p).atoms for p in (protein, other, protein))
    assert torch.equal(first, again)
    assert len(second) == len(other.atom_positions)


def test_envelope_ends_at_the_first_atom_left_out_or_at_the_reach(protein):
    x = around(protein)
    near = neighbourhood(x, protein, NEIGHBOURS, REACH)
    distances = torch.cdist(x.double(), protein.atom_positions.double()).sort().values
    end = distances[:, NEIGHBOURS : NEIGHBOURS + 1].clamp(max=REACH)
    expected = (1 - (distances[:, :NEIGHBOURS] / end).clamp(max=1).square()) ** 3
    assert (near.envelope - expected).abs().max() < 1e-4
    far = neighbourhood(x + 100.0, protein, NEIGHBOURS, REACH)
    assert (far.envelope == 0).all()


def test_basis_peaks_at_the_gap_to_each_atom(protein):
    x = around(protein)
    near = neighbourhood(x, protein, NEIGHBOURS, REACH)
    gap = (x[:, None] - protein.atom_positions[near.index]).norm(dim=-1)
    gap = gap - protein.atom_radii[near.index]
    centers = torch.linspace(-2.0, 6.5, 20)
    inside = (gap > -2) & (gap < 6.5)
    peak = centers[near.basis.argmax(dim=-1)]
    assert inside.sum() > 100
    assert (peak - gap)[inside].abs().max() <= 8.5 / 19 / 2 + 1e-4


def test_gathered_atoms_change_smoothly_along_a_path(protein):
    torch.manual_seed(0)
    gather, h = ContinuousFilter(4).double(), torch.randn(len(protein.atom_positions), 4).double()
    start, end = around(protein, 2, dtype=torch.float64)
    path = start + torch.linspace(0, 1, 4001, dtype=torch.float64)[:, None] * (end - start)
    with torch.no_grad():
        values = gather(neighbourhood(path, in_double(protein), NEIGHBOURS, REACH), h)
    jumps = values.diff(dim=0).abs()
    assert jumps.max() < 0.01 * float(values.max() - values.min())


def test_far_atoms_are_not_heard(protein):
    torch.manual_seed(0)
    gather, h = ContinuousFilter(4), torch.randn(len(protein.atom_positions), 4)
    x = around(protein, 5)
    far = torch.cdist(x, protein.atom_positions).min(dim=0).values > REACH
    louder = torch.where(far[:, None], h + 100.0, h)
    near = neighbourhood(x, protein, NEIGHBOURS, REACH)
    assert far.any()
    with torch.no_grad():
        assert torch.equal(gather(near, h), gather(near, louder))


def test_side_chain_middles_are_centroids_and_fall_back_to_the_backbone(protein):
    bare = replace(protein, atom_depths=protein.atom_depths.masked_fill(
        protein.atom_residues == 3, 0
    ))  # fmt: skip
    middles = side_chain_middles(bare)
    atoms = protein.atom_positions.reshape(-1, len(ATOMS), 3)
    expected = atoms[:, 4:].mean(dim=1)
    expected[3] = protein.residue_positions[3]
    torch.testing.assert_close(middles, expected)


def test_residues_beyond_their_reach_say_nothing(protein):
    torch.manual_seed(0)
    gather, features = ResidueGather(4, 6), torch.randn(len(protein.residue_positions), 4)
    x = around(protein, 6)
    with torch.no_grad():
        residues = (protein.residue_positions, side_chain_middles(protein), features)
        assert gather(x, *residues).abs().min() > 0
        assert (gather(x + 200.0, *residues) == 0).all()


def test_features_have_the_derivative_of_finite_differences(protein):
    torch.manual_seed(0)
    double = in_double(protein)
    encoder = stir(LocalEncoder(8, NEIGHBOURS, REACH)).double()
    with torch.no_grad():
        atoms = encoder.surroundings(double)
    x = around(protein, 6, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: encoder(x, double, atoms), x, atol=1e-6)


@pytest.mark.parametrize("at", ["atom", "residue", "cutoff"])
def test_second_derivatives_are_finite_at_special_points(protein, at):
    torch.manual_seed(0)
    double = in_double(protein)
    encoder = stir(LocalEncoder(8, NEIGHBOURS, REACH)).double()
    outermost = double.atom_positions[:, 0].argmax()
    x = {
        "atom": double.atom_positions[:3],
        "residue": side_chain_middles(double)[:3],
        "cutoff": double.atom_positions[outermost][None] + torch.tensor([[REACH, 0.0, 0.0]]),
    }[at].clone().requires_grad_()  # fmt: skip
    atoms = encoder.surroundings(double)
    (slope,) = torch.autograd.grad(encoder(x, double, atoms).sum(), x, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.square().sum(), x)
    assert torch.isfinite(slope).all()
    assert torch.isfinite(curvature).all()


@pytest.mark.parametrize("n_residues", [1, 2, 3])
def test_tiny_molecules_have_features(n_residues, encoder):
    protein = posed_chain(n_residues=n_residues)
    with torch.no_grad():
        values = encoder(around(protein, 4), protein, encoder.surroundings(protein))
    assert values.shape == (4, 16)
    assert torch.isfinite(values).all()


def test_a_single_atom_has_features(protein, encoder):
    alone = replace(
        protein,
        residue_positions=protein.residue_positions[:1],
        residue_kinds=protein.residue_kinds[:1],
        atom_positions=protein.atom_positions[1:2],
        atom_radii=protein.atom_radii[1:2],
        atom_depths=protein.atom_depths[1:2],
        atom_residues=protein.atom_residues[1:2],
    )
    with torch.no_grad():
        assert torch.isfinite(encoder(around(alone, 4), alone, encoder.surroundings(alone))).all()
