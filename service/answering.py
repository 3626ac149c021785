"""Answers that count until the client has taken them."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.admission import Budget


class CountedResponse(Response):
    """Its body is held by a budget until the connection has passed on all of it, or is lost."""

    def __init__(self, content: bytes, budget: Budget, **named: Any) -> None:
        super().__init__(content, **named)
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._budget.hold_anyway(len(self.body)):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": self.body, "more_body": True})
            # The server takes no further piece before the one before it is gone.
            await send({"type": "http.response.body", "body": b"", "more_body": False})
