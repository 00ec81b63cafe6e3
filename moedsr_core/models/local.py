"""What the atoms around a point of space say about it.

Everything here is invariant: it depends on distances, atom and residue kinds, and on how
densely and how flexibly the neighbourhood is built.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor, nn

from moedsr_core.chemistry import RESIDUE_KINDS
from moedsr_core.models.base import ProteinInput
from moedsr_core.models.elastic_network import network_fluctuation
from moedsr_core.models.router.surface_graph import cutoff_envelope, nearest_by_tree

_DEPTHS = 8
_RESIDUE_CENTERS = tuple(0.8 * k for k in range(1, 17))
_RESIDUE_REACH = 14.0
"""How far a point looks for side chains [Å]."""
_CONTACT_RADII = (5.0, 8.0, 12.0)
"""Radii within which each atom's neighbours are counted [Å]."""
_CONTACT_MEANS, _CONTACT_SPREADS = (2.9, 3.9, 4.9), (0.35, 0.45, 0.5)
"""Mean and spread of the logarithm of those counts over the training proteins; rounded."""


def atom_descriptors(protein: ProteinInput) -> Float[Tensor, "atoms features"]:
    """Flexibility and packing of each atom's surroundings.

    Columns: elastic-network fluctuation of its residue; contact numbers at 5, 8 and 12 Å
    (logarithm, standardised); bonds to the tip of its side chain; closeness to a chain end;
    radius; one-hot side-chain depth.
    """
    positions = protein.atom_positions.cpu().numpy()
    residues, depths = protein.atom_residues.cpu().numpy(), protein.atom_depths.cpu().numpy()
    tree = cKDTree(positions)
    columns = [network_fluctuation(protein.residue_positions.cpu().numpy())[residues]]
    for radius, mean, spread in zip(_CONTACT_RADII, _CONTACT_MEANS, _CONTACT_SPREADS, strict=True):
        counts = tree.query_ball_point(positions, radius, return_length=True)
        columns.append((np.log(counts) - mean) / spread)
    tips = np.zeros(residues.max() + 1)
    np.maximum.at(tips, residues, depths)
    columns.append((tips[residues] - depths) / 3.0)
    columns.append(np.exp(-np.minimum(residues, residues.max() - residues) / 3.0))
    columns.append((protein.atom_radii.cpu().numpy() - 1.65) / 0.1)
    one_hot = np.eye(_DEPTHS)[np.minimum(depths, _DEPTHS - 1)]
    table = np.concatenate([np.stack(columns, axis=1), one_hot], axis=1)
    return torch.tensor(table, dtype=torch.float32, device=protein.atom_positions.device)


ATOM_FEATURES = 4 + 3 + _DEPTHS


@dataclass(frozen=True)
class Surroundings:
    """What a protein offers to every point near it.

    Attributes:
        atoms: Features of the atoms.
        residues: Means over the atoms of each residue.
        tips: Middle of each residue's side chain [Å].
    """

    atoms: Float[Tensor, "atoms channels"]
    residues: Float[Tensor, "residues channels"]
    tips: Float[Tensor, "residues 3"]


@dataclass(frozen=True)
class Neighbourhood:
    """Atoms around points.

    Attributes:
        index: The atoms, nearest first.
        basis: Gaussians in the gap between the point and each atom's van der Waals sphere.
        envelope: Smooth weight that ends at the first atom left out, or at the reach.
    """

    index: Int[Tensor, "n k"]
    basis: Float[Tensor, "n k 20"]
    envelope: Float[Tensor, "n k"]


def neighbourhood(
    x: Float[Tensor, "n 3"], protein: ProteinInput, neighbours: int, reach: float
) -> Neighbourhood:
    """Atoms within ``reach`` [Å] of points of the canonical pose, the nearest ones only.

    Differentiable in ``x``.
    """
    positions = protein.atom_positions
    k = min(neighbours, max(len(positions) - 1, 1))
    index = nearest_by_tree(x, positions, min(k + 1, len(positions)))
    distance = _distances(x, positions[index])
    end = torch.full_like(distance[:, :1], reach)
    if distance.shape[1] > k:
        end = torch.minimum(end, distance[:, k:])
    index, distance = index[:, :k], distance[:, :k]
    gap = distance - protein.atom_radii[index]
    centers = torch.linspace(-2.0, 6.5, 20, device=x.device)
    basis = torch.exp(-2.0 * (gap[..., None] - centers).square())
    return Neighbourhood(index, basis, cutoff_envelope(distance / end))


class ContinuousFilter(nn.Module):
    """Sum of neighbours' features, each multiplied by a learned function of its distance.

    ``y_i = Σ_j h_j ⊙ W(d_ij) c(d_ij)`` (Schütt et al. 2017, doi:10.48550/arXiv.1706.08566, Eq. 2).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.filter = nn.Linear(20, channels)

    def forward(
        self, around: Neighbourhood, features: Float[Tensor, "atoms channels"]
    ) -> Float[Tensor, "n channels"]:
        """Gather atoms' features at points."""
        weight = self.filter(around.basis) * around.envelope[..., None]
        return (features[around.index] * weight).sum(dim=1)


class ResidueGather(nn.Module):
    """What the residues near a point could do there, whose side chains may reach or leave it.

    Each residue counts by its kind, its surroundings, and the distances of the point to its Cα
    and to the middle of its side chain.
    """

    centers: Tensor

    def __init__(self, channels: int, neighbours: int) -> None:
        super().__init__()
        self.neighbours = neighbours
        self.filter = _mlp(2 * len(_RESIDUE_CENTERS), channels, channels)
        self.register_buffer("centers", torch.tensor(_RESIDUE_CENTERS))

    def forward(
        self,
        x: Float[Tensor, "n 3"],
        anchors: Float[Tensor, "residues 3"],
        tips: Float[Tensor, "residues 3"],
        features: Float[Tensor, "residues channels"],
    ) -> Float[Tensor, "n channels"]:
        """Gather residues' features at points of the canonical pose [Å].

        Args:
            x: The points [Å].
            anchors: Cα of each residue [Å].
            tips: Middle of each residue's side chain [Å].
            features: Features of each residue.
        """
        k = min(self.neighbours, len(anchors))
        index = nearest_by_tree(x, tips, min(k + 1, len(anchors)))
        to_tip = _distances(x, tips[index])
        end = torch.full_like(to_tip[:, :1], _RESIDUE_REACH)
        if to_tip.shape[1] > k:
            end = torch.minimum(end, to_tip[:, k:])
        index, to_tip = index[:, :k], to_tip[:, :k]
        basis = [
            torch.exp(-0.5 * (distance[..., None] - self.centers).square())
            for distance in (_distances(x, anchors[index]), to_tip)
        ]
        fade = cutoff_envelope(to_tip / end)[..., None]
        return (features[index] * self.filter(torch.cat(basis, dim=-1)) * fade).sum(dim=1)


def side_chain_middles(protein: ProteinInput) -> Float[Tensor, "residues 3"]:
    """Centroid of each residue's side chain [Å]; its Cα where it has none."""
    side = protein.atom_depths >= 2
    residues = protein.atom_residues[side]
    total = torch.zeros_like(protein.residue_positions)
    total = total.index_add(0, residues, protein.atom_positions[side])
    counts = torch.bincount(residues, minlength=len(total))[:, None]
    return torch.where(counts > 0, total / counts.clamp_min(1), protein.residue_positions)


class LocalEncoder(nn.Module):
    """Features of any point from the atoms and residues around it.

    Atoms start from their descriptors and residue kind, hear their neighbours in two rounds, and
    are gathered at the point, together with the means over the residues near it.
    """

    def __init__(self, channels: int, neighbours: int, reach: float) -> None:
        super().__init__()
        self.neighbours, self.reach = neighbours, reach
        self.residue = nn.Embedding(len(RESIDUE_KINDS), 16)
        self.embed = _mlp(ATOM_FEATURES + 16, channels, channels)
        self.rounds = nn.ModuleList(ContinuousFilter(channels) for _ in range(2))
        self.updates = nn.ModuleList(_mlp(channels, channels, channels) for _ in range(2))
        self.gather = ContinuousFilter(channels)
        self.residues = ResidueGather(channels, neighbours)
        self._known: WeakKeyDictionary[ProteinInput, tuple[Tensor, Neighbourhood]]
        self._known = WeakKeyDictionary()

    def surroundings(self, protein: ProteinInput) -> Surroundings:
        """Features of the atoms and residues, once per protein."""
        if protein not in self._known:
            x = protein.atom_positions
            around = neighbourhood(x, protein, self.neighbours, self.reach)
            self._known[protein] = (atom_descriptors(protein), around)
        descriptors, around = self._known[protein]
        kinds = self.residue(protein.residue_kinds[protein.atom_residues])
        h = self.embed(torch.cat([descriptors, kinds], dim=1))
        for gather, update in zip(self.rounds, self.updates, strict=True):
            h = h + update(gather(around, h))
        total = torch.zeros_like(h[:1]).repeat(len(protein.residue_positions), 1)
        total = total.index_add(0, protein.atom_residues, h)
        counts = torch.bincount(protein.atom_residues, minlength=len(total))[:, None]
        return Surroundings(h, total / counts, side_chain_middles(protein))

    def forward(
        self, x: Float[Tensor, "n 3"], protein: ProteinInput, given: Surroundings
    ) -> Float[Tensor, "n features"]:
        """Features at points of the canonical pose [Å], twice as many as the atoms have."""
        around = neighbourhood(x, protein, self.neighbours, self.reach)
        residues = self.residues(x, protein.residue_positions, given.tips, given.residues)
        return torch.cat([self.gather(around, given.atoms), residues], dim=1)


def _distances(x: Float[Tensor, "n 3"], others: Float[Tensor, "n k 3"]) -> Float[Tensor, "n k"]:
    """Distances [Å] with finite derivatives where points coincide."""
    return ((x[:, None] - others).square().sum(dim=-1) + 1e-8).sqrt()


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs))
