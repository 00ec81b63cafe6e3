"""The training loop of every model: resumable, data-parallel, the same on any day.

A step's randomness follows from the seed, the step and the place of an example in its batch, and
from nothing else. So a run that is killed and goes on, and a run on several processes, take the
same path as an undisturbed one on a single process.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from moedsr_core.errors import InputError
from moedsr_core.models.base import ProteinCode
from moedsr_core.training.checkpoint import (
    best_weights,
    has_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from moedsr_core.training.learner import Learner, OptimizerConfig
from moedsr_core.training.order import Example
from moedsr_core.training.run_folder import RunFolder
from moedsr_core.training.schedules import rate_share
from moedsr_core.training.task import Task
from moedsr_core.training.world import World

_ENCODING, _LOSS = 0, 1
"""Streams of random numbers of one example."""


class DivergedError(InputError):
    """The loss has stopped being finite."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """How long, how often, and from which seed."""

    steps: int = 0
    """Optimiser steps; where above 0, ``epochs`` does not matter."""
    epochs: int = 0
    """Passes over all training frames."""
    evaluate_every: int = 200
    """Steps between validations; 0 validates at the end only."""
    checkpoint_every: int = 200
    """Steps between checkpoints: what a killed run loses at most."""
    log_every: int = 50
    """Steps between lines of the log."""
    seed: int = 0
    """Seed of everything."""
    tensorboard: bool = False
    """Whether the log is written for TensorBoard as well."""

    def __post_init__(self) -> None:
        """Refuse a run without an end."""
        if min(self.steps, self.epochs) < 0 or max(self.steps, self.epochs) < 1:
            raise InputError(
                f"a run needs run.steps or run.epochs above 0, got {self.steps} and {self.epochs}"
            )
        if self.checkpoint_every < 1 or self.log_every < 1 or self.evaluate_every < 0:
            raise InputError(
                "checkpoint_every and log_every must be at least 1 and evaluate_every at least "
                f"0, got {self.checkpoint_every}, {self.log_every} and {self.evaluate_every}"
            )
        if self.seed < 0:
            raise InputError(f"run.seed must not be negative, got {self.seed}")

    def length(self, steps_per_epoch: int) -> int:
        """Optimiser steps of the whole run."""
        return self.steps or self.epochs * steps_per_epoch


def train(
    task: Task,
    run: RunConfig,
    optimizer: OptimizerConfig,
    folder: RunFolder,
    *,
    world: World | None = None,
    report: Callable[[dict[str, Any]], None] = lambda row: None,
    tick: Callable[[int, int], None] = lambda done, steps: None,
) -> dict[str, float]:
    """Train, or go on with the run that stands in ``folder``.

    Args:
        task: The model and what it learns from. Left with the weights that validated best.
        run: How long and how often.
        optimizer: How weights follow from gradients.
        folder: Where everything is kept.
        world: The processes that train together.
        report: Called with each line of the log, in the process that writes.
        tick: Called with the steps made and the steps in all, after each step.

    Returns:
        The best validation scores.

    Raises:
        DivergedError: If the loss stops being finite.
        InputError: If a file cannot be written.
        CheckpointError: If the checkpoint in the folder cannot be gone on from.
    """
    world = world or World()
    learner = Learner(task.module, task.rates(), optimizer, world.device)
    per_epoch = math.ceil(task.order.steps_per_epoch / optimizer.accumulate)
    steps = run.length(per_epoch)
    state = _resumed(folder, learner)
    world.agree(state["step"])
    log = folder.log(state["step"], ("epoch", "learning_rate", *_names(task)), task.scores, world)
    watch = _Watch(state["step"], steps, state["seconds"])
    sums = _no_sums(task, world)
    for step in range(state["step"], steps):
        share = rate_share(optimizer.schedule, step, steps, per_epoch)
        sums += _gradients(task, learner, run.seed, step, world)
        learner.update(share, step, world)
        done = step + 1
        evaluate, keep, write = (
            done == steps or (every > 0 and done % every == 0)
            for every in (run.evaluate_every, run.checkpoint_every, run.log_every)
        )
        if evaluate or keep or write:
            row = {"epoch": done / per_epoch, "learning_rate": share * optimizer.learning_rate}
            row |= _means(task, sums, done, world)
            sums = _no_sums(task, world)
            state |= {"step": done, "seconds": watch.seconds(), "scaler": learner.scaler_state()}
            scores = validate(task, learner, world) if evaluate else {}
            if evaluate and scores[task.scores[0]] >= state["best"]:
                state |= {"best": scores[task.scores[0]], "scores": scores}
                if world.writes:
                    _keep_best(task, learner, folder, state)
            line = {"step": done, **watch.row(done), **row}
            line |= {f"val_{name}": value for name, value in scores.items()}
            log.write(line)  # before the checkpoint: a run that goes on from it keeps this line
            if world.writes:
                if keep:
                    save_checkpoint(
                        folder.last, task.module, learner.optimizer, learner.average, state
                    )
                report(line)
        tick(done, steps)
    log.close()
    world.wait()
    task.module.load_state_dict(best_weights(folder.path))
    task.module.eval()
    return dict(state["scores"])


def validate(task: Task, learner: Learner, world: World) -> dict[str, float]:
    """Mean scores of the averaged weights over all validation examples, in all processes."""
    sums = torch.zeros(len(task.scores) + 1, device=world.device)
    with learner.averaged():
        task.module.eval()
        for number in world.share(task.n_validation):
            scores = task.validate(number)
            sums += torch.tensor([*(scores[name] for name in task.scores), 1.0]).to(sums)
    *totals, n = world.sum(sums).tolist()
    return {name: total / n for name, total in zip(task.scores, totals, strict=True)}


def _keep_best(task: Task, learner: Learner, folder: RunFolder, state: dict[str, Any]) -> None:
    """Replace the best checkpoint, in which the averaged weights can be loaded as a model."""

    def export(draft: Path) -> None:
        with learner.averaged():
            task.export(draft)

    save_checkpoint(folder.best, task.module, None, learner.average, state, export)


def _resumed(folder: RunFolder, learner: Learner) -> dict[str, Any]:
    """State of the last checkpoint, put back into the learner; or that of a fresh start."""
    if not has_checkpoint(folder.last):
        return {"step": 0, "best": -math.inf, "scores": {}, "seconds": 0.0}
    average, state = load_checkpoint(folder.last, learner.module, learner.optimizer)
    learner.restore(average, state["scaler"])
    return state


class _Watch:
    """Seconds that a run has taken, over all its sittings."""

    def __init__(self, first: int, steps: int, before: float) -> None:
        self._first, self._steps, self._before = first, steps, before
        self._began = time.monotonic()

    def seconds(self) -> float:
        return self._before + time.monotonic() - self._began

    def row(self, done: int) -> dict[str, float]:
        """Seconds so far and seconds left."""
        pace = (time.monotonic() - self._began) / (done - self._first)
        return {"seconds": self.seconds(), "seconds_left": pace * (self._steps - done)}


def _gradients(task: Task, learner: Learner, seed: int, step: int, world: World) -> Tensor:
    """Gather this process's share of one step's gradients; returns sums of its loss terms."""
    task.module.train()
    sums = _no_sums(task, world)
    n_batches = learner.config.accumulate
    for number in range(step * n_batches, (step + 1) * n_batches):
        batch = task.order.batch(number)
        mine = world.share(len(batch))
        codes = [_encoded(task, batch[k], [seed, number, k]) for k in mine]
        shares = _shares(task, codes, len(batch), world)
        for k, code in zip(mine, codes, strict=True):
            rng = _seeded([seed, number, k, _LOSS])
            with learner.rounded():
                terms = task.terms(batch[k], code, rng)
            if len(shares) > 1:
                terms["balance"] = len(shares) * (shares * code.gate).sum()
            terms["loss"] = task.total(terms)
            learner.backward(terms["loss"] / (len(batch) * n_batches))
            row = [terms[name].detach().float() for name in _names(task)]
            sums += torch.stack([*row, torch.ones_like(row[0])])
    return sums


def _encoded(task: Task, example: Example, key: list[int]) -> ProteinCode:
    _seeded([*key, _ENCODING])
    return task.encode(example)


def _shares(
    task: Task, codes: list[ProteinCode], n: int, world: World
) -> Float[Tensor, " experts"]:
    """Γ: share of the batch's proteins whose largest gate is each expert (MoE-DSR Eq. 8).

    The whole batch's, whoever works on it; the load balance is then a mean over examples.
    """
    counts = torch.zeros(_experts(task), device=world.device)
    for code in codes:
        counts[code.gate.argmax()] += 1.0
    return world.sum(counts) / n if len(counts) > 1 else counts


def _experts(task: Task) -> int:
    return getattr(task.model.config, "n_experts", 1)


def _names(task: Task) -> list[str]:
    """Columns of the log that are means over examples."""
    return ["loss", *task.terms_logged, *(["balance"] if _experts(task) > 1 else [])]


def _no_sums(task: Task, world: World) -> Tensor:
    return torch.zeros(len(_names(task)) + 1, device=world.device)


def _means(task: Task, sums: Tensor, done: int, world: World) -> dict[str, float]:
    """Mean of each term over the examples of all processes since the last line of the log."""
    *totals, n = world.sum(sums).tolist()
    means = {name: total / n for name, total in zip(_names(task), totals, strict=True)}
    if not math.isfinite(means["loss"]):
        raise DivergedError(
            f"the loss is {means['loss']} at step {done}; lower the learning rate, set "
            "optimizer.clip, or use precision float32"
        )
    return means


def _seeded(key: list[int]) -> np.random.Generator:
    """Random numbers of one purpose; seeds torch's own generator too."""
    rng = np.random.default_rng(key)
    torch.manual_seed(int(rng.integers(2**62)))
    return rng
