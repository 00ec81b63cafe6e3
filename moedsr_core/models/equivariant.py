"""e3nn, without the compiler of torch.

One function of e3nn is marked as not to be compiled. The mark imports torch's compiler, which
nothing here uses and which takes two of the five seconds that a program needs to start.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def _unmarked() -> Iterator[None]:
    """Marking a function as not to be compiled leaves it as it is."""
    mark = torch.compiler.disable
    torch.compiler.disable = lambda fn=None, **_: fn if fn else lambda later: later  # type: ignore
    try:
        yield
    finally:
        torch.compiler.disable = mark


with _unmarked():
    from e3nn import nn as e3nn_nn
    from e3nn import o3

__all__ = ["e3nn_nn", "o3"]
