"""Work that the plugin gives to the core as a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymol_support import wait_until

from moedsr_core.chart import draw
from moedsr_pymol.core_process import ChildProcess, CoreProcess
from moedsr_pymol.errors import StoppedError, UserError
from moedsr_pymol.measure.chart import Chart, Series
from moedsr_pymol.measure.files import deliver
from moedsr_pymol.steps import Report, Steps

REPOSITORY = Path(__file__).resolve().parents[1]
CHART = Chart(
    title="a title",
    x_label="residue",
    y_label="motion [Å]",
    series=(Series("", np.arange(2), np.array([1.0, np.nan])),),
    kind="bar",
    tick_labels=("A/1 GLY", "A/2 ALA"),
)


@pytest.fixture(autouse=True)
def scratch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Where temporary folders go; it is empty at the end."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("MOEDSR_PYTHON", sys.executable)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def drawing(target: Path) -> CoreProcess:
    request = {"charts": [CHART.to_dict()] * 2, "ending": target.suffix}
    return CoreProcess(
        "chart", request, collect=lambda made: deliver(made / f"chart{target.suffix}", target)
    )


def finish(task: Any) -> Any:
    while not task.over:
        task.step(0.1)
    return task


def test_diagrams_are_drawn_and_progress_is_told(tmp_path, capsys):
    target = tmp_path / "out.svg"
    report = Report("surf", False)
    task = finish(Steps(drawing(target).through(report), report))
    assert task.error is None
    picture = target.read_text(encoding="utf-8")
    assert picture.startswith("<?xml") and picture.count("<!-- a title -->") == 2
    assert "<!-- A/2 ALA -->" in picture
    assert "surf: drawing" in capsys.readouterr().out


def test_cancelling_leaves_no_child_no_folder_and_no_file(tmp_path):
    target = tmp_path / "out.png"
    report = Report("surf", True)
    process = drawing(target)
    task = Steps(process.through(report), report)
    task.step(0.0)
    assert wait_until(lambda: process._process is not None)
    task.cancel()
    assert task.over and task.cancelled and isinstance(process.error, StoppedError)
    assert process.wait_for_end(20.0)
    assert process._process is not None and process._process.returncode
    assert not target.exists()


class Silent(ChildProcess):
    """A child that says nothing and waits for its input to close."""

    def start(self, folder: Path) -> Any:
        command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        return subprocess.Popen(command, **pipes)  # type: ignore[call-overload]

    def heard(self, line: bytes) -> dict[str, Any]:
        return {}


def test_a_silent_child_is_ended_at_once():
    child = Silent("it", lambda folder: None)
    assert wait_until(lambda: child._process is not None)
    child.cancel()
    ended = child.wait_for_end(20.0)
    child._process.kill()
    assert ended and child.over


def test_a_computer_without_the_core_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("MOEDSR_PYTHON", str(tmp_path / "python"))
    process = finish(drawing(tmp_path / "out.png"))
    assert isinstance(process.error, UserError) and "there is no Python at" in str(process.error)
    assert process.wait_for_end(10.0)


def test_what_fails_in_the_core_comes_in_its_own_words(monkeypatch):
    process = finish(CoreProcess("no_such_module", {}))
    assert "the core failed" in str(process.error) and "no_such_module" in str(process.error)
    assert process.wait_for_end(10.0)


WAITS = """
import sys, threading
from moedsr_core import plugin_task
def work(folder, request, tell):
    tell(request["stage"], 1, 3)
    tell(request["stage"], 3, 3)
    threading.Event().wait()
sys.exit(plugin_task.run(work))
"""


@contextmanager
def running(command: list[str]) -> Iterator[Any]:
    """A child that is gone in the end, whatever happens."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            yield child
        finally:
            child.kill()


def test_a_child_ends_when_its_parent_does(tmp_path):
    (tmp_path / "request.json").write_text('{"stage": "waiting"}', encoding="utf-8")
    command = [sys.executable, "-c", WAITS, str(tmp_path)]
    with running(command) as child:
        said = json.loads(child.stdout.readline())
        assert (said["stage"], said["done"], said["total"]) == ("waiting", 1, 3)
        assert said["seconds_left"] is None  # one step is no measure
        assert json.loads(child.stdout.readline())["seconds_left"] == 0.0
        child.stdin.close()
        assert child.wait(30) == 1


def test_a_request_that_is_not_there_is_one_sentence(tmp_path, monkeypatch, capsys):
    from moedsr_core import plugin_task

    monkeypatch.setattr(sys, "argv", ["chart", str(tmp_path)])
    monkeypatch.setattr(plugin_task, "_end_with_parent", lambda: None)
    assert plugin_task.run(lambda *_: None) == 2
    assert "expected request.json in" in json.loads(capsys.readouterr().out)["error"]


def test_along_states_only_whole_numbers_are_written(tmp_path):
    states = Chart("t", "state", "y", (Series("", np.arange(1, 4), np.array([10.0, 30.0, 20.0])),))
    between = Chart("t", "Å", "y", (Series("", np.array([0.5, 2.5]), np.array([10.0, 30.0])),))
    for chart, has in ((states, False), (between, True)):
        draw([chart.to_dict()], tmp_path / "t.svg")
        text = (tmp_path / "t.svg").read_text(encoding="utf-8")
        assert bool(re.search(r"<!-- [0-3][.][0-9]+ -->", text)) == has


def test_time_is_told_by_the_pace_of_the_present_stage(monkeypatch):
    from moedsr_pymol import steps

    clock = iter([0.0, 0.0, 50.0, 53.0, 60.0, 60.0, 72.0])
    monkeypatch.setattr(steps.time, "monotonic", lambda: next(clock))
    report = Report("surf", True)
    told = []
    for stage, done in (("a", 0), ("a", 1), ("a", 2), ("a", 3), ("b", 10), ("b", 13)):
        report.update(stage, done, 20)
        told.append(report.seconds_left)
    assert told == [None, None, None, 340.0, None, 28.0]
