"""Structured logs: one line for each request or event, of known fields only.

A line never holds a token, a coordinate or a name of a residue: what is not in :data:`FIELDS` is
left out, paths are logged as their routes, and of an exception only its type and where it arose.
Rotation is left to whatever collects standard error.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from datetime import datetime, timezone
from typing import Any, Literal

FIELDS = (
    "event", "owner", "job", "method", "route", "status", "ms", "sent", "client", "state", "kind",
    "frames", "bytes", "device", "worker", "attempt", "reason", "address", "count",
)  # fmt: skip
"""What a line may hold beside time, level and message, in this order."""
LogFormat = Literal["text", "json"]
_SECRET = re.compile(r"moedsr_[A-Za-z0-9_-]{20,}|(?i:bearer\s+)\S+")
_MAX_TEXT = 500

events = logging.getLogger("moedsr.events")


def log_event(event: str, *, level: int = logging.INFO, **known: Any) -> None:
    """Log an event.

    Args:
        event: What happened, in a word or two.
        level: How much it matters.
        known: What is known of it; names of :data:`FIELDS`.
    """
    events.log(level, "", extra={"fields": {"event": event, **known}})


def start_logging(log_format: LogFormat) -> None:
    """Write all logs of this process to standard error, in one form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if log_format == "json" else TextLines())
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    logging.captureWarnings(True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of one record."""
        return json.dumps(_known(record), ensure_ascii=False, allow_nan=False, default=str)


class TextLines(logging.Formatter):
    """The same for people: time, level, and ``name=value`` pairs."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of one record."""
        known = _known(record)
        head = f"{known.pop('time')} {known.pop('level'):<7}"
        words = [str(known.pop(name)) for name in ("event", "message") if name in known]
        pairs = [f"{name}={_one_word(value)}" for name, value in known.items()]
        return " ".join([head, *words, *pairs])


def _known(record: logging.LogRecord) -> dict[str, Any]:
    moment = datetime.fromtimestamp(record.created, timezone.utc)
    line: dict[str, Any] = {
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
    }
    given = getattr(record, "fields", {})
    for name in FIELDS:
        if given.get(name) is not None:
            value = given[name]
            line[name] = _clean(value) if isinstance(value, str) else value
    if message := record.getMessage():
        line["message"] = _clean(message)
    if record.exc_info and record.exc_info[0] is not None:
        line["error"] = record.exc_info[0].__name__
        line["at"] = _places(record.exc_info[2])
    return line


def _clean(text: str) -> str:
    """One line without anything that looks like a token."""
    return _SECRET.sub("…", " ".join(text.split()))[:_MAX_TEXT]


def _places(trace: Any) -> list[str]:
    """Where an exception came by, without the values that its text may hold."""
    frames = traceback.extract_tb(trace)[-12:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]


def _one_word(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return json.dumps(text, ensure_ascii=False) if re.search(r'[\s"=]', text) else text
