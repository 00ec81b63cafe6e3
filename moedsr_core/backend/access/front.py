"""Everything that stands in front of the routes, in its order."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastapi import FastAPI, Response
from fastapi.responses import PlainTextResponse

from moedsr_core.backend.access.failure import FailureGate
from moedsr_core.backend.access.gate import OpenGate, TokenGate
from moedsr_core.backend.access.limits import Limits
from moedsr_core.backend.access.metrics import CONTENT_TYPE, Metrics
from moedsr_core.backend.access.quota import BodyGate, QuotaGate
from moedsr_core.backend.access.tokens import Keys
from moedsr_core.backend.access.watch import HeaderGate, RequestWatch


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who may use a server, and how much."""

    keys: Keys | None
    """What knows the valid tokens; without, everybody who reaches the server is ``local``."""
    limits: Limits = field(default_factory=Limits)
    """How much one client may ask for."""
    metrics: Metrics = field(default_factory=Metrics)
    """What is counted."""
    any_host: bool = False
    """Without tokens: whether the server may be reached by names other than loopback's."""

    def install(self, app: FastAPI) -> None:
        """Put the gates in front of an application; of these the last is the first to be met."""
        app.add_api_route("/v1/metrics", self._numbers, response_class=PlainTextResponse)
        app.add_middleware(BodyGate, limits=self.limits)
        app.add_middleware(QuotaGate, limits=self.limits)
        if self.keys is None:
            app.add_middleware(OpenGate, any_host=self.any_host)
        else:
            failures = self.limits.failures_per_minute
            app.add_middleware(TokenGate, keys=self.keys, failures_per_minute=failures)
        app.add_middleware(FailureGate)
        app.add_middleware(HeaderGate)
        app.add_middleware(RequestWatch, metrics=self.metrics)

    def _numbers(self) -> Response:
        """Tell all numbers to Prometheus."""
        return Response(self.metrics.text(), media_type=CONTENT_TYPE)
