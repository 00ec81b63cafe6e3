"""What `moedsr-anchored` learns: where the surface can be at later times, near the first one."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from moedsr_core.models.anchored import AnchoredMoEDSR
from moedsr_core.models.base import Prepared, ProteinCode

CLIP = 3.0
"""Signed distances beyond this carry no information about where the surface is [Å]."""
_NEAR = 1.5
"""Width of the weight that favours points near the first surface [Å]."""


def motion_loss(
    model: AnchoredMoEDSR,
    code: ProteinCode,
    prepared: Prepared,
    distances: Float[Tensor, "frames points"],
    times: Float[Tensor, " frames"],
    *,
    draws: int = 2,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """How far drawn motions are from what the frames do.

    Args:
        model: What draws them.
        code: The protein, encoded.
        prepared: Of the points, from ``model.prepare``.
        distances: Signed distance of the points to each frame's surface [Å].
        times: Model time of each frame.
        draws: Motions drawn for each frame, at least two.
        generator: Source of the draws; None takes torch's default one.

    Returns:
        ``score``: :func:`ranked_probability_score` of the signed distances, averaged over points
        and frames with more weight near the surface [Å]. Not differentiable: ``skill``, one
        minus the score over that of the static surface, whose score is its absolute error; and
        ``mean_skill``, the same for the absolute error of the mean over the draws.
    """
    start = prepared["start"].clamp(-CLIP, CLIP)
    weight = 0.1 + torch.exp(-0.5 * (start / _NEAR).square())
    weight = weight / weight.sum()
    z = torch.randn(len(times), draws, model.latent_size, generator=generator)
    drawn = model.draw(code, prepared, times, z.to(start)).clamp(-CLIP, CLIP)
    true = distances.clamp(-CLIP, CLIP)
    score = (ranked_probability_score(drawn, true) * weight).sum(dim=1).mean()
    static = ((true - start).abs() * weight).sum(dim=1).mean()
    mean = ((drawn.mean(dim=1) - true).abs() * weight).sum(dim=1).mean()
    return {
        "score": score,
        "skill": (1.0 - score / static).detach(),
        "mean_skill": (1.0 - mean / static).detach(),
    }


def ranked_probability_score(
    drawn: Float[Tensor, "frames draws points"], true: Float[Tensor, "frames points"]
) -> Float[Tensor, "frames points"]:
    """Continuous ranked probability score ``E|X − y| − E|X − X'|/2`` from a few draws X.

    Unbiased for any number of draws, and least where they have the distribution of the truth
    (Gneiting & Raftery 2007, doi:10.1198/016214506000001437, Eq. 21).
    """
    draws = drawn.shape[1]
    error = (drawn - true[:, None]).abs().mean(dim=1)
    apart = (drawn[:, :, None] - drawn[:, None]).abs().sum(dim=(1, 2)) / (draws * (draws - 1))
    return error - 0.5 * apart
