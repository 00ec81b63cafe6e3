"""A panel without a window of PyMOL's around it: its own is drawn off the screen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymol_support import BackendDouble, FakeBackend, open_pymol

WAIT_MS = 20_000


@pytest.fixture(scope="module")
def pymol_instance() -> Iterator[Any]:
    with open_pymol() as cmd:
        yield cmd


@pytest.fixture
def cmd(pymol_instance: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[Any]:
    """A PyMOL that takes itself for one with a window, with the peptide ``prot`` alone."""
    from moedsr_pymol import window
    from moedsr_pymol.workspace import Workspace

    cmd = pymol_instance
    monkeypatch.setattr(window, "in_window", lambda: True)
    monkeypatch.setenv("MOEDSR_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("MOEDSR_JOBS_DIR", str(tmp_path / "jobs"))
    cmd._pymol._moedsr = Workspace()
    for name in cmd.get_names("all"):
        if name != "prot":
            cmd.delete(name)
    cmd.mset()
    yield cmd
    cmd.log_close()


@pytest.fixture
def lines(cmd: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that the panel has given."""
    from moedsr_pymol.panel.emit import Emitter

    given: list[str] = []
    original = Emitter.do

    def do(self: Any, line: str) -> None:
        given.append(line)
        original(self, line)

    monkeypatch.setattr(Emitter, "do", do)
    return given


@pytest.fixture
def serve(cmd: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., FakeBackend]]:
    """Makes a stand-in of some behaviour the backend on this computer."""
    from moedsr_pymol import backends
    from moedsr_pymol.workspace import Workspace

    opened: list[FakeBackend] = []

    def start(**behaviour: Any) -> FakeBackend:
        fake = FakeBackend(**behaviour)
        fake.__enter__()
        opened.append(fake)
        monkeypatch.setitem(backends.BACKENDS, "local", BackendDouble(fake))
        return fake

    yield start
    for job in Workspace.of(cmd).jobs.values():
        job.cancel()
    for fake in opened:
        fake.__exit__()


@pytest.fixture
def open_panel(cmd: Any, qtbot: Any) -> Callable[[], Any]:
    """Opens a panel, which is shown."""

    def make() -> Any:
        from moedsr_pymol.panel.dock import Panel

        panel = Panel(cmd)
        qtbot.addWidget(panel)
        panel.show()
        return panel

    return make


@pytest.fixture
def panel(serve: Any, open_panel: Any) -> Any:
    """A panel whose backend sends frames at once."""
    serve()
    return open_panel()


def wait(qtbot: Any, condition: Callable[[], Any]) -> None:
    """Let events pass until something is true."""
    qtbot.waitUntil(lambda: bool(condition()), timeout=WAIT_MS)


def predicted(qtbot: Any, panel: Any, frames: int = 4, name: str = "") -> Any:
    """Predict by a press, to the end; the surface."""
    panel.predict.frames.setValue(frames)
    panel.predict.name.setText(name)
    panel.predict.jobs.action.click()
    wait(qtbot, lambda: panel.desk.jobs)
    wait(qtbot, lambda: not panel.desk.jobs and panel.predict.jobs.job is None)
    return panel.desk.workspace.surfaces[name or "prot_surf"]
