"""Long work as a generator: what it does from one yield to the next is one step of a task."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from typing import Any

from .errors import UserError

EVERY_S = 5.0
"""Time between lines that say nothing new but the count [s]."""
LEAST_STEPS = 3
"""Steps of a stage before its pace tells the time left: the first ones start processes too."""
Work = Generator[None, float, Any]
"""Yields between steps, and is sent how long the next one may wait [s]."""


class Report:
    """How far a piece of work has come, for lines of text and for a panel.

    Attributes:
        stage: What is being done.
        done: Steps of the stage that are done.
        total: Steps of the stage; 0 where that is not known.
        seconds_left: Time left [s]; None where that is not known.

    Args:
        name: What the lines begin with.
        quiet: Whether to say nothing.
    """

    def __init__(self, name: str, quiet: bool) -> None:
        self.stage, self.done, self.total = "", 0, 0
        self.seconds_left: float | None = None
        self._name, self._quiet = name, quiet
        self._line = ""
        self._said, self._begun, self._before = 0.0, time.monotonic(), 0

    def update(self, stage: str, done: int, total: int, seconds_left: float | None = None) -> None:
        """Take news; say it if the stage is new or some time has passed."""
        now, new = time.monotonic(), stage != self.stage
        if new:
            self._begun, self._before = now, done
        steps = done - self._before
        if seconds_left is None and steps >= LEAST_STEPS:
            seconds_left = (now - self._begun) / steps * (total - done)
        self.stage, self.done, self.total, self.seconds_left = stage, done, total, seconds_left
        line = self.line()
        if line != self._line and (now - self._said >= EVERY_S or not self._line):
            self._said, self._line = now, line
            self.say(line)

    def line(self) -> str:
        """The present state in words."""
        text = self.stage
        if self.total and self.done:
            text += f", {self.done} of {self.total}"
        if self.seconds_left is not None and self.done:
            left = self.seconds_left
            text += f", {left:.0f} s left" if left < 120 else f", {left / 60:.0f} min left"
        return text

    def say(self, text: str) -> None:
        """Write one line, unless quiet."""
        if not self._quiet:
            sys.stdout.write(f" moedsr: {self._name}: {text}\n")
            sys.stdout.flush()


class Steps:
    """A task that a generator does.

    Attributes:
        over: Whether nothing is left to do.
        error: What went wrong.
        cancelled: Whether it was stopped on request.
        report: How far it has come.

    Args:
        work: The generator; it tidies up in ``finally`` blocks, which run when it is cancelled too.
        report: What it reports to.
    """

    def __init__(self, work: Work, report: Report) -> None:
        self.report = report
        self.over = self.cancelled = False
        self.error: UserError | None = None
        self._work, self._begun, self._inside = work, False, False

    def step(self, patience: float) -> None:
        """Do the next small thing."""
        if self.over:
            return
        self._inside = True
        try:
            if self._begun:
                self._work.send(patience)
            else:
                self._begun = True
                next(self._work)
        except StopIteration:
            self.over = True
        except UserError as error:
            self.over, self.error = True, error
        except Exception as error:  # PyMOL raises different types from version to version
            self.over, self.error = True, UserError(f"PyMOL could not do it: {error}")
        finally:
            self._inside = False
        if self.cancelled:
            self._stop()

    def cancel(self) -> None:
        """Stop; what was half made is removed."""
        if self.over or self.cancelled:
            return
        self.cancelled = True
        if not self._inside:
            self._stop()

    def _stop(self) -> None:
        self._work.close()
        if not self.over:
            self.over = True
            self.report.say("cancelled")
