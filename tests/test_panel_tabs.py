"""The panel's other tabs: Look, Measure, Jobs and Settings."""

from __future__ import annotations

import numpy as np
import pytest
from panel_support import *  # noqa: F403
from panel_support import predicted, wait
from pymol_support import SEQUENCE, FakeBackend, call

from moedsr_pymol.coloring import UNKNOWN
from moedsr_pymol.errors import UserError
from moedsr_pymol.install.plan import Plan
from moedsr_pymol.measure.chart import Chart, Series
from moedsr_pymol.panel import jobs_tab, settings_tab
from moedsr_pymol.panel.chart_view import ChartView
from moedsr_pymol.servers import known_servers
from moedsr_pymol.settings import load_settings

pytest.importorskip("pytestqt")


@pytest.fixture
def made(qtbot, panel, lines):
    """A panel with a surface of four frames, and nothing said so far."""
    panel.predict.jobs.play.setChecked(False)
    predicted(qtbot, panel)
    panel.desk.watch.look()
    lines.clear()
    return panel


def pick(field, value):
    """Choose an item as a user does."""
    field.setCurrentIndex(field.findData(value))
    field.activated.emit(field.currentIndex())


def test_colours_are_chosen_and_the_legend_follows(made, lines):
    look = made.look
    assert look.surface.currentData() == "prot_surf"
    assert look.legend.mode == "motion"
    pick(look.mode, "charge")
    assert lines == ["moedsr_color prot_surf, charge"]
    assert look.legend.ends == (-1.0, 1.0)
    look.high.setValue(2.0)
    assert lines[1:] == ["moedsr_color prot_surf, charge, minimum=-1, maximum=2"]
    assert look.legend.ends == (-1.0, 2.0)
    look.auto.click()
    assert look.legend.ends == (-1.0, 1.0)


def test_the_share_of_each_expert_can_be_shown(made, lines):
    made.look.set_active(True)
    pick(made.look.mode, "expert2")
    assert lines == ["moedsr_color prot_surf, expert2"]
    assert made.desk.workspace.surfaces["prot_surf"].coloring.expert == 2


def test_transparency_and_smoothing(qtbot, made, lines, cmd):
    made.look.opaque.setValue(40)
    made.look.opaque.sliderReleased.emit()
    made.look.passes.setValue(3)
    assert lines == ["set cgo_transparency, 0.4, prot_surf", "moedsr_smooth prot_surf, 1, passes=3"]
    assert cmd.get_setting_float("cgo_transparency", "prot_surf") == pytest.approx(0.4)
    assert made.desk.workspace.surfaces["prot_surf"].smoothing.passes == 3


def test_the_movie_is_played_paused_and_stepped_through(made, lines, cmd):
    player = made.look.player
    player.look()
    assert (player.slider.maximum(), player.where.text()) == (4, "1 / 4")
    player.play.click()
    assert cmd.get_movie_playing()
    player.play.click()
    player.slider.setValue(3)
    player.slider.sliderReleased.emit()
    player.fps.setValue(20)
    player.back.click()
    assert cmd.count_frames() == 6  # 1 2 3 4 3 2
    player.back.click()
    assert cmd.count_frames() == 4
    assert lines == ["mplay", "mstop", "frame 3", "set movie_fps, 20", "mset 1 -4 -2", "mset"]


def test_a_movie_that_somebody_made_is_replaced_after_a_question_alone(
    made, lines, cmd, monkeypatch
):
    player = made.look.player
    cmd.mset("1 x30")
    monkeypatch.setattr(f"{type(player).__module__}.sure", lambda *_: False)
    player.back.click()
    assert lines == [] and cmd.count_frames() == 30 and not player.back.isChecked()
    monkeypatch.setattr(f"{type(player).__module__}.sure", lambda *_: True)
    player.back.click()
    assert lines == ["mset 1 -4 -2"]
    cmd.mset("1 x30")
    player.look()
    assert cmd.count_frames() == 30 and not player.back.isChecked()


def test_back_and_forth_goes_through_all_states_of_the_next_prediction(qtbot, made, lines, cmd):
    player = made.look.player
    player.back.click()
    cmd.mplay()
    predicted(qtbot, made, 6)
    lines.clear()
    player.look()
    assert lines == ["mset 1 -6 -2"] and cmd.count_frames() == 10 and cmd.get_movie_playing()
    cmd.mstop()
    player.look()
    assert len(lines) == 1 and player.back.isChecked()


def test_several_predictions_stand_side_by_side(qtbot, made, lines, cmd):
    assert made.look.several.isHidden()
    predicted(qtbot, made, 3, name="other")
    made.desk.watch.look()
    several = made.look.several
    assert not several.isHidden()
    lines.clear()
    several.names.item(0).setCheckState(several.names.item(0).checkState().Unchecked)
    several.grid.click()
    assert lines == [
        "disable prot_surf", "set grid_slot, 1, prot_surf", "set grid_slot, 1, prot",
        "set grid_slot, 2, other", "set grid_mode, 1",
    ]  # fmt: skip
    several.grid.click()
    assert cmd.get_setting_int("grid_mode") == 0


def test_a_click_on_a_bar_selects_the_residue(made, lines, cmd):
    measure = made.measure
    assert measure.chosen.command == "moedsr_profile"
    measure.measure.click()
    (view,) = measure.views
    profile = made.desk.workspace.measurement("moedsr_profile", "prot_surf")
    k = int(np.argmax(profile.value))
    view.picked.emit(view.at(view.place(k).x()))
    assert lines[0] == "moedsr_profile prot_surf"
    assert lines[1].startswith("select sele, ")
    found: set[tuple] = set()
    cmd.iterate("sele", "found.add((chain, resi))", space={"found": found})
    assert found == {(str(profile.chain[k]), str(profile.resi[k]))}
    assert profile.label(k) in view.text(k)


def test_what_a_typed_command_measures_is_shown_too(made, cmd):
    pick(made.measure.kind, made.measure.kind.itemData(1))
    assert made.measure.views == []
    cmd.do("moedsr_shape prot_surf")
    made.measure.look()
    assert [view.chart.title for view in made.measure.views]
    assert made.measure.save.isEnabled()
    assert all(not view.grab().isNull() for view in made.measure.views)


def test_what_was_measured_goes_with_the_surface_and_not_with_its_name(qtbot, made, cmd):
    measure = made.measure
    measure.measure.click()
    assert len(measure.views) == 1
    predicted(qtbot, made)
    measure.look()
    assert measure.views == [] and not measure.save.isEnabled()
    measure.measure.click()
    (view,) = measure.views
    cmd.set_name("prot_surf", "renamed")
    made.desk.watch.look()
    assert measure.surface.currentText() == "renamed" and measure.views == [view]


def test_there_is_nothing_to_read_between_two_states(qtbot):
    for x, texts in (([1, 2, 3], ["1", "2", "3"]), ([0.0, 0.5], ["0.0", "0.1", "0.2"])):
        series = Series("", np.array(x, float), np.array(x, float))
        view = ChartView(Chart("t", "state", "y", (series,)))
        qtbot.addWidget(view)
        assert [text for _, text in view._x_ticks()][:3] == texts


def test_experts_are_charted_and_a_pocket_is_asked_for(qtbot, made, lines):
    measure = made.measure
    pick(measure.kind, measure.kind.itemData(measure.kind.count() - 1))
    measure.measure.click()
    assert [len(view.chart.series) for view in measure.views] == [2]
    place = next(
        k for k in range(measure.kind.count()) if measure.kind.itemData(k).fields[:1] == ("pocket",)
    )
    pick(measure.kind, measure.kind.itemData(place))
    measure.pocket.setCurrentText("prot and resi 3")
    measure.measure.click()
    assert lines == ["moedsr_pocket prot_surf, (prot and resi 3), radius=6"]
    wait(qtbot, lambda: made.desk.workspace.measurement("moedsr_pocket", "prot_surf"))


def test_jobs_are_listed_loaded_and_deleted_after_a_question(qtbot, made, lines, monkeypatch):
    jobs = made.jobs
    made.open_tab("jobs")
    wait(qtbot, lambda: jobs.rows)
    assert [jobs.table.topLevelItem(0).text(k) for k in range(5)] == [
        "prot_surf", "done", "4/4", "1 s", "here",
    ]  # fmt: skip
    assert not jobs.load.isEnabled()
    jobs.table.setCurrentItem(jobs.table.topLevelItem(0))
    monkeypatch.setattr(jobs_tab, "sure", lambda *_: False)
    jobs.delete.click()
    assert lines == []
    jobs.load.click()
    assert lines == ["moedsr_fetch job0"]
    wait(qtbot, lambda: not made.desk.jobs)
    monkeypatch.setattr(jobs_tab, "sure", lambda *_: True)
    jobs.delete.click()
    assert lines[1:] == ["moedsr_delete job0"]
    wait(qtbot, lambda: not jobs.rows)


def test_a_server_is_added_used_and_forgotten(qtbot, panel, lines, tmp_path, monkeypatch):
    settings = panel.settings
    with FakeBackend() as fake:
        token = tmp_path / "token"
        token.write_text(fake.token)
        token.chmod(0o600)
        settings.address.setText(fake.url)
        settings.name.setText("lab")
        settings.token.setText(str(token))
        settings.connect_button.click()
        assert lines == [f"moedsr_backend {fake.url}, token_file={token}, name=lab"]
        assert [server.name for server in known_servers()] == ["lab"]
        assert load_settings()["backend"] == fake.url
        assert settings.backend.currentText() == "lab"
        assert panel.predict.backend.currentText() == "lab"
        assert panel.predict.order.backend == ""  # the one that is used
        assert settings.said.text() == "Connected; predictions go there now."
        fake.token = "another"
        settings.connect_button.click()
        assert settings.said.text() == "" and panel.notice.title.text().endswith("another token")
        monkeypatch.setattr(settings_tab, "sure", lambda *_: True)
        settings.forget.click()
    assert known_servers() == []


def test_results_are_counted_and_cleared_after_a_question(qtbot, made, lines, monkeypatch):
    from moedsr_pymol.settings import jobs_dir

    folder = jobs_dir() / "0" / "jobs" / "a1"
    folder.mkdir(parents=True)
    (folder / "00001.rec").write_bytes(b"x" * 2500)
    made.open_tab("settings")
    wait(qtbot, lambda: made.settings.used.text() == "2.5 kB in 1 job")
    monkeypatch.setattr(settings_tab, "sure", lambda *_: True)
    made.settings.clear.click()
    assert lines == ["moedsr_delete all, backend=local"]
    assert [r for r in made.desk.workspace.surfaces] == ["prot_surf"]


def test_the_installation_is_explained_before_it_begins(qtbot, panel, lines, monkeypatch, tmp_path):
    plan = Plan(tmp_path, "uv", True, False, 1100, 50_000.0)
    monkeypatch.setattr("moedsr_pymol.panel.install_dialog.installation_plan", lambda gpu: plan)
    panel.open_tab("install")
    dialog = panel.settings.install_dialog
    wait(qtbot, dialog.start.isEnabled)
    assert "About 1 GB on the disk" in dialog.about.text()
    assert lines == []
    dialog.close()


class Installing:
    """Stands for an installation under way."""

    def __init__(self) -> None:
        self.stage, self.state, self.error = "downloading and installing", "running", None
        self.done_mb, self.total_mb, self.over = 300.0, 1100.0, False
        self.log = ["making the environment …", "Downloading torch"]

    def cancel(self) -> None:
        self.state, self.over = "cancelled", True


def test_an_installation_shows_its_log_and_is_cancelled(qtbot, panel, lines, monkeypatch, tmp_path):
    plan = Plan(tmp_path, "uv", True, False, 1100, 50_000.0)
    monkeypatch.setattr("moedsr_pymol.panel.install_dialog.installation_plan", lambda gpu: plan)
    panel.desk.workspace.installation = Installing()
    panel.open_tab("install")
    dialog = panel.settings.install_dialog
    wait(qtbot, lambda: "Downloading torch" in dialog.log.toPlainText())
    assert dialog.said.text() == "Downloading and installing, 300 of about 1,100 MB."
    assert (dialog.bar.value(), dialog.bar.maximum()) == (300, 1100)
    dialog.stop.click()
    assert lines == ["moedsr_install cancel"]
    wait(qtbot, lambda: dialog.said.text() == "Cancelled; nothing was kept.")
    wait(qtbot, dialog.start.isEnabled)
    dialog.close()


def test_a_surprise_is_shown_with_details_to_copy(qtbot, panel):
    try:
        _ = 1 / 0
    except ZeroDivisionError as error:
        panel.desk.failed.emit(error)
    assert panel.notice.title.text() == "Something unexpected happened"
    assert not panel.notice.details.isHidden()
    panel.notice.copy.click()
    from pymol.Qt import QtWidgets

    assert "ZeroDivisionError" in QtWidgets.QApplication.clipboard().text()
    panel.notice.close_button.click()
    assert panel.notice.isHidden()


def refused(panel):
    """Something is refused, and said."""
    panel.desk.failed.emit(
        UserError("'prot_surf' holds no values for colour=charge; choose another")
    )
    assert panel.notice.isVisible()
    return panel.notice


def test_advice_goes_with_the_next_command_or_typed_prediction(qtbot, made, cmd, serve):
    serve(pause=0.02)
    notice = refused(made)
    made.look.player.look()
    made.desk.do("mplay", begins=False)
    made.desk.watch.look()
    assert notice.isVisible()
    made.look.player.play.click()
    assert notice.isHidden()
    refused(made)
    cmd.do("moedsr_predict prot, frames=30, name=typed")
    wait(qtbot, notice.isHidden)
    wait(qtbot, lambda: made.predict.jobs.job is None)


def test_advice_stays_while_an_earlier_prediction_goes_on(qtbot, panel, cmd, serve):
    serve(silent_at=2)
    view = panel.predict.jobs
    for name in ("first", "second"):
        cmd.do(f"moedsr_predict prot, frames=9, name={name}")
    view.look()
    panel.desk.failed.emit(UserError("no"))
    view.job.cancel()
    shown = view.job
    wait(qtbot, lambda: view.job not in (None, shown))
    assert panel.notice.isVisible()


def test_advice_goes_with_what_it_speaks_of(made, cmd):
    notice = refused(made)
    made.desk.watch.look()
    cmd.pseudoatom("else")
    made.desk.watch.look()
    assert notice.isVisible()
    cmd.delete("prot_surf")
    made.desk.watch.look()
    assert notice.isHidden()


def test_without_a_surface_nothing_is_saved(made, cmd):
    saving = made.look.saving
    assert saving.surface.isEnabled()
    assert saving.movie.isEnabled()
    cmd.delete("prot_surf")
    made.desk.watch.look()
    saving.look()
    assert not saving.surface.isEnabled()
    assert not saving.movie.isEnabled()


def test_a_cancelled_prediction_says_that_its_fluctuation_stays_unknown(qtbot, serve, open_panel):
    serve(silent_at=3)
    panel = open_panel()
    panel.predict.frames.setValue(9)
    panel.predict.jobs.action.click()
    wait(qtbot, lambda: "prot_surf" in panel.desk.workspace.surfaces)
    panel.desk.watch.look()
    panel.desk.cmd.do("moedsr_color prot_surf, fluctuation")
    panel.look.set_active(True)
    assert panel.look.legend.note == "Known once all frames are there."
    panel.predict.jobs.press()
    wait(qtbot, lambda: not panel.desk.jobs)
    panel.look.set_active(True)
    assert panel.look.legend.note == "The prediction ended before this was known."


@pytest.mark.parametrize("scale", ["hydrophobicity", "charge"])
def test_residues_colour_the_surface_and_unknown_ones_are_grey(made, cmd, scale):
    surface = made.desk.workspace.surfaces["prot_surf"]
    atom = surface.attributes["atom"]
    ends = {"hydrophobicity": ("ARG", "ILE"), "charge": ("ASP", "LYS")}[scale]
    for k, name in enumerate((*ends, "XYZ")):
        surface.atoms.residue_names[k::3] = name
    cmd.do(f"moedsr_color prot_surf, {scale}")
    colors = surface.coloring.colors(surface, 0, cmd)
    stops = surface.coloring.stops
    for k, color in enumerate((stops[0], stops[-1], UNKNOWN)):
        assert (atom % 3 == k).any()
        assert np.abs(colors[atom % 3 == k] - np.array(color)).max() < 1e-6


def test_a_fetched_surface_without_its_molecule_says_that_it_knows_no_residues(qtbot, made, cmd):
    cmd.set_name("prot", "elsewhere")
    try:
        call(cmd, "moedsr_fetch", "job0", name="fetched", wait=1)
        cmd.do("moedsr_color fetched, charge")
        assert "residues of 'fetched' cannot be told" in made.notice.details.toPlainText()
    finally:
        cmd.set_name("elsewhere", "prot")


def test_a_surface_and_a_movie_are_saved_by_commands(qtbot, made, lines, monkeypatch, tmp_path):
    saving = made.look.saving
    file = tmp_path / "a, b.npz"
    monkeypatch.setattr("moedsr_pymol.panel.saving.ask_file", lambda *_: str(file))
    saving.surface.click()
    assert lines == [f'moedsr_save prot_surf, "{file}"']
    wait(qtbot, lambda: file.is_file() and not made.desk.workspace.working())
    monkeypatch.setattr("moedsr_pymol.panel.saving.ask_file", lambda *_: "")
    saving.movie.click()
    assert len(lines) == 1


def test_another_level_of_the_same_prediction_is_asked_for(qtbot, made, lines):
    made.look.set_active(True)
    made.look.level.setValue(1.4)
    made.look.again.click()
    assert lines == ["moedsr_predict prot, frames=4, name=prot_surf, level=1.4"]
    wait(qtbot, lambda: made.predict.jobs.job is None)


def test_another_level_starts_from_the_state_that_was_predicted(qtbot, made, cmd, lines):
    cmd.create("two", "prot", 1, 1)
    cmd.create("two", "prot", 1, 2)
    cmd.frame(2)
    made.predict.molecule.selection.setCurrentText("two")
    predicted(qtbot, made, name="moves")
    cmd.frame(1)
    made.desk.watch.look()
    made.look.surface.setCurrentIndex(made.look.surface.findData("moves"))
    made.look.set_active(True)
    lines.clear()
    made.look.again.click()
    assert lines == ["moedsr_predict two, frames=4, name=moves, state=2"]
    wait(qtbot, lambda: made.predict.jobs.job is None)


def test_no_other_level_is_offered_of_a_prediction_that_was_typed(qtbot, made, cmd):
    made.look.set_active(True)
    assert made.look.again.isEnabled()
    cmd.do("moedsr_predict prot, frames=2, seed=5")
    wait(qtbot, lambda: not made.desk.jobs)
    made.look.set_active(True)
    assert made.look.shown.planned == 2 and not made.look.again.isEnabled()


def test_everything_may_be_deleted_under_the_panel(qtbot, made, cmd):
    made.measure.measure.click()
    made.look.set_active(True)
    cmd.reinitialize()
    try:
        made.desk.watch.look()
        for tab in ("predict", "look", "measure", "jobs", "settings"):
            made.open_tab(tab)
        assert made.look.shown is None
        assert not made.look.fields.isEnabled()
        assert not made.measure.measure.isEnabled()
        assert made.measure.views == []
        assert made.predict.molecule.text == ""
        made.predict.jobs.action.click()
        assert made.notice.title.text() == "No such molecule"
    finally:
        cmd.fab(SEQUENCE, "prot", chain="A")
