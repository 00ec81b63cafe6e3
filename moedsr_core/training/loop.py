"""Training of `moedsr-anchored` on motion samples; one loop, resumable, the same on any day."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from moedsr_core.data.samples import MotionSample
from moedsr_core.errors import InputError
from moedsr_core.files import whole_file
from moedsr_core.frame import OMEGA_MARGIN, TimeMap
from moedsr_core.losses import load_balance
from moedsr_core.models.anchored import AnchoredCode, AnchoredConfig, AnchoredMoEDSR
from moedsr_core.models.base import ProteinInput
from moedsr_core.models.inputs import describe
from moedsr_core.surface.ses import SolventExcludedSurface
from moedsr_core.training.checkpoint import best_weights, load_checkpoint, save_checkpoint
from moedsr_core.training.motion_loss import motion_loss

_VALIDATION_DRAWS = 16


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How `moedsr-anchored` is trained."""

    model: AnchoredConfig = field(default_factory=AnchoredConfig)
    """The network."""
    steps: int = 5000
    """Optimiser steps."""
    batch: int = 3
    """Reference structures per step N_B."""
    points: int = 1024
    """Points per reference structure and step."""
    learning_rate: float = 2e-3
    """Peak learning rate, after 100 steps of warm-up; falls to 1 % along a cosine."""
    weight_decay: float = 1e-2
    """Decoupled weight decay (AdamW)."""
    frames: int = 10
    """Frames per reference structure and step."""
    balance_weight: float = 0.01
    """Weight of the load-balancing loss (MoE-DSR, λ₂)."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    average: float = 0.998
    """Decay of the moving average of the weights, which is what is kept."""
    evaluate_every: int = 200
    """Steps between validations."""
    seed: int = 0
    """Seed of everything."""
    time: TimeMap = field(default_factory=TimeMap)
    """The model's time axis."""


@dataclass(frozen=True)
class TrainingProtein:
    """A motion sample as tensors."""

    name: str
    protein: ProteinInput
    points: Tensor
    start: Tensor
    distances: Tensor
    times: Tensor


def training_protein(sample: MotionSample, time_map: TimeMap) -> TrainingProtein:
    """Describe a sample to the model, once."""
    scale = float(np.abs(sample.structure.coords).max()) + OMEGA_MARGIN
    return TrainingProtein(
        name=sample.name,
        protein=describe(
            sample.structure, sample.surface_points, sample.surface_normals,
            scale=scale,
            surface=SolventExcludedSurface(sample.structure.coords, sample.structure.radii),
        ),
        points=torch.tensor(sample.points / scale, dtype=torch.float32),
        start=torch.tensor(sample.start, dtype=torch.float32),
        distances=torch.tensor(sample.distances, dtype=torch.float32),
        times=torch.tensor(time_map.to_t(sample.lags_ps), dtype=torch.float32),
    )  # fmt: skip


def train(
    config: TrainConfig,
    proteins: list[TrainingProtein],
    validation: list[TrainingProtein],
    folder: Path,
    report: Callable[[dict[str, Any]], None] = lambda row: None,
) -> AnchoredMoEDSR:
    """Train, or go on with the run that stands in ``folder``.

    Args:
        config: Everything that decides the result.
        proteins: To learn from.
        validation: Other proteins; the checkpoint ``best`` is chosen on them.
        folder: Run folder; holds ``config.json``, ``log.jsonl``, ``last`` and ``best``.
        report: Called with each line of the log.

    Returns:
        The model with the averaged weights that scored best in validation.

    Raises:
        InputError: If there is nothing to train on, or the folder holds another run.
    """
    if not proteins:
        raise InputError("training needs at least one motion sample, got none")
    _claim(folder, config)
    torch.manual_seed(config.seed)
    model = AnchoredMoEDSR(config.model)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    average = {name: value.clone() for name, value in model.state_dict().items()}
    state: dict[str, Any] = {"step": 0, "best": -math.inf}
    if (folder / "last").exists() or (folder / "last.old").exists():
        average, state = load_checkpoint(folder / "last", model, optimizer)
    began, first = time.monotonic(), state["step"]
    running: list[dict[str, float]] = []
    for step in range(first, config.steps):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * schedule(step, config.steps)
        running.append(_step(model, optimizer, config, proteins, step))
        _follow(average, model, min(config.average, (1 + step) / (10 + step)))
        done = step + 1
        if done % config.evaluate_every == 0 or done == config.steps:
            scores = _validate(model, average, validation or proteins)
            state["step"] = done
            if scores["skill"] > state["best"]:
                state["best"] = scores["skill"]
                save_checkpoint(folder / "best", model, None, average, state)
            save_checkpoint(folder / "last", model, optimizer, average, state)
            seconds = time.monotonic() - began
            row = {"step": done, **_mean(running)}
            row |= {f"val_{name}": value for name, value in scores.items()}
            row["seconds_left"] = seconds / (done - first) * (config.steps - done)
            with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(row) + "\n")
            report(row)
            running = []
    model.load_state_dict(best_weights(folder))
    return model.eval()


def schedule(step: int, steps: int, warm_up: int = 100) -> float:
    """Share of the peak learning rate: linear warm-up, then a cosine to 1 %."""
    if step < warm_up:
        return (step + 1) / warm_up
    share = (step - warm_up) / max(steps - warm_up, 1)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share))


def _step(
    model: AnchoredMoEDSR,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    proteins: list[TrainingProtein],
    step: int,
) -> dict[str, float]:
    """One optimiser step; its randomness depends on the seed and the step alone."""
    rng = np.random.default_rng([config.seed, step])
    torch.manual_seed(int(rng.integers(2**31)))
    chosen = rng.choice(len(proteins), min(config.batch, len(proteins)), replace=False)
    model.train()
    terms, gates = [], []
    for index in chosen.tolist():
        example = proteins[index]
        rows = torch.from_numpy(
            rng.choice(len(example.points), min(config.points, len(example.points)), replace=False)
        )
        code = model.encode(example.protein)
        prepared = model.prepare(code, example.points[rows], example.start[rows])
        frames = torch.from_numpy(rng.permutation(len(example.times))[: config.frames])
        terms.append(
            motion_loss(
                model, code, prepared, example.distances[frames][:, rows], example.times[frames]
            )
        )
        gates.append(code.gate)
    loss = torch.stack([t["score"] for t in terms]).mean()
    balance = load_balance(torch.stack(gates))
    optimizer.zero_grad()
    (loss + config.balance_weight * balance).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
    optimizer.step()
    row = _mean([{name: float(value.detach()) for name, value in t.items()} for t in terms])
    return {**row, "balance": float(balance.detach())}


@torch.no_grad()
def _validate(
    model: AnchoredMoEDSR, average: dict[str, Tensor], proteins: list[TrainingProtein]
) -> dict[str, float]:
    """Scores of the averaged weights, each protein's samples counting the same."""
    current = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(average)
    model.eval()
    rows = []
    for example in proteins:
        code: AnchoredCode = model.encode(example.protein)
        step = max(1, len(example.points) // 4000)
        prepared = model.prepare(code, example.points[::step], example.start[::step])
        generator = torch.Generator().manual_seed(0)
        terms = motion_loss(
            model, code, prepared, example.distances[:, ::step], example.times,
            draws=_VALIDATION_DRAWS, generator=generator,
        )  # fmt: skip
        rows.append({name: float(value) for name, value in terms.items()})
    model.load_state_dict(current)
    return _mean(rows)


def _follow(average: dict[str, Tensor], model: AnchoredMoEDSR, decay: float) -> None:
    for name, value in model.state_dict().items():
        average[name].lerp_(value, 1.0 - decay)


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _claim(folder: Path, config: TrainConfig) -> None:
    """Make the run folder ours, or see that it already is."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = json.loads(json.dumps(asdict(config)))
    path = folder / "config.json"
    if path.exists() and _read_json(path) != wanted:
        raise InputError(
            f"{folder} holds a run of another configuration; give another --out or remove it"
        )
    with whole_file(path) as file:
        file.write(json.dumps(wanted, indent=1).encode())


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); give another --out") from error
