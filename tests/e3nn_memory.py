"""Models are built in a fraction of the time where e3nn remembers the code that it generates.

Building the smallest router takes 40 times as long as running it, for the functions that e3nn
writes and optimises. They depend on their arguments alone, so a copy of what was written before
makes the same model: `tests/test_e3nn_memory.py` compares the two.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from e3nn.math import _normalize_activation
from e3nn.o3 import _linear
from e3nn.o3._tensor_product import _tensor_product


def remember() -> None:
    """Let e3nn remember, for as long as this process lives."""
    _linear._codegen_linear = remembering(_linear._codegen_linear)
    for providers in (
        _tensor_product._CODEGEN_PROVIDERS_LEFT_RIGHT,
        _tensor_product._CODEGEN_PROVIDERS_RIGHT,
    ):
        providers[:] = map(remembering, providers)
    _normalize_activation.moment = remembering(_normalize_activation.moment)


def remembering(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, called once for each of its arguments and each default precision."""
    known: dict[str, Any] = {}

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        key = repr((args, kwargs, torch.get_default_dtype()))
        if key not in known:
            known[key] = function(*args, **kwargs)
        return copy.deepcopy(known[key])

    return call
