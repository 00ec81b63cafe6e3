"""The actor's class."""

from __future__ import annotations

from typing import Any

SCIENCE = "moedsr_core.backend.worker:WorkerCore"
"""What does the work in an actor."""


def actor_class() -> type:
    """Make the class.

    It is made in a function so that Ray sends its code, not its name. So it can also tell that no
    moedsr, or another one, is there where it has arrived.
    """

    class MoedsrWorker:
        def begin(self, version: str, core: str, device: str, cpus: int) -> str | None:
            """Begin to work, with the core that ``core`` makes for a device.

            Returns:
                None; or the version of moedsr that is here where it is not ``version``, which is
                empty where none is.
            """
            try:
                from moedsr_core import __version__ as found
            except ImportError:
                return ""
            if found != version:
                return found
            from moedsr_core.backend.cluster.post import open_post

            self.post = open_post(core, device, cpus)
            return None

        def say(self, fields: dict[str, Any], data: bytes) -> None:
            self.post.say(fields, data)

        def hear(self) -> list[tuple[dict[str, Any], bytes]]:
            return self.post.hear()

    return MoedsrWorker
