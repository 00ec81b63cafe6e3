"""What `dsr` and `moedsr` learn: a signed distance from the points and normals of its surface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from moedsr_core.choices import check_choice
from moedsr_core.errors import InputError
from moedsr_core.frame import TimeMap
from moedsr_core.losses import (
    LossConfig,
    eikonal_term,
    latent_norm,
    manifold_terms,
    sample_space,
    total_loss,
)
from moedsr_core.model_field import on_device
from moedsr_core.models.base import ProteinCode, ProteinInput, SurfaceModel
from moedsr_core.models.codes import save_codes
from moedsr_core.models.inputs import describe
from moedsr_core.models.latent import TrajectoryCodes, fit_latent
from moedsr_core.models.registry import save_model
from moedsr_core.training.occupancy_probe import probe_iou
from moedsr_core.training.order import EpochOrder, Example
from moedsr_core.training.task import Rates, Task
from moedsr_core.training.trajectories import Trajectory
from moedsr_core.wording import counted

VALIDATIONS = ("frames", "proteins")
UNSEEN_CODES: dict[str, Callable[..., Tensor]] = {
    "zero": lambda task, code: torch.zeros_like(task.codes.mean),
    "mean": lambda task, code: task.codes.mean,
    "fit": lambda task, code: fit_latent(
        task.model,
        code,
        code.protein.points / code.protein.scale,
        code.protein.normals,
        generator=torch.Generator().manual_seed(0),
        loss=task.loss,
    ),
}
"""Code of a protein never seen, by name; the papers leave it undefined."""


@dataclass(frozen=True, kw_only=True)
class SurfaceConfig:
    """What one step sees, and how progress is measured."""

    batch: int = 1
    """Examples of a step. DSR's code makes one step for each frame. For `moedsr` the model's
    ``batch_size`` N_B, in proteins, stands instead."""
    frames_per_example: int = 1
    """Frames of one protein in an example; the papers do not say."""
    points: int = 0
    """Surface points of each frame and step; 0 takes all, as DSR's code does. Points off the
    surface come on top, as the loss's ``mixture`` says."""
    router_points: int = 2000
    """Points of the input surface that the router sees; as many as in prediction."""
    validate_on: str = "frames"
    """``frames``: the frames held out between training frames, with the trajectory's own code
    (DSR's interpolation). ``proteins``: those of the split's validation part, never trained on.
    Where there are none, the training frames themselves."""
    unseen_code: str = "zero"
    """Code z of a protein never seen, undefined in the papers: ``zero``, the ``mean`` of the
    training codes, or ``fit`` to the first frame's surface."""
    validation_frames: int = 4
    """Frames of each trajectory that are scored."""
    validation_points: int = 4096
    """Points at which inside and outside are compared in each of them."""

    def __post_init__(self) -> None:
        """Refuse unknown choices."""
        check_choice("surfaces.validate_on", self.validate_on, dict.fromkeys(VALIDATIONS))
        check_choice("surfaces.unseen_code", self.unseen_code, UNSEEN_CODES)
        for name in (
            "batch", "frames_per_example", "router_points", "validation_frames",
            "validation_points",
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise InputError(f"surfaces.{name} must be at least 1, got {getattr(self, name)}")
        if self.points < 0:
            raise InputError(f"surfaces.points must be 0 (all) or more, got {self.points}")


@dataclass(frozen=True)
class Case:
    """A trajectory to be scored on.

    Attributes:
        trajectory: Its true frames.
        protein: Its first frame, as the model sees it.
        code: Number of its own code; None where it was never trained on.
    """

    trajectory: Trajectory
    protein: ProteinInput
    code: int | None


class SurfaceTask(Task):
    """Implicit surfaces from points and normals, with one auto-decoded code per trajectory.

    An example is one protein at a few frames: L_SDF of MoE-DSR Eq. 6 (DSR Eq. 2 and 3) at the
    surface points of those frames and at points drawn from D around them.

    Args:
        model: `dsr` or `moedsr`, untrained.
        architecture: Its name in the registry.
        loss: Weights of the terms.
        code_scale: Spread of untrained codes.
        config: What a step sees.
        training: Trajectories that are learned from.
        validation: Trajectories that are scored, those of them that were learned from under the
            same name; ``training`` where empty.
        time: Time axis that the trained model is saved with.
        scale: Length of one unit of Ω [Å] where all trajectories share it.
        rates: Learning rates of model and codes.
        seed: Of the order of examples.
        device: Where everything is computed.
    """

    terms_logged = ("distance", "normal", "eikonal", "latent")
    scores = ("iou", "distance_A")

    def __init__(
        self,
        model: SurfaceModel,
        *,
        architecture: str,
        loss: LossConfig,
        code_scale: str,
        config: SurfaceConfig,
        training: list[Trajectory],
        validation: list[Trajectory],
        time: TimeMap,
        scale: float | None,
        rates: tuple[float, float],
        seed: int,
        device: torch.device,
    ) -> None:
        self.model, self.loss, self.config = model.to(device), loss, config
        self.codes = TrajectoryCodes(len(training), model.latent_size, code_scale).to(device)
        self.module = nn.ModuleDict({"model": self.model, "codes": self.codes})
        self._architecture, self._rates = architecture, rates
        self._time, self._scale = time, scale
        self._training, self._device = training, device
        self._proteins = [self._protein(t) for t in training]
        self.order = EpochOrder(
            [len(t.frames) for t in training], config.frames_per_example, config.batch, seed
        )
        self._cases = [self._case(t) for t in validation or training]
        self.n_validation = len(self._cases)

    def rates(self) -> Rates:
        """Those of the model and of the codes."""
        model, codes = self._rates
        return [(list(self.model.parameters()), model), (list(self.codes.parameters()), codes)]

    def encode(self, example: Example) -> ProteinCode:
        """Route the first frame."""
        return self.model.encode(self._proteins[example.protein])

    def terms(
        self, example: Example, code: ProteinCode, rng: np.random.Generator
    ) -> dict[str, Tensor]:
        """distance, normal, eikonal and latent, over all frames of the example."""
        trajectory = self._training[example.protein]
        z = self.codes(torch.tensor(example.protein, device=self._device))
        generator = torch.Generator(self._device).manual_seed(int(rng.integers(2**62)))
        surface, normals, space = [], [], []
        for frame in trajectory.frames[example.frames].tolist():
            cloud = trajectory.cloud(frame)
            rows = self._rows(len(cloud.points), rng)
            points, sigma = self._tensor(cloud.points[rows]), self._tensor(cloud.sigma(rows))
            surface.append(points)
            normals.append(self._tensor(cloud.normals[rows]))
            space.append(sample_space(points, sigma, generator, self.loss.mixture))
        times = self._tensor(trajectory.times[trajectory.frames[example.frames]])

        def at(parts: list[Tensor]) -> Callable[[Tensor], Tensor]:
            sizes = torch.tensor([len(part) for part in parts], device=self._device)
            t = times.repeat_interleave(sizes)
            return lambda x: self.model(code, x, t, z)

        terms = manifold_terms(at(surface), torch.cat(surface), torch.cat(normals))
        terms["eikonal"] = eikonal_term(at(space), torch.cat(space))
        terms["latent"] = latent_norm(z)
        return terms

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """``λ₁·L_SDF + λ₂·L_MoE`` (MoE-DSR, below Eq. 8)."""
        return total_loss(terms, self.loss)

    def validate(self, number: int) -> dict[str, float]:
        """IoU, and mean distance of the true surface from the predicted one [Å]."""
        case = self._cases[number]
        trajectory = case.trajectory
        with torch.no_grad():
            code = self.model.encode(case.protein)
        z = self._code_of(case, code)
        chosen = np.unique(
            np.linspace(0, len(trajectory.frames) - 1, self.config.validation_frames).round()
        ).astype(int)
        rows = [self._scores(trajectory, k, code, z) for k in trajectory.frames[chosen].tolist()]
        return {name: float(np.mean([row[name] for row in rows])) for name in self.scores}

    def export(self, folder: Path) -> None:
        """Write the model, and every trajectory's code by name into ``codes.safetensors``."""
        trained_on = counted(len(self._training), "trajectory", "trajectories")
        save_model(
            folder, self.model,
            architecture=self._architecture,
            summary=f"{self._architecture} trained on {trained_on}",
            time=self._time,
            scale=self._scale,
        )  # fmt: skip
        weight = self.codes.codes.weight
        save_codes(folder, {t.name: weight[k] for k, t in enumerate(self._training)})

    def _scores(
        self, trajectory: Trajectory, frame: int, code: ProteinCode, z: Tensor
    ) -> dict[str, float]:
        cloud = trajectory.cloud(frame)
        t = self._tensor(trajectory.times[frame])

        def field(x: Tensor) -> Tensor:
            return self.model(code, x, t, z)

        size = self.config.validation_points
        iou = probe_iou(field, cloud.points, cloud.normals, n=size, seed=frame, device=self._device)
        with torch.no_grad():
            step = -(-len(cloud.points) // size)
            distance = field(self._tensor(cloud.points[::step])).abs().mean()
        return {"iou": iou, "distance_A": float(distance) * trajectory.scale}

    def _code_of(self, case: Case, code: ProteinCode) -> Tensor:
        if case.code is not None:
            return self.codes.codes.weight[case.code].detach()
        return UNSEEN_CODES[self.config.unseen_code](self, code)

    def _case(self, trajectory: Trajectory) -> Case:
        names = [t.name for t in self._training]
        if trajectory.name in names:
            number = names.index(trajectory.name)
            return Case(trajectory, self._proteins[number], number)
        return Case(trajectory, self._protein(trajectory), None)

    def _protein(self, trajectory: Trajectory) -> ProteinInput:
        """The first frame as the model sees it, with a fair share of its surface points."""
        cloud = trajectory.cloud(0)
        n = min(self.config.router_points, len(cloud.points))
        rows = np.sort(np.random.default_rng(0).choice(len(cloud.points), n, replace=False))
        protein = describe(
            trajectory.structure,
            cloud.points[rows] * trajectory.scale,
            cloud.normals[rows],
            scale=trajectory.scale,
            surface=None,
        )
        return on_device(protein, self._device)

    def _rows(self, n: int, rng: np.random.Generator) -> Int[np.ndarray, " rows"]:
        """Which surface points a step sees."""
        wanted = self.config.points
        return rng.choice(n, wanted, replace=False) if 0 < wanted < n else np.arange(n)

    def _tensor(self, array: np.ndarray | float) -> Tensor:
        return torch.tensor(array, dtype=torch.float32, device=self._device)
