"""Where simulations run: which of OpenMM's platforms, which GPUs, how many threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from moedsr_core.choices import check_choice
from moedsr_core.errors import InputError
from moedsr_core.simulation.packages import openmm_and_pdbfixer

_GPU = ("CUDA", "HIP", "OpenCL")
"""Platforms for GPUs, the quicker first."""
PLATFORMS = (*_GPU, "CPU", "Reference")


@dataclass(frozen=True)
class Place:
    """What one process computes on.

    Attributes:
        platform: OpenMM's name.
        device: Number of the GPU; None on a processor.
        threads: Threads of the processor; None on a GPU.
    """

    platform: str
    device: int | None = None
    threads: int | None = None

    @property
    def properties(self) -> dict[str, str]:
        """As OpenMM takes them; energies and positions are summed in double precision."""
        if self.device is not None:
            return {"DeviceIndex": str(self.device), "Precision": "mixed"}
        return {"Threads": str(self.threads)} if self.platform == "CPU" else {}


def places(
    platform: str = "auto", devices: Sequence[int] = (), jobs: int | None = None
) -> list[Place]:
    """A place for each of several processes.

    Args:
        platform: OpenMM's name, or ``auto`` for the first that has a GPU, else the processor.
        devices: GPUs to use; all by default. Processes take turns at them.
        jobs: How many processes; by default one for each GPU, or for each processor core.

    Raises:
        InputError: If there is no such platform or GPU, or jobs is not positive.
        BackendError: If OpenMM is not installed.
    """
    check_choice("platform", platform, ("auto", *PLATFORMS))
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs must be 1 or more, got {jobs}")
    if platform == "auto":
        platform = next((name for name in _GPU if _gpus(name)), "CPU")
        if devices and platform == "CPU":
            raise InputError(f"there is no GPU that OpenMM can use; {_why_not()}")
    if platform in _GPU:
        return _on_gpus(platform, devices, jobs)
    if devices:
        raise InputError(f"devices are GPUs, and platform {platform} uses none; leave them out")
    cores = _cores()
    jobs = jobs or cores
    return [Place(platform, threads=max(1, cores // jobs))] * jobs


def _on_gpus(platform: str, devices: Sequence[int], jobs: int | None) -> list[Place]:
    there = _gpus(platform)
    if not there:
        raise InputError(f"platform {platform} has no GPU here; {_why_not()}")
    wrong = [device for device in devices if device not in range(there)]
    if wrong:
        raise InputError(f"GPUs are numbered 0 to {there - 1} here, got {wrong[0]}")
    chosen = tuple(devices) or tuple(range(there))
    return [Place(platform, device=chosen[k % len(chosen)]) for k in range(jobs or len(chosen))]


def _gpus(platform: str) -> int:
    """How many GPUs a platform finds."""
    openmm: Any = openmm_and_pdbfixer()[0]
    try:
        return len(openmm.Platform.getPlatformByName(platform).getDevices())
    except openmm.OpenMMException:
        return 0


def _why_not() -> str:
    return (
        'its support for NVIDIA GPUs is installed with pip install "openmm[cuda12]", or choose '
        "platform CPU"
    )


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
