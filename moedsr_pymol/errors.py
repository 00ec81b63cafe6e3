"""What can go wrong, each as one sentence for the user."""


class UserError(Exception):
    """A command cannot do what it was asked; shown as it is."""


class BackendError(UserError):
    """The process or server that computes cannot be reached, refused, or failed."""


class RefusedError(BackendError):
    """The backend answered, and said no."""


class SilentStreamError(BackendError):
    """A stream of results broke off or said nothing for too long; it may be taken up again."""
