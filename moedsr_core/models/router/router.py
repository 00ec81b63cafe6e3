"""From the input structure to its descriptor: GeoAN, Q-MPNN or another backbone, pooling."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from moedsr_core.choices import check_choice
from moedsr_core.errors import InputError
from moedsr_core.models.base import ProteinInput
from moedsr_core.models.router.backbones.choice import BACKBONES
from moedsr_core.models.router.backbones.pyramid import BackboneSizes
from moedsr_core.models.router.geoan import GeoAN
from moedsr_core.models.router.qmpnn import QMPNN
from moedsr_core.models.router.surface_graph import (
    farthest_points,
    interpolate,
    smoothed_normals,
    surface_graph,
)

QMPNN_NAME = "qmpnn"
"""The paper's own backbone among the names of ``RouterConfig.backbone``."""


@dataclass(frozen=True, kw_only=True)
class RouterConfig:
    """Geometric surface cloud network (MoE-DSR, Table 2 "Router", and what it leaves open)."""

    phi_s: int = 32
    """Chemical features of a point φ_s, and channels of each degree in the Q-MPNN."""
    phi_r: int = 32
    """Length of a residue embedding φ_R."""
    phi_p: int = 32
    """Length of the protein descriptor φ_P; also the steps of the radial basis."""
    zeta: int = 16
    """Nearest residues of a point ζ."""
    sigma_n: float = 9.0
    """Width of the Gaussian that smooths the normals [Å]."""
    sigma_d: float = 9.0
    """Quasi-geodesic reach of a neighbourhood [Å] (text above Eq. 4)."""
    gamma: float = 10.0
    """Sharpness of the Gaussian radial basis [Å⁻²]."""
    rbf_reach: float = 30.0
    """Last centre of the radial basis [Å]."""
    l_max: int = 2
    """Highest degree in the tensor products."""
    layers: int = 2
    """Rounds of messages L1; the paper gives no number, this is ours."""
    max_points: int = 1024
    """Most points that take part in messages, spread by farthest-point choice; ours. About the
    number at which a window of 9 Å holds some 30 points of a 150-residue protein."""
    max_neighbours: int = 32
    """Most neighbours of a point; ours, for a window over a dense cloud holds thousands."""
    backbone: str = QMPNN_NAME
    """What stands between the chemical features and the pooling: ``qmpnn``, or for the paper's
    Table 4 ``pointnet2``, ``pointcnn``, ``pointwisecnn``, ``pointtransformer``, ``pointmlp`` or
    ``dmasif``. The paper says "PointCNN", which is Li et al. 2018 (``pointcnn``), and cites Hua et
    al. 2018, which is another network (``pointwisecnn``)."""

    def __post_init__(self) -> None:
        """Refuse sizes that make no network."""
        for name in ("phi_s", "phi_r", "phi_p", "zeta", "l_max", "layers", "max_neighbours"):
            if getattr(self, name) < 1:
                raise InputError(f"router.{name} must be at least 1, got {getattr(self, name)}")
        for name in ("sigma_n", "sigma_d", "gamma", "rbf_reach"):
            if not getattr(self, name) > 0:
                raise InputError(f"router.{name} must be positive, got {getattr(self, name)}")
        if self.max_points < 2:
            raise InputError(f"router.max_points must be at least 2, got {self.max_points}")
        check_choice("router.backbone", self.backbone, {QMPNN_NAME: QMPNN, **BACKBONES})


class Router(nn.Module):
    """Features of a protein and of its surface points.

    Neither moves with the molecule or depends on the order of its points. With the Q-MPNN neither
    turns with it, and being built from features of natural parity, neither tells a molecule from
    its mirror image. For the other backbones see ``docs/backbones.md``.
    """

    def __init__(self, config: RouterConfig) -> None:
        super().__init__()
        self.config = config
        self.geoan = GeoAN(config.phi_s, config.phi_r, config.zeta)
        self.add_module(config.backbone, make_backbone(config))
        self.channels = config.phi_s * (config.l_max + 1)
        """Features of each surface point."""
        self.readout = nn.Sequential(
            nn.Linear(self.channels, self.channels),
            nn.SiLU(),
            nn.Linear(self.channels, config.phi_p),
        )

    def forward(
        self, protein: ProteinInput
    ) -> tuple[Float[Tensor, "points channels"], Float[Tensor, " phi_p"]]:
        """Features of every surface point, and the descriptor h_p.

        Where the cloud holds more than ``max_points``, messages run over a spread choice of
        them and the other points get the inverse-distance mean of their three nearest.

        Raises:
            InputError: If the protein has fewer than two surface points, or no residue.
        """
        points, config = protein.points, self.config
        if len(points) < 2:
            raise InputError(f"the router needs at least two surface points, got {len(points)}")
        if len(points) > config.max_points:
            subset = farthest_points(points, config.max_points)
        else:
            subset = torch.arange(len(points), device=points.device)
        x = points[subset]
        chemistry = self.geoan(x, protein.residue_positions, protein.residue_kinds)
        features = self._propagate(chemistry, protein, subset)
        descriptor = self.readout(features.max(dim=0).values)
        if len(points) > config.max_points:
            features = interpolate(features, x, points)
        return features, descriptor

    def _propagate(
        self,
        chemistry: Float[Tensor, "subset phi_s"],
        protein: ProteinInput,
        subset: Int[Tensor, " subset"],
    ) -> Float[Tensor, "subset channels"]:
        config, backbone = self.config, self.get_submodule(self.config.backbone)
        x = protein.points[subset]
        if config.backbone != QMPNN_NAME:
            return backbone(chemistry, x, protein.normals[subset])
        normals = smoothed_normals(protein.points, protein.normals, config.sigma_n)[subset]
        graph = surface_graph(x, normals, config.sigma_d, config.max_neighbours)
        return backbone(chemistry, graph)


def make_backbone(config: RouterConfig) -> nn.Module:
    """Backbone that a router's configuration names; all give as many features as the Q-MPNN."""
    if config.backbone == QMPNN_NAME:
        return QMPNN(
            config.phi_s, config.l_max, config.layers, intervals=config.phi_p,
            gamma=config.gamma, reach=config.rbf_reach, max_neighbours=config.max_neighbours,
        )  # fmt: skip
    sizes = BackboneSizes(
        inputs=config.phi_s, outputs=config.phi_s * (config.l_max + 1), layers=config.layers,
        reach=config.sigma_d, max_neighbours=config.max_neighbours,
    )  # fmt: skip
    return BACKBONES[config.backbone](sizes)
