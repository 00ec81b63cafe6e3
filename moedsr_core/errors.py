"""The few kinds of failure that a caller can act on.

Every message is one sentence for the user: what was expected, what came, what to do.
"""


class MoedsrError(Exception):
    """Anything moedsr reports to its user; the text is meant to be read as it is."""

    exit_code = 1


class InputError(MoedsrError, ValueError):
    """The input cannot be used: a file, an array, an option."""

    exit_code = 2


class CheckpointError(InputError):
    """A weights file is damaged, foreign, or of another configuration."""


class BackendError(MoedsrError):
    """The process or server that computes cannot be reached, or failed."""

    exit_code = 3


class CancelledError(MoedsrError):
    """The work was stopped on request; nothing half-made was kept."""

    exit_code = 130
