"""The backbones by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from moedsr_core.models.router.backbones.dmasif import DMaSIF
from moedsr_core.models.router.backbones.pointcnn import pointcnn
from moedsr_core.models.router.backbones.pointmlp import pointmlp
from moedsr_core.models.router.backbones.pointnet2 import pointnet2
from moedsr_core.models.router.backbones.pointtransformer import pointtransformer
from moedsr_core.models.router.backbones.pointwisecnn import PointwiseCNN
from moedsr_core.models.router.backbones.pyramid import BackboneSizes

BACKBONES: dict[str, Callable[[BackboneSizes], nn.Module]] = {
    "pointnet2": pointnet2,
    "pointcnn": pointcnn,
    "pointwisecnn": PointwiseCNN,
    "pointtransformer": pointtransformer,
    "pointmlp": pointmlp,
    "dmasif": DMaSIF,
}
"""Makers of what may replace the Q-MPNN: ``(features, points, normals) -> features``."""
