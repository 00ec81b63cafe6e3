"""What `moedsr-anchored` learns: signed distances of later frames near the first surface."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from moedsr_core.models.anchored import AnchoredMoEDSR
from moedsr_core.models.base import Prepared

CLIP = 3.0
"""Signed distances beyond this carry no information about where the surface is [Å]."""
_NEAR = 1.5
"""Width of the weight that favours points near the first surface [Å]."""
_FLOOR = 0.1
"""Smallest fluctuation the likelihood resolves [Å]."""


def motion_loss(
    model: AnchoredMoEDSR,
    prepared: Prepared,
    distances: Float[Tensor, "frames points"],
    times: Float[Tensor, " frames"],
) -> dict[str, Tensor]:
    """How far the typical motion and its spread are from what the frames do.

    ``typical`` is the absolute error of the typical change, whose minimum is the median over
    frames, that is the majority shape. ``spread`` is the Gaussian negative log-likelihood of each
    frame's deviation from the mean over frames, so that σ learns the fluctuation alone and not
    the error of the typical shape.

    Args:
        model: For its time weights.
        prepared: Of the points, from ``model.prepare``.
        distances: Signed distance of the points to each frame's surface [Å].
        times: Model time of each frame.

    Returns:
        Named, unweighted terms, and ``skill``: the share of the static surface's absolute error
        that the typical motion removes (not differentiable).
    """
    start = prepared["start"].clamp(-CLIP, CLIP)
    weight = 0.1 + torch.exp(-0.5 * (start / _NEAR).square())
    weight = weight / weight.sum()
    rise, share = model.time_weights(times)
    true = distances.clamp(-CLIP, CLIP) - start
    typical = rise[:, None] * (share @ prepared["mean"].T)
    error = (true - typical).abs()
    variance = (rise[:, None] * (share @ prepared["spread"].T)).square() + _FLOOR**2
    frames = len(times)
    deviation = (true - true.mean(dim=0)).square() * frames / max(frames - 1, 1)
    likelihood = 0.5 * (variance.log() + deviation / variance)
    static = (weight * true.abs()).sum(dim=1).mean()
    typical_error = (weight * error).sum(dim=1).mean()
    return {
        "typical": typical_error,
        "spread": (weight * likelihood).sum(dim=1).mean(),
        "skill": (1.0 - typical_error / static).detach(),
    }
