"""A run folder: configuration, versions, split, log and checkpoints of one training."""

from __future__ import annotations

import csv
import io
import json
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import moedsr_core
from moedsr_core.errors import InputError
from moedsr_core.files import whole_file, writing
from moedsr_core.training.checkpoint import BEST, WEIGHTS
from moedsr_core.training.world import World
from moedsr_core.wording import reason


def run_of(weights: Path) -> Path | None:
    """The run folder that weights lie in, as a trained model or as its best so far, if any."""
    if weights.name != WEIGHTS:
        return None
    run = weights.parent.parent if weights.parent.name == BEST else weights.parent
    return run if (run / "config.json").is_file() else None


@dataclass(frozen=True)
class RunFolder:
    """Where a run is kept.

    ``config.json``, ``split.json``, ``versions.json``, ``log.csv``, ``last`` and ``best`` (the
    checkpoints), ``best/weights`` (the best model so far), ``weights`` (the model, once trained)
    and ``tensorboard`` where asked for.
    """

    path: Path
    """The folder."""
    tensorboard: bool = False
    """Whether the log goes to TensorBoard as well."""

    @property
    def last(self) -> Path:
        """Checkpoint that a killed run goes on from."""
        return self.path / "last"

    @property
    def best(self) -> Path:
        """Checkpoint that scored best in validation."""
        return self.path / BEST

    @property
    def weights(self) -> Path:
        """The trained model, for ``load_model``."""
        return self.path / WEIGHTS

    def check(self, config: dict[str, Any], split: dict[str, Any]) -> None:
        """See that the folder is free, or holds this very run.

        Args:
            config: Everything that decides the result.
            split: What is trained and validated on.

        Raises:
            InputError: If the folder holds another run.
        """
        for name, what, wanted in (
            ("config", "configuration", config), ("split", "split", split),
        ):  # fmt: skip
            path = self.path / f"{name}.json"
            if path.exists() and _read_json(path) != json.loads(json.dumps(wanted)):
                raise InputError(
                    f"{self.path} holds a run of another {what}; give another --out or remove it"
                )

    def claim(self, config: dict[str, Any], split: dict[str, Any], world: World) -> None:
        """Make the folder this run's, and note what it runs with; see :meth:`check`.

        Raises:
            InputError: If the folder holds another run, or cannot be written to.
        """
        self.check(config, split)
        world.wait()
        if not world.writes:
            return
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        _write_json(self.path / "config.json", config)
        _write_json(self.path / "split.json", split)
        sittings = self.path / "versions.json"
        known = _read_json(sittings) if sittings.exists() else []
        _write_json(sittings, [*known, {**versions(), "processes": world.size}])

    def log(
        self, step: int, columns: tuple[str, ...], scores: tuple[str, ...], world: World
    ) -> RunLog:
        """The run's log, opened to go on after ``step``."""
        names = ["step", "seconds", "seconds_left", *columns, *(f"val_{name}" for name in scores)]
        return RunLog(self, step, names) if world.writes else RunLog(None, step, names)


class RunLog:
    """Lines of ``log.csv``, and the same for TensorBoard; nothing where there is no folder.

    Lines after the checkpoint that a killed run goes on from are taken back.
    """

    def __init__(self, folder: RunFolder | None, step: int, columns: list[str]) -> None:
        self._columns, self._path, self._board = columns, None, None
        if folder is None:
            return
        self._path = folder.path / "log.csv"
        kept = [row for row in read_log(self._path) if int(row["step"]) <= step]
        with whole_file(self._path) as file:
            file.write((",".join(columns) + "\n").encode() + _lines(columns, kept))
        if folder.tensorboard:
            self._board = _summary_writer(folder.path / "tensorboard", step)

    def write(self, row: dict[str, float]) -> None:
        """Append one line."""
        if self._path is None:
            return
        with writing(self._path), self._path.open("ab") as file:
            file.write(_lines(self._columns, [row]))
        if self._board is not None:
            for name, value in row.items():
                self._board.add_scalar(name, value, int(row["step"]))
            self._board.flush()

    def close(self) -> None:
        """Let go of the files."""
        if self._board is not None:
            self._board.close()


def read_log(path: Path) -> list[dict[str, str]]:
    """Whole lines of a ``log.csv``; none where there is no file."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    rows = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1]))
    return [row for row in rows if None not in row.values()]


def versions() -> dict[str, str]:
    """What a result depends on beside the configuration."""
    return {
        "moedsr": moedsr_core.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
    }


def _commit() -> str:
    """Commit of the checkout that this code runs from; empty where it is installed."""
    root = Path(moedsr_core.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return ""
    try:
        command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--match", ""]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _lines(columns: list[str], rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    csv.DictWriter(text, columns, restval="", lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _summary_writer(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError(
            'TensorBoard is not installed; install it with pip install "moedsr[train]" or leave '
            "out run.tensorboard"
        ) from error
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)


def _write_json(path: Path, data: Any) -> None:
    with whole_file(path) as file:
        file.write(json.dumps(data, indent=1).encode())


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({reason(error)}); give another --out") from error
