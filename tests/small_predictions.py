"""Options and a model with which a prediction takes a second."""

from __future__ import annotations

from dataclasses import replace

import torch
from moving_protein import growing

from moedsr_core.models.anchored import AnchoredMoEDSR
from moedsr_core.models.anchored_config import AnchoredConfig
from moedsr_core.models.registry import LoadedModel
from moedsr_core.predict import PredictOptions

OPTIONS = PredictOptions(frames=5, device="cpu", latent="typical", n_points=200)
COARSE = replace(OPTIONS, frames=3, spacing=1.0, latent="sample")


def anchored(seed: int = 0) -> LoadedModel:
    """The default architecture with random weights that move the surface."""
    torch.manual_seed(seed)
    model = AnchoredMoEDSR(AnchoredConfig(width=16, depth=1, local_channels=16)).eval()
    for expert in model.experts:
        torch.nn.init.normal_(expert[-1].weight, 0, 0.1)
    return growing(model)
