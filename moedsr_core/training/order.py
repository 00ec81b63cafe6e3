"""Which frames of which proteins a step learns from; the same on any day and on any machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from moedsr_core.errors import InputError


@dataclass(frozen=True)
class Example:
    """Some training frames of one protein.

    Attributes:
        protein: Its number.
        frames: Numbers of training frames of that protein.
    """

    protein: int
    frames: Int[np.ndarray, " frames"]


class EpochOrder:
    """Batches that pass over every training frame of every protein once an epoch.

    An epoch goes in rounds: each protein that has frames left gives one example to a round, and
    the order of proteins within a round is drawn anew. So the proteins of a batch differ wherever
    there are enough of them, as the load-balance loss needs.

    Args:
        frames: Number of training frames of each protein.
        per_example: Frames of one example.
        batch: Examples of one batch; the last one of an epoch may be smaller.
        seed: Of the order.
    """

    def __init__(self, frames: Sequence[int], per_example: int, batch: int, seed: int) -> None:
        if not frames or min(frames) < 1:
            raise InputError(
                f"training needs proteins with at least one frame each, got {list(frames)[:10]}; "
                "check the split and the choice of frames"
            )
        if per_example < 1 or batch < 1:
            raise InputError(
                "an example needs at least one frame and a batch at least one example, got "
                f"{per_example} and {batch}"
            )
        self._frames, self._per_example = list(frames), per_example
        self._batch, self._seed = batch, seed
        examples = sum(-(-n // per_example) for n in self._frames)
        self.steps_per_epoch = -(-examples // batch)
        """Batches that make an epoch."""
        self._known: tuple[int, list[Example]] = (-1, [])

    def batch(self, number: int) -> list[Example]:
        """Examples of batch ``number``, counted from the start of training."""
        epoch, place = divmod(number, self.steps_per_epoch)
        if self._known[0] != epoch:
            self._known = (epoch, self._epoch(epoch))
        return self._known[1][place * self._batch : (place + 1) * self._batch]

    def _epoch(self, epoch: int) -> list[Example]:
        rng = np.random.default_rng([self._seed, epoch])
        size = self._per_example
        shuffled = [rng.permutation(n) for n in self._frames]
        order = []
        for start in range(0, max(self._frames), size):
            left = [p for p, n in enumerate(self._frames) if n > start]
            for protein in rng.permutation(left).tolist():
                order.append(Example(protein, shuffled[protein][start : start + size]))
        return order
