"""Noisy top-k choice of experts."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from moedsr_core.errors import InputError


class Gate(nn.Module):
    """Noisy top-k gate ``Softmax(TopK(W_g h + ε·Softplus(W_noise h), N_K))`` (MoE-DSR Eq. 5).

    Weights sum to one and exactly ``n_selected`` are non-zero. ε ~ N(0, 1), drawn from torch's
    default generator, and only in training mode.
    """

    def __init__(self, phi_p: int, n_experts: int, n_selected: int) -> None:
        super().__init__()
        if not 1 <= n_selected <= n_experts:
            raise InputError(
                f"a gate selects between 1 and all {n_experts} experts, got {n_selected}"
            )
        self.n_selected = n_selected
        self.choice = nn.Linear(phi_p, n_experts, bias=False)
        self.noise = nn.Linear(phi_p, n_experts, bias=False)

    def forward(self, h_p: Float[Tensor, "*batch phi_p"]) -> Float[Tensor, "*batch experts"]:
        """Weight of each expert for each protein descriptor."""
        logits = self.choice(h_p)
        if self.training:
            width = nn.functional.softplus(self.noise(h_p))
            logits = logits + torch.randn_like(logits) * width
        top = logits.topk(self.n_selected, dim=-1)
        weights = torch.zeros_like(logits)
        return weights.scatter(-1, top.indices, torch.softmax(top.values, dim=-1))
