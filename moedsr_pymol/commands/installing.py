"""The command that installs the part that computes."""

from __future__ import annotations

from pymol import cmd

from ..arguments import choice, is_quiet, wait_or_not
from ..backends import BACKENDS
from ..errors import UserError
from ..install import Installation, Removal, installation_plan, installed
from ..install.plan import GPU_CHOICES
from ..window import outside, run_task
from ..workspace import Workspace
from .common import one_sentence

ACTIONS = ("start", "plan", "cancel", "remove")


def moedsr_install(action="start", gpu="auto", wait=-1, quiet=1, *, _self=cmd):
    """
    DESCRIPTION

        "moedsr_install" installs what predictions are computed with, moedsr's
        core and PyTorch, into a Python environment of their own, and uses it
        from then on. PyMOL and your other programs stay as they are. It says
        first how large it will be, ends with something that works or leaves
        nothing behind, and needs the internet.

    USAGE

        moedsr_install [ action [, gpu [, wait ]]]

    ARGUMENTS

        action = start: install {default}
            plan: say what would be installed, where and how large
            cancel: stop, and remove what is there so far
            remove: remove the environment that is in use

        gpu = auto, yes or no: take the build for NVIDIA GPUs, which is several
            times as large {default: auto, where an NVIDIA driver is found}

        wait = 0 or 1: return when it is over, as it always does without a
            window {default: -1, in a script (@file) yes, else no}

    EXAMPLE

        moedsr_install plan
        moedsr_install

    SEE ALSO

        moedsr_backend, moedsr_predict
    """
    with one_sentence():
        word = choice("action", action, ACTIONS)
        workspace, quiet = Workspace.of(_self), is_quiet(quiet)
        if word == "cancel":
            _running(workspace).cancel()
        elif word == "remove":
            _remove(wait_or_not(wait), quiet, _self)
        else:
            _install(word, choice("gpu", gpu, GPU_CHOICES), wait_or_not(wait), quiet, _self)


def _install(word, gpu, wait, quiet, _self) -> None:
    workspace = Workspace.of(_self)
    running = workspace.installation
    if running is not None and not running.over:
        raise UserError(
            f"an installation is under way ({running.stage}); wait for it, or cancel it with "
            "'moedsr_install cancel'"
        )
    plan = outside(lambda: installation_plan(gpu), _self)
    there = installed()
    for line in plan.sentences():
        _say(line, quiet)
    if there is not None:
        _say(f"It takes the place of {there}.", quiet)
    if word == "plan":
        return
    workspace.installation = _Told(plan, quiet)
    run_task(workspace.installation, wait, _self)


def _remove(wait, quiet, _self) -> None:
    removal = Removal()
    BACKENDS["local"].stop()
    _say("removing the environment", quiet)
    run_task(removal, wait, _self)


def _running(workspace) -> Installation:
    if workspace.installation is None or workspace.installation.over:
        raise UserError("there is no installation to cancel")
    return workspace.installation


def _say(line, quiet) -> None:
    if not quiet:
        print(f" moedsr: {line}")


class _Told(Installation):
    """An installation whose programs' words are printed, and whose end is told."""

    def __init__(self, plan, quiet) -> None:
        super().__init__(plan)
        self._quiet, self._told = quiet, False

    @property
    def over(self) -> bool:
        return self._told

    def said(self, line) -> None:
        _say(line, self._quiet)

    def step(self, patience) -> None:
        super().step(patience)
        if not self._told and super().over:
            self._told = True
            if self.state == "done":
                BACKENDS["local"].stop()  # the next command starts the new one
                _say("installed and tried; moedsr_predict is ready", self._quiet)
            elif self.state == "cancelled":
                _say("cancelled; nothing was kept", self._quiet)
