"""What can go wrong, each as one sentence for the user; the client's own errors are the same."""

from .remote import BackendError, RefusedError, StoppedError, UnreachableError, UserError

__all__ = ["BackendError", "RefusedError", "StoppedError", "UnreachableError", "UserError"]
