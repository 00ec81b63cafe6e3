"""Router backbones side by side: size, seconds for one protein, and what a rigid motion changes.

Run ``python benchmarks/backbones.py``; ``--points 2000 --repeats 7`` are the defaults. Backbones
take turns, so that other work on the machine meets all of them alike.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from moedsr_core.models.base import ProteinInput
from moedsr_core.models.router.backbones.choice import BACKBONES
from moedsr_core.models.router.router import QMPNN_NAME, Router, RouterConfig

SEED = 0
SPREAD_OVER = 5
"""Blobs over which the spread of h_p is taken."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One backbone in the router's default configuration."""

    parameters: int
    """Of the backbone alone."""
    forward: list[float]
    """Seconds of routing one protein, by round."""
    training: list[float]
    """Seconds of routing it and of the gradient of all weights."""
    changes: dict[str, float]
    """Largest change of h_p under each motion, in units of its spread over blobs."""


def blob(points: int, residues: int, seed: int) -> ProteinInput:
    """A lopsided blob as large as a protein, with residues inside [Å]."""
    generator = torch.Generator().manual_seed(seed)
    u = torch.nn.functional.normalize(torch.randn(points, 3, generator=generator), dim=1)
    waves = torch.randn(6, 3, generator=generator)
    size = 3.0 * residues ** (1 / 3)
    radius = size * (1.0 + 0.06 * torch.sin(3.0 * u @ waves.T).sum(dim=1, keepdim=True))
    inside = 0.5 * size * torch.randn(residues, 3, generator=generator)
    return ProteinInput(
        points=u * radius,
        normals=u,
        residue_positions=inside,
        residue_kinds=torch.randint(0, 20, (residues,), generator=generator),
        atom_positions=inside,
        atom_radii=torch.full((residues,), 1.7),
        atom_depths=torch.ones(residues, dtype=torch.int64),
        atom_residues=torch.arange(residues),
        surface=None,
        scale=2.0 * size,
    )


def moved(protein: ProteinInput, motion: Float[Tensor, "3 3"], shift: float) -> ProteinInput:
    """The same blob after ``x -> motion @ x + shift``."""
    return replace(
        protein,
        points=protein.points @ motion.T + shift,
        normals=protein.normals @ motion.T,
        residue_positions=protein.residue_positions @ motion.T + shift,
    )


def motions() -> dict[str, tuple[Tensor, float]]:
    """A translation, a rotation and a reflection, by name."""
    c, s = math.cos(1.0), math.sin(1.0)
    turn = torch.tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    turn = turn @ turn[[2, 0, 1]][:, [2, 0, 1]]
    return {
        "translation": (torch.eye(3), 30.0),
        "rotation": (turn, 0.0),
        "reflection": (torch.diag(torch.tensor([-1.0, 1.0, 1.0])), 0.0),
    }


def make_router(name: str, config: RouterConfig) -> Router:
    """An untrained router, the same every time."""
    torch.manual_seed(SEED)
    return Router(replace(config, backbone=name))


def rounds(
    config: RouterConfig, protein: ProteinInput, repeats: int
) -> Iterator[dict[str, tuple[float, float]]]:
    """Seconds without and with gradients of every backbone, round by round, warmed up."""
    routers = {name: make_router(name, config) for name in (QMPNN_NAME, *BACKBONES)}
    for number in range(repeats + 1):
        taken = {
            name: (_seconds(router, protein, False), _seconds(router, protein, True))
            for name, router in routers.items()
        }
        if number:
            yield taken


def _seconds(router: Router, protein: ProteinInput, gradients: bool) -> float:
    start = time.perf_counter()
    with torch.set_grad_enabled(gradients):
        descriptor = router(protein)[1]
    if gradients:
        router.zero_grad()
        descriptor.sum().backward()
    return time.perf_counter() - start


@torch.no_grad()
def changes(router: Callable, points: int, residues: int) -> dict[str, float]:
    """Largest change of h_p under each motion, in units of its spread over blobs."""
    blobs = [blob(points, residues, SEED + k) for k in range(SPREAD_OVER)]
    descriptors = torch.stack([router(one)[1] for one in blobs])
    spread = descriptors.std(dim=0).max()
    return {
        name: float((router(moved(blobs[0], *motion))[1] - descriptors[0]).abs().max() / spread)
        for name, motion in motions().items()
    }


def measure(
    points: int = 2000, residues: int = 150, repeats: int = 7, config: RouterConfig | None = None
) -> dict[str, Measurement]:
    """Everything about every backbone, by name; the Q-MPNN first."""
    config = config or RouterConfig()
    taken = list(rounds(config, blob(points, residues, SEED), repeats))
    found = {}
    for name in taken[0]:
        router = make_router(name, config)
        found[name] = Measurement(
            parameters=sum(p.numel() for p in router.get_submodule(name).parameters()),
            forward=[one[name][0] for one in taken],
            training=[one[name][1] for one in taken],
            changes=changes(router, points, residues),
        )
    return found


def ratio(ours: list[float], reference: list[float]) -> str:
    """Median of the ratios round by round, and their smallest and largest."""
    ratios = np.array(ours) / np.array(reference)
    return f"{np.median(ratios):.2f} ({ratios.min():.2f}-{ratios.max():.2f})"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=2000)
    parser.add_argument("--residues", type=int, default=150)
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, seed {SEED}, "
        f"{args.points} points, {args.residues} residues, {args.repeats} rounds"
    )
    found = measure(args.points, args.residues, args.repeats)
    print("| backbone | parameters | s | ratio | s, training | ratio | translation | rotation "
          "| reflection |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    first = found[QMPNN_NAME]
    for name, m in found.items():
        motion = " | ".join(f"{change:.1g}" for change in m.changes.values())
        print(
            f"| {name} | {m.parameters} | {np.median(m.forward):.3f} "
            f"| {ratio(m.forward, first.forward)} | {np.median(m.training):.3f} "
            f"| {ratio(m.training, first.training)} | {motion} |"
        )


if __name__ == "__main__":
    main()
