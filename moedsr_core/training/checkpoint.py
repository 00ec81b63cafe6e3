"""Training state on disk: tensors as safetensors, everything else as JSON, written whole or not."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from moedsr_core.errors import CheckpointError, InputError
from moedsr_core.files import writing
from moedsr_core.wording import reason

BEST = "best"
"""Checkpoint of a run folder that validated best."""
WEIGHTS = "weights"
"""Folder of the weights in a run folder, and in its best checkpoint."""


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    average: dict[str, Tensor],
    state: dict[str, Any],
    export: Callable[[Path], None] | None = None,
) -> None:
    """Replace ``folder`` by a new checkpoint; a kill leaves the old one or the new one.

    Args:
        folder: Where the checkpoint stands.
        model: Its current parameters.
        optimizer: Its moments, or None where training will not go on from here.
        average: Exponential moving average of the parameters, by name.
        state: Step and scores, as plain JSON values.
        export: Writes the model as weights into the folder that it is given; with it the checkpoint
            has them in ``weights``.

    Raises:
        InputError: If the disk is full, or the place cannot be written to; the old checkpoint
            stands then.
    """
    draft = folder.with_name(folder.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)
    with writing(folder):
        try:
            draft.mkdir(parents=True)
            save_file(_contiguous(model.state_dict()), draft / "model.safetensors")
            save_file(_contiguous(average), draft / "average.safetensors")
            if optimizer is not None:
                save_file(_moments(optimizer), draft / "optimizer.safetensors")
            (draft / "state.json").write_text(json.dumps(state, indent=1), encoding="utf-8")
            if export is not None:
                export(draft / WEIGHTS)
        except (OSError, SafetensorError, InputError) as error:
            shutil.rmtree(draft, ignore_errors=True)
            if isinstance(error, InputError):
                raise
            raise OSError(*error.args) from error
        old = _old(folder)
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            os.replace(folder, old)
        os.replace(draft, folder)
        shutil.rmtree(old, ignore_errors=True)


def has_checkpoint(folder: Path) -> bool:
    """Whether there is a checkpoint, the last one or the one before."""
    return folder.exists() or _old(folder).exists()


def _old(folder: Path) -> Path:
    return folder.with_name(folder.name + ".old")


def load_checkpoint(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Restore a model and its optimiser in place; returns the average and the state.

    Raises:
        CheckpointError: If a file is missing or damaged, or belongs to another configuration.
    """
    if not folder.exists() and _old(folder).exists():
        folder = _old(folder)
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        model.load_state_dict(load_file(folder / "model.safetensors"))
        average = load_file(folder / "average.safetensors")
        moments = load_file(folder / "optimizer.safetensors")
        _refuse_foreign(model, optimizer, average, moments)
        _restore_moments(optimizer, moments)
        if not {"step", "best", "scores", "seconds", "scaler"} <= state.keys():
            raise ValueError("state.json lacks the step or the best score")
    except (OSError, ValueError, AttributeError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(
            f"{folder} cannot be continued from: {reason(error)}; start a new run folder"
        ) from error
    return average, state


def best_weights(folder: Path) -> dict[str, Tensor]:
    """Averaged weights of a run folder's best checkpoint.

    Raises:
        CheckpointError: If there is none, or it is damaged.
    """
    best = folder / BEST
    if not best.exists():
        best = _old(best)
    try:
        return load_file(best / "average.safetensors")
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{folder} holds no readable best checkpoint ({reason(error)}); train it anew"
        ) from error


def _refuse_foreign(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: dict[str, Tensor],
    moments: dict[str, Tensor],
) -> None:
    """Raise ValueError unless average and moments are of this model's tensors."""
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if {name: tensor.shape for name, tensor in average.items()} != shapes:
        raise ValueError("average.safetensors is of another model")
    sizes = [p.shape for group in optimizer.param_groups for p in group["params"]]
    for key, value in moments.items():
        index = key.split(".")[0]
        if not index.isdigit() or int(index) >= len(sizes):
            raise ValueError("optimizer.safetensors is of another model")
        if value.ndim > 0 and value.shape != sizes[int(index)]:
            raise ValueError("optimizer.safetensors is of another model")


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    saved = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": value.detach().cpu().contiguous()
        for index, entry in saved.items()
        for name, value in entry.items()
    }


def _restore_moments(optimizer: torch.optim.Optimizer, moments: dict[str, Tensor]) -> None:
    entries: dict[int, dict[str, Tensor]] = {}
    for key, value in moments.items():
        index, name = key.split(".", 1)
        entries.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": entries, "param_groups": groups})
