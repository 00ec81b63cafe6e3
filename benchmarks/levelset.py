"""Level sets: evaluations as a share of the dense grid's, and seconds beside it.

Run ``python benchmarks/levelset.py``; ``--nodes 128 --frames 5 --repeats 3`` are the defaults.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from moedsr_core.levelset import Field, LevelSetExtractor, dense_mesh

HALF_WIDTH = 30.0
"""Half the width of the cube that is searched [Å]: Ω of a protein of 200 residues."""
SEED = 0


class BumpyBall:
    """A ball with bumps that travel over it, about as rough as a protein."""

    def __init__(self) -> None:
        self.evaluations = 0

    def prepare(self, points: Float[np.ndarray, "n 3"]) -> dict[str, Any]:
        """Distance from the ball, and the phases of the bumps."""
        x = torch.from_numpy(points)
        return {"ball": x.norm(dim=1) - 0.65 * HALF_WIDTH, "phases": x / 3.0}

    def values(self, rows: dict[str, Any], t: float) -> Float[np.ndarray, " n"]:
        """Ball and bumps of 1.5 Å."""
        self.evaluations += len(rows["ball"])
        return (rows["ball"] + 1.5 * torch.sin(rows["phases"] + t).prod(dim=1)).numpy()


class SmallNetwork(BumpyBall):
    """The same ball under a random network of 4 × 64, evaluated anew at every time."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(SEED)
        sizes = [(4, 64), (64, 64), (64, 64), (64, 1)]
        self._layers = [torch.randn(a, b, generator=generator) / a**0.5 for a, b in sizes]

    def prepare(self, points: Float[np.ndarray, "n 3"]) -> dict[str, Any]:
        """The points."""
        return {"x": torch.from_numpy(points).float()}

    def values(self, rows: dict[str, Any], t: float) -> Float[np.ndarray, " n"]:
        """Ball and network."""
        x = rows["x"]
        self.evaluations += len(x)
        h = torch.cat([x / 5.0, torch.full((len(x), 1), t)], dim=1)
        for layer in self._layers[:-1]:
            h = torch.tanh(h @ layer)
        return (x.norm(dim=1) - 0.65 * HALF_WIDTH + 2.0 * (h @ self._layers[-1])[:, 0]).numpy()


FIELDS: dict[str, Callable[[], Field]] = {"analytic": BumpyBall, "network": SmallNetwork}


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a movie cost."""

    share: float
    """Evaluations as a share of all nodes at all times."""
    first_share: float
    """The same for the first frame, which starts from nothing."""
    band_seconds: float
    """Median seconds of a frame after the first."""
    dense_seconds: float
    """Median seconds of a frame with every node evaluated."""
    same: bool
    """Whether the last frame is the dense one, vertex by vertex within 1e-3 Å."""


def measure(kind: str, nodes: int, frames: int, repeats: int = 1) -> Measurement:
    """Mesh a movie in the narrow band, and its last frame on the dense grid.

    Args:
        kind: Key of :data:`FIELDS`.
        nodes: Nodes along each axis.
        frames: Frames of the movie; at least two.
        repeats: Dense frames to take the median of.
    """
    box = ([-HALF_WIDTH] * 3, [HALF_WIDTH] * 3)
    extractor = LevelSetExtractor(FIELDS[kind](), box, 2 * HALF_WIDTH / (nodes - 1))
    seconds, shares = [], []
    for t in np.linspace(-1.0, -0.8, frames):
        start = time.perf_counter()
        mesh = extractor.marching_cubes(float(t))
        seconds.append(time.perf_counter() - start)
        shares.append(extractor.share_of_dense)
    dense_seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        dense = dense_mesh(FIELDS[kind](), -0.8, extractor.grid)
        dense_seconds.append(time.perf_counter() - start)
    same = dense.vertices.shape == mesh.vertices.shape and np.array_equal(dense.faces, mesh.faces)
    return Measurement(
        share=shares[-1],
        first_share=shares[0],
        band_seconds=float(np.median(seconds[1:])),
        dense_seconds=float(np.median(dense_seconds)),
        same=same and bool(np.abs(dense.vertices - mesh.vertices).max() < 1e-3),
    )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=128)
    parser.add_argument("--frames", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, seed {SEED}, "
        f"{args.nodes}³ nodes, {args.frames} frames"
    )
    print(f"{'field':<10}{'share':>8}{'first':>8}{'band s':>9}{'dense s':>9}  same mesh")
    for kind in FIELDS:
        m = measure(kind, args.nodes, args.frames, args.repeats)
        print(
            f"{kind:<10}{m.share:8.2%}{m.first_share:8.2%}{m.band_seconds:9.3f}"
            f"{m.dense_seconds:9.3f}  {m.same}"
        )


if __name__ == "__main__":
    main()
