"""What an installation will do, before it does it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..local_backend import own_interpreters, surroundings
from .places import environments_folder

CPU_MB, GPU_MB = 1100, 7000
"""Size of an environment [MB]; the first was 1,036 on Linux with Python 3.11, the second allows
for the libraries of CUDA."""
SPARE_MB = 500
"""Space that is to be left on the disk [MB]."""
GPU_CHOICES = ("auto", "yes", "no")
ASK_S = 30.0


@dataclass(frozen=True)
class Plan:
    """What will be installed.

    Attributes:
        source: Folder or archive of moedsr's sources.
        installer: Command that fetches the installer of packages, or is it.
        has_uv: Whether it is there already.
        gpu: Whether the build for NVIDIA GPUs is taken.
        size_mb: About how large the environment will be [MB].
        free_mb: Free space where it will lie [MB].
    """

    source: Path
    installer: str
    has_uv: bool
    gpu: bool
    size_mb: int
    free_mb: float

    def sentences(self) -> list[str]:
        """What a user should know first."""
        build = "the build for NVIDIA GPUs" if self.gpu else "the build for processors"
        size = f"{self.size_mb / 1000:.0f} GB"
        download = "several gigabytes" if self.gpu else "about 300 MB"
        return [
            f"moedsr's core and PyTorch ({build}) are put into a Python environment of their own",
            f"in {environments_folder()}; PyMOL and your other programs stay as they are.",
            f"About {size} on the disk ({self.free_mb / 1000:.0f} GB are free, of which "
            f"{SPARE_MB / 1000:.1f} GB must stay), {download} to download: some minutes with a "
            "fast line.",
            "It can be cancelled at any time, and then leaves nothing behind.",
        ]

    @property
    def torch_backend(self) -> str:
        """The build of PyTorch, in uv's words."""
        return "auto" if self.gpu else "cpu"


def installation_plan(gpu: str = "auto") -> Plan:
    """Look at this computer.

    Args:
        gpu: ``auto`` takes the GPU build where an NVIDIA driver answers, ``yes`` and ``no`` don't
            ask.

    Raises:
        UserError: If there is no way to install, or no space.
    """
    uses_gpu = has_nvidia() if gpu == "auto" else gpu == "yes"
    uv = shutil.which("uv")
    size = GPU_MB if uses_gpu else CPU_MB
    plan = Plan(
        source=core_source(),
        installer=uv or python_with_pip(),
        has_uv=uv is not None,
        gpu=uses_gpu,
        size_mb=size,
        free_mb=free_mb(environments_folder()),
    )
    refuse_closed(environments_folder())
    if plan.free_mb < size + SPARE_MB:
        raise UserError(
            f"an installation needs {size + SPARE_MB:,} MB in {environments_folder()}, where "
            f"{plan.free_mb:,.0f} MB are free; make room, or name another folder in the variable "
            "MOEDSR_ENV_DIR"
        )
    return plan


def core_source() -> Path:
    """Sources of the core: packed into an installed plugin, or the checkout that this one is of.

    Raises:
        UserError: If there are none.
    """
    package = Path(__file__).resolve().parents[1]
    packed, checkout = package / "core.zip", package.parent
    if packed.is_file():
        return packed
    if (checkout / "setup.py").is_file() and (checkout / "moedsr_core").is_dir():
        return checkout
    raise UserError(
        "this plugin was built without moedsr's core; install the zip that 'make plugin' writes"
    )


def has_nvidia() -> bool:
    """Whether an NVIDIA driver answers."""
    program = shutil.which("nvidia-smi")
    if program is None or sys.platform == "darwin":
        return False
    try:
        done = subprocess.run(
            [program, "-L"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=ASK_S, creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and "GPU" in done.stdout


def python_with_pip() -> str:
    """A Python that can fetch packages: PyMOL's own, or one that the shell knows.

    Raises:
        UserError: If there is none.
    """
    for python in _pythons():
        try:
            done = subprocess.run(
                [python, "-m", "pip", "--version"], stdin=subprocess.DEVNULL, capture_output=True,
                timeout=ASK_S, **surroundings(python),
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return python
    raise UserError(
        "no Python with pip was found, which an installation begins with; install Python 3.10 or "
        "newer from your system or python.org, and try again"
    )


def _pythons() -> Iterator[str]:
    yield from own_interpreters()
    for name in ("python3", "python"):
        found = shutil.which(name)
        if found:
            yield found


def refuse_closed(folder: Path) -> None:
    """Look whether a folder can be made.

    Raises:
        UserError: If not.
    """
    if not os.access(_there(folder), os.W_OK | os.X_OK):
        raise UserError(
            f"{folder} cannot be made, for {_there(folder)} is closed to you; name another folder "
            "in the variable MOEDSR_ENV_DIR"
        )


def free_mb(folder: Path) -> float:
    """Free space where a folder is or will be [MB]; 0 where that cannot be told."""
    try:
        return shutil.disk_usage(_there(folder)).free / 1e6
    except OSError:
        return 0.0


def _there(folder: Path) -> Path:
    """The folder, or the one above it that is there."""
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder
