"""Make the virtual environment: ``python scripts/make_venv.py [FOLDER]``. Standard library only.

Where it runs as root on Debian or Ubuntu it also installs what a window needs on a machine
without a display; anywhere else it names what is missing and goes on, and the tests that need a
window skip.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST_PYTHON = (3, 10)
EXTRAS = "server,train,simulate,cluster,dev,soak,docs"
DISPLAY_PACKAGES = (
    "xvfb", "libgl1-mesa-dri", "libegl1", "libgl1", "libxkbcommon-x11-0", "libxcb-cursor0",
    "libxcb-icccm4", "libxcb-keysyms1", "libxcb-shape0", "libxcb-image0",
    "libxcb-render-util0", "libxcb-xinerama0", "libdbus-1-3",
)  # fmt: skip


def missing_display_packages() -> list[str]:
    """Debian packages of a virtual display that are not installed; none where dpkg is unknown."""
    if shutil.which("dpkg-query") is None:
        return []
    command = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n"]
    answer = subprocess.run([*command, *DISPLAY_PACKAGES], capture_output=True, text=True)
    installed = {
        line.split()[0] for line in answer.stdout.splitlines() if line.endswith(" installed")
    }
    return [name for name in DISPLAY_PACKAGES if name not in installed]


def install_display_packages() -> None:
    """Install the packages of a virtual display if allowed to; never fails."""
    missing = missing_display_packages()
    if not missing:
        return
    is_root = getattr(os, "geteuid", lambda: 1)() == 0
    if not is_root or shutil.which("apt-get") is None or not _apt_get(missing):
        print(
            f"Without {' '.join(missing)} there is no virtual display; "
            "the tests that open a window will be skipped."
        )


def _apt_get(packages: list[str]) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages]
    for command in (["apt-get", "update", "--quiet"], install):
        try:
            done = subprocess.run(command, env=environment, timeout=600)
        except (OSError, subprocess.TimeoutExpired):
            return False
    return done.returncode == 0


def interpreter(folder: Path) -> Path:
    """Python of the virtual environment in ``folder``."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def make(folder: Path) -> None:
    """Create the environment anew and install moedsr into it, at the versions of constraints.txt.

    Raises:
        FileExistsError: If the folder holds something else than a virtual environment.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").is_file():
        raise FileExistsError(f"{folder} is not a virtual environment; name an empty folder")
    venv.create(folder, with_pip=True, clear=True)
    command = [
        str(interpreter(folder)), "-m", "pip", "install", "--disable-pip-version-check",
        "--no-compile", "--constraint", str(ROOT / "constraints.txt"),
        "--editable", f"{ROOT}[{EXTRAS}]",
    ]  # fmt: skip
    subprocess.run(command, check=True)
    compile_all(folder)


def compile_all(folder: Path) -> None:
    """Compile what was installed, but for its tests, on all cores; pip would take one."""
    lib = folder / "Lib" if os.name == "nt" else folder / "lib"
    command = ["-m", "compileall", "-qq", "-j", "0", "-x", r"[/\\]tests?[/\\]", str(lib)]
    subprocess.run([str(interpreter(folder)), *command], check=False)  # some are of other Pythons


def main() -> int:
    """Set up everything; returns the exit code."""
    if sys.version_info < OLDEST_PYTHON:
        have, need = (".".join(map(str, v)) for v in (sys.version_info[:2], OLDEST_PYTHON))
        print(f"moedsr needs Python {need} or newer, this is {have}; try make PYTHON=python3.12")
        return 2
    install_display_packages()
    try:
        make(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / ".venv"))
    except FileExistsError as error:
        print(error)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"The virtual environment could not be made: {' '.join(error.cmd[:4])} … failed.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
