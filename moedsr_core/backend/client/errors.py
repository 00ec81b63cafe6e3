"""What can go wrong between a client and a server, each as one sentence for the user."""

from __future__ import annotations


class UserError(Exception):
    """Something is not as it should be; the text may be shown to the user as it is."""


class BackendError(UserError):
    """The process or server that computes cannot be used, or failed."""


class RefusedError(BackendError):
    """The server answered, and said no.

    Args:
        sentence: Why, and what to do.
        status: The HTTP status.
    """

    def __init__(self, sentence: str, status: int = 0) -> None:
        super().__init__(sentence)
        self.status = status


class UnreachableError(BackendError):
    """There is no answer for now: asking again may help.

    Args:
        sentence: What happened, and what to do if it stays so.
        wait_s: How long the server asks to be left alone [s], where it says so.
    """

    def __init__(self, sentence: str, wait_s: float | None = None) -> None:
        super().__init__(sentence)
        self.wait_s = wait_s


class StoppedError(UserError):
    """Another thread asked to give up."""
