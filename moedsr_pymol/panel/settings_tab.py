"""The tab for who computes, and what is kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pymol.Qt import QtWidgets

from ..arguments import counted
from ..backends import BACKENDS
from ..install import installed
from ..servers import known_servers
from ..settings import jobs_dir, load_settings
from ..wording import size
from .desk import Desk
from .emit import command, path_text, word_text
from .install_dialog import InstallDialog
from .parts import Form, button, choice, choose, column, heading, hint, line, refill, row, sure


class SettingsTab(QtWidgets.QWidget):
    """Servers, the Python of this computer, and the results that are kept.

    Args:
        desk: What the tabs share.
    """

    def __init__(self, desk: Desk, parent: Any = None) -> None:
        super().__init__(parent)
        self._desk, self._busy = desk, False
        layout = column(self)
        for section in (self._usual(), self._server(), self._here(), self._kept()):
            layout.addWidget(section)
        layout.addStretch(1)
        desk.backend_changed.connect(self._show)
        self._show()

    def _usual(self) -> Any:
        self.backend = choice()
        self.backend.activated.connect(lambda _: self._use())
        self.forget = button("Forget…", self._forget, "Forget this server and its token")
        form = Form()
        form.add(
            "Compute on", row(self.backend, self.forget, stretch=0),
            "Where predictions are computed unless another place is chosen.",
        )  # fmt: skip
        return _section("", form)

    def _server(self) -> Any:
        self.address, self.name = QtWidgets.QLineEdit(), QtWidgets.QLineEdit()
        self.token, self.certificate = QtWidgets.QLineEdit(), QtWidgets.QLineEdit()
        self.address.setPlaceholderText("https://gpu.lab.example:8642")
        self.name.setPlaceholderText("a short name, such as lab")
        self.token.setPlaceholderText("file whose first line is your token")
        self.certificate.setPlaceholderText("if the server needs one")
        self.connect_button = button("Connect", self._connect, "Ask the server, and remember it")
        form = Form()
        form.add("Address", self.address, "Ask whoever keeps the server.")
        form.add("Name", self.name, "What to call it.")
        form.add(
            "Token file", self._with_browse(self.token),
            "It is copied to the system's keyring, or to a file that only you can read.",
        )  # fmt: skip
        form.add(
            "Certificate", self._with_browse(self.certificate), "Certificate to trust, as PEM."
        )
        form.addRow("", row(self.connect_button, None))
        self.said = hint()
        form.addRow("", self.said)
        self._tell("")
        return _section("Add a server", form)

    def _here(self) -> Any:
        self.python = QtWidgets.QLineEdit()
        self.python.setPlaceholderText("found automatically")
        self.python.editingFinished.connect(self._use_python)
        self.running, self.installed = QtWidgets.QLabel(), QtWidgets.QLabel()
        self.stop = button("Stop", self._stop, "End the process; the next prediction starts it")
        form = Form()
        form.add(
            "Python", self._with_browse(self.python, self._use_python),
            "The program of the Python that moedsr is installed in.",
        )  # fmt: skip
        self.install = button(
            "Install…", self.open_install, "What predictions are computed with, in its own Python"
        )
        self.remove = button("Remove…", self._remove, "Remove what was installed by this button")
        form.add(
            "Core", row(self.installed, None, self.install, self.remove),
            "The part that computes, in a Python environment of its own.",
        )  # fmt: skip
        form.add("Process", row(self.running, None, self.stop), "It computes, and ends with PyMOL.")
        self.here = form
        return _section("This computer", form)

    def _kept(self) -> Any:
        self.folder, self.used = QtWidgets.QLineEdit(_shown(jobs_dir())), QtWidgets.QLabel("…")
        self.folder.setReadOnly(True)
        self.folder.setCursorPosition(0)
        self.clear = button("Clear…", self._clear, "Delete the finished jobs on this computer")
        form = Form()
        form.add("Folder", self.folder, "Where finished predictions are kept, for some days.")
        form.add("Size", row(self.used, None, self.clear), "What they take of the disk.")
        return _section("Results on this computer", form)

    def _with_browse(self, field: Any, then: Any = None) -> Any:
        def browse() -> None:
            name, _ = QtWidgets.QFileDialog.getOpenFileName(self, "Choose a file", field.text())
            if name:
                field.setText(name)
                if then is not None:
                    then()

        return row(field, button("Browse…", browse), stretch=0)

    def set_active(self, active: bool) -> None:
        """Show how things are now."""
        if active:
            self._show()

    def _show(self) -> None:
        settings = load_settings()
        items = [("This computer", name) for name in BACKENDS]
        items += [(s.name or s.url, s.url) for s in known_servers()]
        refill(self.backend, items)
        choose(self.backend, settings["backend"] or "local")
        self.forget.setEnabled(self.backend.currentData() != "local")
        if not self.python.hasFocus():
            self.python.setText(settings["python"])
        local = BACKENDS["local"]
        self.running.setText("runs" if local.running else "not started yet")
        self.stop.setEnabled(local.running)
        ours = installed()
        self.installed.setText("installed here" if ours else "not installed from here")
        self.remove.setVisible(ours is not None)
        self._measure()

    def _measure(self) -> None:
        """Ask how much is kept."""
        if not self._busy:
            self._busy, folder = True, jobs_dir()
            self._desk.background.ask(lambda: folder_size(folder), self._measured, self._measured)

    def _measured(self, found: Any) -> None:
        self._busy = False
        if isinstance(found, tuple):
            count, used = found
            self.used.setText(f"{size(used)} in {counted(count, 'job')}")
            self.clear.setEnabled(count > 0)
        else:
            self.used.setText(str(found))

    def _use(self) -> None:
        named = self.backend.currentData()
        self._do(f"moedsr_backend {named}")

    def _connect(self) -> None:
        address = self.address.text().strip()

        def make() -> str:
            return command(
                "moedsr_backend", word_text("the address", address),
                token_file=path_text(self.token.text()),
                ca_file=path_text(self.certificate.text()),
                name=word_text("the name", self.name.text()),
            )  # fmt: skip

        self._tell("Asking …")
        well = self._desk.attempt(make)
        known = next((s for s in known_servers() if address.startswith(s.url)), None)
        used = known is not None and load_settings()["backend"] == known.url
        self._tell("Connected; predictions go there now." if well and used else "")
        self._desk.backend_changed.emit()

    def _tell(self, text: str) -> None:
        self.said.setText(text)
        self.said.setVisible(bool(text))

    def _forget(self) -> None:
        server = self.backend.currentText()
        if sure(self, f"Forget {server} and its token?", "Its jobs stay there.", "Forget"):
            self._do(f"moedsr_backend forget, name={self.backend.currentData()}")

    def _use_python(self) -> None:
        path = self.python.text().strip()
        if path != load_settings()["python"]:
            self._desk.attempt(lambda: f"moedsr_backend python={path_text(path) or 'auto'}")
            self._desk.backend_changed.emit()

    def open_install(self) -> None:
        """Open the window that installs the core."""
        if self.install_dialog is None:
            self.install_dialog = InstallDialog(self._desk, self)
        self.install_dialog.show()
        self.install_dialog.raise_()

    install_dialog: Any = None

    def _remove(self) -> None:
        more = "Predictions on this computer then need it installed again."
        if sure(self, "Remove the installed core?", more, "Remove"):
            self._do("moedsr_install remove")

    def _stop(self) -> None:
        self._do("moedsr_backend stop")

    def _clear(self) -> None:
        more = "They cannot be loaded again afterwards. Surfaces in PyMOL stay."
        if sure(self, "Delete all finished jobs on this computer?", more, "Delete"):
            self._do("moedsr_delete all, backend=local")

    def _do(self, text: str) -> None:
        self._desk.do(text)
        self._desk.backend_changed.emit()


def _section(title: str, form: Any) -> Any:
    box = QtWidgets.QWidget()
    layout = column(box, 0)
    if title:
        layout.addWidget(line())
        layout.addWidget(heading(title))
    layout.addLayout(form)
    return box


def _shown(folder: Path) -> str:
    """A path with ``~`` for the user's own folder."""
    try:
        return str(Path("~") / folder.relative_to(Path.home()))
    except ValueError:
        return str(folder)


def folder_size(folder: Path) -> tuple[int, int]:
    """How many jobs a folder of the local backend holds, and what they take [bytes]."""
    used, jobs = 0, 0
    for place, _, names in os.walk(folder):
        here = Path(place)
        jobs += here.parent.name == "jobs" and here.parent.parent.parent == folder
        for name in names:
            try:
                used += (here / name).stat().st_size
            except OSError:
                continue  # deleted meanwhile
    return jobs, used
