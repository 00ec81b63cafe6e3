"""What a client is told where a route fails unforeseen."""

from __future__ import annotations

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from moedsr_core.backend.access.answers import refusal

log = logging.getLogger(__name__)


class FailureGate:
    """Answers 500 with one sentence where a route fails unforeseen; the log has the rest.

    Starlette's own handler would end the connection as well, and with it the client's next call.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and answer it if that fails before an answer has begun."""
        begun = False

        async def noting_send(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noting_send)
        except Exception as error:
            if begun:
                raise
            log.exception("a request failed")
            sentence = f"internal error: {type(error).__name__}; the backend's log has more"
            await refusal(500, sentence)(scope, receive, send)
