"""Where to compute."""

from __future__ import annotations

import torch

from moedsr_core.errors import InputError
from moedsr_core.predict_options import DEVICE


def choose_device(name: str = "auto") -> torch.device:
    """Device of a name; ``auto`` is cuda, else mps, else cpu.

    Raises:
        InputError: If the name is unknown or there is no such device here.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next((kind for kind, here in present.items() if here), "cpu"))
    if not DEVICE.fullmatch(name):
        raise InputError(f"device must be auto, cpu, mps, cuda or cuda:N, got {name!r}")
    device = torch.device(name)
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if not present.get(device.type, True) or (device.index or 0) >= count:
        raise InputError(f"there is no device {name} here; choose auto or cpu")
    return device
