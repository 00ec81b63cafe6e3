"""A trained `dsr` beside the transition path that it was trained on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from moedsr_core.data.ensemble import Ensemble
from moedsr_core.data.paths import frame_choice, load_path, protocol_frames
from moedsr_core.errors import CheckpointError, InputError
from moedsr_core.frame import CanonicalFrame, canonical_frame
from moedsr_core.model_field import ModelField, on_device
from moedsr_core.models.codes import read_codes
from moedsr_core.models.config import config_from_dict
from moedsr_core.models.inputs import protein_input
from moedsr_core.models.registry import LoadedModel, load_model
from moedsr_core.reports.omega import AtomField, in_omega, level_set
from moedsr_core.surface.mesh import Mesh
from moedsr_core.surface.ses import SolventExcludedSurface
from moedsr_core.training.run_folder import run_of
from moedsr_core.training.trajectories import FrameConfig
from moedsr_core.wording import reason


@dataclass(frozen=True, kw_only=True)
class TrainedPath:
    """A trajectory, the model trained on it, and its own code.

    Nothing here is fitted: a model that lacks the trajectory's code is refused.
    """

    ensemble: Ensemble
    """All frames, trained on or not."""
    loaded: LoadedModel
    """The network."""
    code: Float[Tensor, " latent"]
    """z of this trajectory."""
    train: tuple[int, ...]
    """Frames trained on."""

    def __post_init__(self) -> None:
        """Refuse a model whose Ω nobody knows, and a code of another length."""
        if self.loaded.scale is None:
            raise CheckpointError(
                f"the model in {self.loaded.info.folder} was trained at each protein's own scale, "
                "but the DSR tables need one scale for all; train with --frames.scale data"
            )
        if len(self.code) != self.loaded.model.latent_size:
            raise CheckpointError(
                f"the code of {self.ensemble.name} has {len(self.code)} entries, the model in "
                f"{self.loaded.info.folder} takes {self.loaded.model.latent_size}; they are of "
                "two trainings"
            )

    @property
    def scale(self) -> float:
        """Length of one unit of Ω [Å]."""
        return float(self.loaded.scale or np.nan)

    @cached_property
    def frame(self) -> CanonicalFrame:
        """Canonical pose of frame 0, at the model's scale."""
        return canonical_frame(self.ensemble.coords[0], self.scale)

    def time(self, k: int) -> float:
        """Model time of a frame.

        -1 at the first and 1 at the last training frame, by number (DSR's ``utils.py``), or by
        physical lag where the model was trained so.
        """
        if self.loaded.time_map.span_ps == 0:
            return 2.0 * k / self.train[-1] - 1.0
        return float(self.loaded.time_map.to_t(self.ensemble.lags_ps[[k]])[0])

    def true_mesh(self, coords: Float[np.ndarray, "atoms 3"], spacing: float) -> Mesh:
        """Solvent-excluded surface of atoms given in the trajectory's pose [units of Ω].

        Args:
            coords: Atoms [Å].
            spacing: Of the grid it is meshed on [Å].
        """
        return in_omega(self._surface(coords).mesh(spacing), self.scale)

    def predicted_mesh(self, k: int, nodes: int, level: float = 0.0) -> Mesh | None:
        """The model's level set at the time of a frame [units of Ω]; None where there is none.

        What lies beyond Ω is cut off at its faces, so that the mesh is closed.

        Args:
            k: The frame.
            nodes: Grid nodes along each edge of Ω.
            level: Value of the level set [units of Ω].
        """
        return level_set(self._field, self.time(k), self.scale, nodes, level)

    def gridded_mesh(self, coords: Float[np.ndarray, "atoms 3"], nodes: int) -> Mesh | None:
        """Surface of atoms as a model that knew it exactly would show it [units of Ω].

        Args:
            coords: Atoms in the trajectory's pose [Å].
            nodes: Grid nodes along each edge of Ω.
        """
        return level_set(AtomField(self._surface(coords)), 0.0, self.scale, nodes)

    def _surface(self, coords: Float[np.ndarray, "atoms 3"]) -> SolventExcludedSurface:
        posed = self.frame.to_canonical(coords)
        return SolventExcludedSurface(posed, self.ensemble.structure.radii)

    @cached_property
    def _field(self) -> ModelField:
        """The network as a field in Å."""
        protein, _ = protein_input(self.ensemble.structure, frame=self.frame)
        device = next(self.loaded.model.parameters()).device
        with torch.no_grad():
            code = self.loaded.model.encode(on_device(protein, device))
        return ModelField(self.loaded.model, code, np.array([-1.0]), self.code[None])


def open_run(
    run: Path,
    data: Path,
    names: tuple[str, ...] = (),
    device: str | torch.device = "cpu",
) -> list[TrainedPath]:
    """The trajectories of a training run, each with the model and its code.

    Args:
        run: Run folder of `dsr`, or the folder ``weights`` in one.
        data: Folder that holds one folder per trajectory.
        names: Only these; all that were trained on where empty.
        device: Where the network runs.

    Raises:
        InputError: If there is no such run, it is of another architecture, it was trained on
            other frames than the paper's, or a trajectory has no code.
    """
    weights = run / "weights" if (run / "weights").is_dir() else run
    loaded = load_model(weights, device)
    if loaded.info.architecture != "dsr":
        raise InputError(
            f"the DSR tables need a trained dsr, but {weights} holds a {loaded.info.architecture}"
            "; give the run folder of scripts/train.py dsr"
        )
    codes = read_codes(weights)
    wanted = names or tuple(codes)
    if not wanted:
        raise InputError(
            f"{weights} holds no code of any trajectory; copy codes.safetensors beside the weights"
        )
    config = _read_config((run_of(weights) or weights.parent) / "config.json")
    return [_trained_path(loaded, codes, config, load_path(data / name), name) for name in wanted]


def _trained_path(
    loaded: LoadedModel,
    codes: dict[str, Float[Tensor, " latent"]],
    config: FrameConfig | None,
    ensemble: Ensemble,
    name: str,
) -> TrainedPath:
    if name not in codes:
        raise InputError(
            f"the model in {loaded.info.folder} has no code of {name}; it was trained on "
            f"{', '.join(codes) or 'nothing that it kept a code of'}"
        )
    train = protocol_frames(name, "reconstruction", len(ensemble)).train
    if config is not None:
        _check_frames(config, train, len(ensemble), name)
    return TrainedPath(ensemble=ensemble, loaded=loaded, code=codes[name], train=train)


def _read_config(path: Path) -> FrameConfig | None:
    """Which frames a run was trained on; None where weights came without their run."""
    if not path.exists():
        return None
    try:
        return config_from_dict(FrameConfig, json.loads(path.read_text("utf-8"))["frames"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} does not say which frames the run was trained on ({reason(error)}); give the "
            "folder with its weights, copied to another place"
        ) from error


def _check_frames(config: FrameConfig, train: tuple[int, ...], n: int, name: str) -> None:
    trained, choice = config.training(n).tolist(), frame_choice(name)
    if tuple(trained) != train:
        raise InputError(
            f"the tables need {name} trained on {len(train)} frames up to {train[-1]}, but this "
            f"run took {len(trained)} up to {trained[-1]}; train with --frames.first "
            f"{choice.window} --frames.stride {choice.stride}"
        )
