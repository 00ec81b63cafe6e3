"""Training state on disk: tensors as safetensors, everything else as JSON, written whole or not."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from moedsr_core.errors import CheckpointError


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    average: dict[str, Tensor],
    state: dict[str, Any],
) -> None:
    """Replace ``folder`` by a new checkpoint; a kill leaves the old one or the new one.

    Args:
        folder: Where the checkpoint stands.
        model: Its current parameters.
        optimizer: Its moments, or None where training will not go on from here.
        average: Exponential moving average of the parameters, by name.
        state: Step, scores and configuration, as plain JSON values.
    """
    draft = folder.with_name(folder.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    save_file(_contiguous(model.state_dict()), draft / "model.safetensors")
    save_file(_contiguous(average), draft / "average.safetensors")
    if optimizer is not None:
        save_file(_moments(optimizer), draft / "optimizer.safetensors")
    (draft / "state.json").write_text(json.dumps(state, indent=1), encoding="utf-8")
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(draft, folder)
    shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Restore a model and its optimiser in place; returns the average and the state.

    Raises:
        CheckpointError: If a file is missing or damaged, or belongs to another configuration.
    """
    if not folder.exists() and folder.with_name(folder.name + ".old").exists():
        folder = folder.with_name(folder.name + ".old")
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        model.load_state_dict(load_file(folder / "model.safetensors"))
        average = load_file(folder / "average.safetensors")
        moments = load_file(folder / "optimizer.safetensors")
    except (OSError, ValueError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(
            f"{folder} cannot be continued from: {str(error).splitlines()[0]}; "
            "start a new run folder"
        ) from error
    _restore_moments(optimizer, moments)
    return average, state


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
