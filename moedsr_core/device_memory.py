"""Work in batches that the memory of a device holds, and what is said where it holds none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from moedsr_core.errors import MoedsrError

LEAST_ROWS = 64
"""Every batch but the last is a multiple of this. A CPU multiplies matrices in blocks of rows and
the rest of a batch by other code, so that rows come out the same to the bit whatever the batch."""
_PROBE_SHARE = 8
"""Part of the largest batch that is tried first where free memory is known."""
_USED_SHARE = 0.5
"""Part of the free memory that a batch may take: it lies in pieces, and others share the device."""
_SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")
"""What PyTorch's errors say on CUDA, MPS, Linux, Windows and in cuBLAS or cuDNN."""

Result = TypeVar("Result")


class FittingBatches:
    """Cuts rows into batches; halves them where the device's memory runs out, and goes on.

    On CUDA the next batch follows the free memory and what a row has taken so far. What comes of a
    row must not depend on the others; then the batch changes no more than rounding, and on a CPU
    nothing (:data:`LEAST_ROWS`).

    Args:
        device: Where the work is done.
        largest: Most rows of a batch.
        pause: Called before each batch; may raise to stop.
    """

    def __init__(
        self, device: torch.device, largest: int, pause: Callable[[], None] = lambda: None
    ) -> None:
        self.device = device
        self.rows = _whole(largest)
        self._largest, self._pause = self.rows, pause
        self._row_bytes: float | None = None

    def run(self, work: Callable[[slice], Result], n: int) -> list[Result]:
        """Work on all rows in order, at least once, and again on a batch that was too large.

        Raises:
            MoedsrError: If the smallest batch does not fit.
        """
        parts: list[Result] = []
        start = 0
        while start < n or not parts:
            self._pause()
            rows = self._fitting()
            part = self._attempt(work, slice(start, min(start + rows, n)))
            if part is None:
                self._halve(rows)
            else:
                parts.append(part)
                start += rows
        return parts

    def _attempt(self, work: Callable[[slice], Result], rows: slice) -> Result | None:
        """What comes of a batch; None where memory ran out, and nothing is left of it then."""
        before = self._watch()
        try:
            part = work(rows)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        else:
            self._learn(before, rows.stop - rows.start)
            return part
        free_cache(self.device)  # only here, where the error holds its tensors no longer
        return None

    def _halve(self, rows: int) -> None:
        if rows <= LEAST_ROWS:
            raise MoedsrError(_sentence(self.device))
        self.rows = _whole(rows // 2)

    def _fitting(self) -> int:
        """Rows of the next batch."""
        if self.device.type != "cuda":
            return self.rows
        if self._row_bytes is None:
            return min(self.rows, _whole(self._largest // _PROBE_SHARE))
        return min(self.rows, _whole(int(_USED_SHARE * _free(self.device) / self._row_bytes)))

    def _watch(self) -> int:
        if self.device.type != "cuda":
            return 0
        torch.cuda.reset_peak_memory_stats(self.device)
        return torch.cuda.memory_allocated(self.device)

    def _learn(self, before: int, rows: int) -> None:
        if self.device.type == "cuda" and rows:
            taken = torch.cuda.max_memory_allocated(self.device) - before
            self._row_bytes = max(self._row_bytes or 1.0, taken / rows)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of a device, or the machine's, has run out."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def free_cache(device: torch.device) -> None:
    """Give back the memory that PyTorch keeps for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


@contextmanager
def memory_errors(device: torch.device) -> Iterator[None]:
    """Turn an error for want of memory into a sentence.

    Raises:
        MoedsrError: In its place.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    else:
        return
    free_cache(device)
    raise MoedsrError(_sentence(device))


def _free(device: torch.device) -> int:
    """Memory that a batch can have [bytes]: free on the device, or kept by PyTorch for later."""
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + kept


def _whole(rows: int) -> int:
    return max(rows // LEAST_ROWS, 1) * LEAST_ROWS


def _sentence(device: torch.device) -> str:
    elsewhere = "" if device.type == "cpu" else " or compute on the CPU (device=cpu)"
    return (
        f"the memory of {device} does not hold this prediction even in small parts; end what else "
        f"uses it, take a larger spacing or fewer atoms{elsewhere}"
    )
