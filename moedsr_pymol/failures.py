"""Who is told when a command or a task fails: the panel, where it is open."""

from __future__ import annotations

from collections.abc import Callable

Listener = Callable[[BaseException], None]
_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Have failures told to somebody, beside being printed."""
    if listener not in _listeners:
        _listeners.append(listener)


def stop_listening(listener: Listener) -> None:
    """Have them told no more."""
    if listener in _listeners:
        _listeners.remove(listener)


def tell(error: BaseException) -> None:
    """Tell everybody who listens."""
    for listener in list(_listeners):
        listener(error)
