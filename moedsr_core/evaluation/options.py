"""How a model is measured, and which side is taken where the papers contradict each other."""

from __future__ import annotations

from dataclasses import dataclass

from moedsr_core.choices import check_choice, check_number
from moedsr_core.evaluation.conventions import DISTANCES, OMEGAS

LATENTS = {
    "typical": "the model's own typical shape; z = 0 for models that define none",
    "mean": "the mean of the training trajectories' codes",
    "fit": "the code that best explains the first frame's surface",
}
"""Where the code z of an unseen protein comes from, which the papers leave open."""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """How a model is measured against a trajectory whose first frame is its input."""

    frames: int = 100
    """Later frames compared with, evenly spaced; all of them where there are fewer."""
    spacing: float = 1.0
    """Distance between the nodes that volumes are counted and meshes are made on [Å]. The papers
    name no grid; the released DSR code counts 128³ nodes over Ω, a spacing of 2/127 of its unit."""
    linear: bool = False
    """Also measure linear interpolation of the atoms between the first and the last frame."""
    latent: str = "typical"
    """Code of the typical shape: typical, mean or fit. Motions are drawn whatever this is."""
    draws: int = 0
    """Drawn shapes that fluctuation and occupancy are taken over, at least two motions; 0 means
    512, and 64 for models that run their network again for every frame."""
    seed: int = 0
    """Which motions are drawn, and which surface points the model sees."""
    omega: str = "fitted"
    """Length of a unit of Ω for chamfer_paper and chamfer_dsr_code. The papers say only that a
    protein fills [-1, 1]³: ``fitted`` is this project's pose, the largest coordinate plus 6 Å;
    ``dsr`` is the released DSR code's, 0.55 of the largest extent over all frames."""
    distances: str = "surface"
    """What Chamfer distances and normals are measured between. ``surface``: the surfaces
    themselves, the limit of infinitely many samples. ``samples``: 300,000 points on each, squared
    or not, and vertex normals, as the released DSR code does; slow, and it never gives 0."""
    device: str = "cpu"
    """Where the network runs: auto, cpu, mps, cuda or cuda:N."""

    def __post_init__(self) -> None:
        """Refuse values of the wrong kind or range."""
        check_number("frames", self.frames, 1, 100_000, whole=True)
        check_number("spacing", self.spacing, 0.2, 3.0)
        check_number("draws", self.draws, 0, 100_000, whole=True)
        check_number("seed", self.seed, 0, 2**63 - 1, whole=True)
        check_choice("latent", self.latent, LATENTS)
        check_choice("omega", self.omega, OMEGAS)
        check_choice("distances", self.distances, DISTANCES)
