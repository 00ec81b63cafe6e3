"""What a running prediction says: one line, now and then."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from .arguments import counted, unquoted
from .remote import stage_of
from .wording import shortened

if TYPE_CHECKING:
    from .surface import Surface

EVERY_S = 5.0
"""Time between lines that say nothing new but the count [s]."""
MOST_LETTERS = 60
"""Of a name that is repeated."""


class Progress:
    """Lines about one job.

    Args:
        surface: What is being made; its name may change.
        quiet: Whether to say nothing.

    Attributes:
        line: What was said last of its course.
        fields: The last progress record: stage, frames, frames done, seconds left.
        seconds: How long it took, once it has ended [s].
    """

    def __init__(self, surface: Surface, quiet: bool) -> None:
        self.line = ""
        self.fields: dict[str, Any] = {}
        self.seconds = 0.0
        self._surface, self._quiet = surface, quiet
        self._stage, self._said = "", 0.0
        self._begin = time.monotonic()

    def update(self, fields: dict[str, Any]) -> None:
        """Take a progress record; say it if the stage is new or some time has passed."""
        stage, now = stage_of(fields), time.monotonic()
        self.line, self.fields = _sentence(stage, fields), fields
        if stage != self._stage or now - self._said >= EVERY_S:
            self._stage, self._said = stage, now
            self.say(self.line)

    def end(self, state: str, frames: int) -> None:
        """Say how it ended."""
        seconds = self.seconds = time.monotonic() - self._begin
        if state == "done":
            made = counted(frames, "frame")
            self.say(f"{made} in {seconds:.1f} s; press play" if frames > 1 else "surface loaded")
        elif state == "replaced":
            self.say("a new prediction takes its place")
        elif state == "cancelled":
            kept = counted(frames, "finished frame")
            self.say(f"cancelled; kept {kept}" if frames else "cancelled")

    def say_name(self, wanted: str) -> None:
        """Say what the object is called where PyMOL does not allow the name that was asked for."""
        asked, name = unquoted(wanted), self._surface.name
        if asked and asked != name:
            shown = shortened(asked, MOST_LETTERS)
            self.say(f"PyMOL allows no object the name '{shown}', so this one is called '{name}'")

    def say(self, text: str) -> None:
        """Write one line, unless quiet."""
        if not self._quiet:
            sys.stdout.write(f" moedsr: {self._surface.name}: {text}\n")
            sys.stdout.flush()


def _sentence(stage: str, fields: dict[str, Any]) -> str:
    done, frames, left = (fields.get(key) for key in ("frames_done", "frames", "seconds_left"))
    text = f"{stage} ({fields['reason']})" if fields.get("reason") else stage
    if isinstance(frames, int) and isinstance(done, int) and done:
        text += f", frame {done} of {frames}"
    if isinstance(left, (int, float)):
        text += f", {left:.0f} s left" if left < 120 else f", {left / 60:.0f} min left"
    return text
