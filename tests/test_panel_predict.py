"""The panel's Predict tab, clicked through against a stand-in for the backend."""

from __future__ import annotations

import threading

import pytest
from panel_support import *  # noqa: F403
from panel_support import predicted, wait
from pymol_support import CARD

from moedsr_pymol import backends
from moedsr_pymol.errors import BackendError
from moedsr_pymol.local_backend import LocalBackend
from moedsr_pymol.panel import job_view
from moedsr_pymol.panel.light import BAD, GOOD, UNKNOWN

pytest.importorskip("pytestqt")


def test_a_press_predicts_and_the_button_becomes_the_one_that_cancels(qtbot, serve, open_panel):
    serve(pause=0.02)
    panel = open_panel()
    view = panel.predict.jobs
    assert panel.predict.molecule.selection.currentText() == "prot"
    assert view.action.text() == "Predict"
    panel.predict.frames.setValue(30)
    view.action.click()
    wait(qtbot, lambda: view.job is not None and view.bar.value() > 3)
    assert view.action.text() == "Cancel"
    assert view.bar.maximum() == 30
    assert " of 30 frames" in view.said.text()
    wait(qtbot, lambda: view.job is None)
    assert view.action.text() == "Predict"
    assert view.said.text().startswith("30 frames in ")
    assert panel.desk.cmd.count_states("prot_surf") == 30


def test_the_movie_plays_while_frames_arrive(qtbot, serve, open_panel, lines):
    serve(pause=0.02)
    panel = open_panel()
    predicted(qtbot, panel, 8)
    assert lines == ["moedsr_predict prot, frames=8", "mplay"]
    panel.desk.cmd.mstop()
    panel.predict.jobs.play.setChecked(False)
    predicted(qtbot, panel, 8)
    assert lines[2:] == ["moedsr_predict prot, frames=8"]


def test_a_double_click_predicts_and_does_not_cancel(qtbot, serve, open_panel, lines, monkeypatch):
    from pymol.Qt import QtCore

    serve(silent_at=3)
    panel = open_panel()
    view, left = panel.predict.jobs, QtCore.Qt.MouseButton.LeftButton
    monkeypatch.setattr(job_view, "DEAF_S", 60.0)
    qtbot.mouseClick(view.action, left)
    wait(qtbot, lambda: view.action.text() == "Cancel")
    qtbot.mouseDClick(view.action, left)
    qtbot.mouseClick(view.action, left)
    assert lines == ["moedsr_predict prot, frames=100"]
    monkeypatch.setattr(job_view, "DEAF_S", 0.0)
    qtbot.mouseClick(view.action, left)
    assert lines[1:] == ["moedsr_cancel prot_surf"]


def test_a_press_that_began_before_the_button_changed_is_void(qtbot, panel, lines, monkeypatch):
    from pymol.Qt import QtCore

    action, left = panel.predict.jobs.action, QtCore.Qt.MouseButton.LeftButton
    monkeypatch.setattr(job_view, "DEAF_S", 0.0)
    action.mean("Cancel", "")
    qtbot.mousePress(action, left)
    action.mean("Predict", "")
    qtbot.mouseRelease(action, left)
    assert lines == []


def cancel_when(qtbot, panel, condition):
    """Press twice, the second time once something is so; states of the surface then."""
    panel.predict.frames.setValue(40)
    view = panel.predict.jobs
    view.action.click()
    wait(qtbot, lambda: view.job is not None and condition(view.job))
    view.action.click()
    wait(qtbot, lambda: view.job is None)
    assert view.action.text() == "Predict"
    assert view.action.isEnabled()
    assert not panel.notice.isVisible()
    names = panel.desk.cmd.get_names()
    return panel.desk.cmd.count_states("prot_surf") if "prot_surf" in names else 0


def test_cancelled_before_the_first_frame_nothing_is_left(qtbot, serve, open_panel):
    serve(silent_at=0)
    panel = open_panel()
    assert cancel_when(qtbot, panel, lambda job: True) == 0
    assert panel.predict.jobs.said.text() == "Cancelled"


def test_cancelled_in_the_middle_finished_frames_stay(qtbot, serve, open_panel):
    fake = serve(pause=0.03)
    panel = open_panel()
    kept = cancel_when(qtbot, panel, lambda job: len(job.surface.frames) > 5)
    assert 5 < kept < 40
    assert panel.predict.jobs.said.text() == f"Cancelled; kept {kept} frames"
    wait(qtbot, lambda: fake.jobs["job0"]["cancelled"])


def test_cancelled_at_the_last_frame_all_of_them_stay(qtbot, serve, open_panel):
    serve(silent_at=39)
    panel = open_panel()
    assert cancel_when(qtbot, panel, lambda job: len(job.surface.frames) == 39) == 39


def test_the_panel_closed_in_mid_job_finds_the_job_when_it_opens_again(qtbot, serve, open_panel):
    serve(pause=0.03)
    panel = open_panel()
    panel.predict.frames.setValue(40)
    panel.predict.jobs.action.click()
    wait(qtbot, lambda: panel.desk.cmd.get_names()[-1] == "prot_surf")
    panel.close()
    assert not panel.desk.watch.active
    before = panel.desk.cmd.count_states("prot_surf")
    wait(qtbot, lambda: panel.desk.cmd.count_states("prot_surf") > before)
    panel.present()
    assert panel.predict.jobs.action.text() == "Cancel"
    wait(qtbot, lambda: panel.predict.jobs.job is None)
    assert panel.desk.cmd.count_states("prot_surf") == 40


def test_a_server_that_dies_is_told_with_advice_and_the_frames_stay(qtbot, serve, open_panel):
    fake = serve(fails="the computation ran out of memory at frame 3")
    panel = open_panel()
    predicted(qtbot, panel, 3)
    assert panel.notice.isVisible()
    assert "out of memory" in panel.notice.details.toPlainText()
    assert panel.notice.title.text() == "The computation ended by itself"
    assert panel.predict.jobs.said.text() == "Failed; kept 3 frames"
    assert fake.jobs


def test_without_a_core_the_advice_is_to_install_it(qtbot, cmd, open_panel, monkeypatch):
    def none() -> str:
        raise BackendError("no Python that holds moedsr was found; type 'moedsr_install'")

    monkeypatch.setattr("moedsr_pymol.local_backend.find_python", none)
    monkeypatch.setitem(backends.BACKENDS, "local", LocalBackend())
    panel = open_panel()
    wait(qtbot, lambda: panel.predict.light.state == BAD)
    assert panel.predict.light.text == "not installed"
    panel.predict.jobs.action.click()
    wait(qtbot, panel.notice.isVisible)
    assert panel.notice.title.text() == "The part that computes is not installed"
    assert panel.notice.go.text() == "Install…"
    wait(qtbot, lambda: panel.predict.jobs.job is None)
    assert panel.predict.jobs.action.text() == "Predict"


def test_a_wrong_selection_is_said_and_nothing_is_asked(qtbot, panel, lines):
    panel.predict.molecule.selection.setCurrentText("resn ZZZ; quit")
    panel.predict.jobs.action.click()
    assert panel.notice.title.text() == "No such molecule"
    assert lines == []
    panel.predict.molecule.selection.setCurrentText("prot and resi 1+2, prot")
    panel.predict.jobs.action.click()
    assert lines == ["moedsr_predict (prot and resi 1+2, prot), frames=100"]


def test_the_lists_follow_what_is_loaded(qtbot, panel, cmd):
    field = panel.predict.molecule.selection
    cmd.fab("AAAA", "second")
    cmd.select("half", "prot and resi 1-3")
    panel.desk.watch.look()
    listed = [field.itemText(k) for k in range(field.count())]
    assert [text for text in listed if text] == ["prot", "second", "half"]
    assert field.currentText() == "prot"
    field.setCurrentText("second")
    panel.predict.molecule.look()
    about = panel.predict.molecule.about
    assert about.text().startswith("4 residues, ") and about.text().endswith(
        "so this will be a guess"
    )
    field.setCurrentText("prot")
    panel.predict.molecule.look()
    assert about.text().endswith(" atoms of protein or nucleic acid")
    cmd.delete("second")
    panel.desk.watch.look()
    assert field.currentText() == "prot"


def test_a_hidden_panel_leaves_pymol_alone(qtbot, panel):
    assert panel.desk.watch.active
    panel.hide()
    assert not panel.desk.watch.active


def test_the_light_tells_whether_the_backend_answers(qtbot, serve, open_panel):
    fake = serve(health={"device": "cuda:0"})
    panel = open_panel()
    light = panel.predict.light
    assert light.state == UNKNOWN
    wait(qtbot, lambda: light.state == GOOD)
    assert light.text == "cuda:0"
    said = {"detail": "this needs the backend's token"}
    fake.behaviour["answers"] = {"GET /health": [(401, {}, said)]}
    light.look()
    wait(qtbot, lambda: light.state == BAD)
    assert "does not accept this token" in light.toolTip()


def test_the_card_of_the_model_is_shown(qtbot, panel):
    wait(qtbot, panel.predict.models.card.isEnabled)
    assert panel.predict.models.model.itemText(0) == "Default (fake)"
    panel.predict.models.card.click()
    wait(qtbot, lambda: panel.predict.models.dialog)
    assert "A ball that grows." in panel.predict.models.dialog.browser.toPlainText()
    assert CARD.startswith("# ")
    panel.predict.models.dialog.close()


def test_what_was_done_makes_the_same_objects_as_a_script(qtbot, panel, cmd, lines, tmp_path):
    script = tmp_path / "session.pml"
    predicted(qtbot, panel, 6)
    panel.look._list_surfaces()
    panel.look.mode.setCurrentIndex(panel.look.mode.findData("fluctuation"))
    panel.look.mode.activated.emit(0)
    wait(qtbot, lambda: not panel.desk.workspace.surfaces["prot_surf"].outdated())
    predicted(qtbot, panel, 3, name="other")
    script.write_text("\n".join(lines), encoding="utf-8")
    first = {name: cmd.count_states(name) for name in cmd.get_names()}
    colouring = panel.desk.workspace.surfaces["prot_surf"].coloring
    for name in ("prot_surf", "other"):
        cmd.delete(name)
    cmd.mstop()
    cmd.do(f"@{script}")
    assert {name: cmd.count_states(name) for name in cmd.get_names()} == first
    assert panel.desk.workspace.surfaces["prot_surf"].coloring == colouring


def test_size_and_choices_are_there_the_next_time(qtbot, panel, open_panel):
    panel.predict.frames.setValue(33)
    panel.predict.spacing.setCurrentIndex(2)
    panel.tabs.setCurrentIndex(3)
    panel.close()
    again = open_panel()
    assert again.predict.order.frames == 33
    assert again.predict.order.spacing == panel.predict.spacing.itemData(2)
    assert again.tabs.currentIndex() == 3


@pytest.fixture
def beside(qtbot, cmd, monkeypatch):
    """Opens the panel of a window, under a Qt where it floats or not."""
    import sys
    from types import SimpleNamespace

    from pymol.Qt import QtWidgets

    from moedsr_pymol.panel import dock

    window = QtWidgets.QMainWindow()
    qtbot.addWidget(window)
    monkeypatch.setitem(sys.modules, "pymol.gui", SimpleNamespace(get_qtwindow=lambda: window))

    def open_one(floats):
        monkeypatch.setattr(dock, "FLOATS", floats)
        return dock.Panel.beside_the_molecules(cmd)

    return open_one


def test_under_qt_6_the_panel_floats_until_it_is_docked_by_hand(beside):
    assert not beside(False).isFloating()
    earlier = beside(False)
    earlier.remember()  # docked under Qt 5, where that is usual
    panel = beside(True)
    assert panel.isFloating()
    panel.setFloating(False)
    panel.remember()
    assert not beside(True).isFloating()


def test_a_floating_panel_lies_beside_the_molecules_where_there_is_room():
    from pymol.Qt import QtCore

    from moedsr_pymol.panel.dock import place_beside

    screen, size = QtCore.QRect(0, 20, 1400, 880), QtCore.QSize(420, 680)

    def place(x, y, left=False):
        at = place_beside(QtCore.QRect(x, y, 640, 500), screen, size, left)
        return at.x(), at.y()

    assert place(0, 100) == (640, 100)
    assert place(500, 100) == (80, 100)
    assert place(420, 0) == (0, 20)
    assert place(420, 100, left=True) == (0, 100)
    assert place(400, 500) == (980, 220)  # neither side has room: at the screen's edge


def test_commands_that_ask_a_server_let_the_windows_events_go_on(qtbot, panel, cmd):
    from pymol.Qt import QtCore

    from moedsr_pymol.window import outside

    passed = threading.Event()
    QtCore.QTimer.singleShot(20, passed.set)
    assert outside(lambda: passed.wait(20), cmd)
    with pytest.raises(BackendError, match="away"):
        outside(fail, cmd)


def fail() -> None:
    raise BackendError("it is away")
