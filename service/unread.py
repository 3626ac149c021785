"""Answers that are given before the body was read: 401, 413, 429.

A server that closes a connection on which bytes wait unread resets it, and a client that sends first and reads later
sees the reset in place of the answer.  So the answer goes out at once, then some of the body is taken and thrown
away, then the connection is closed.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

DRAIN_BYTES = 32 << 20
DRAIN_S = 3.0


class DrainUnread:
    """Outermost of all: nothing of a request is held any more while its body is thrown away."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not announces_body(scope):
            await self.app(scope, receive, send)
            return
        ended, last = False, None

        async def receiving() -> Message:
            nonlocal ended
            message = await receive()
            ended = is_last(message)
            return message

        async def sending(message: Message) -> None:
            nonlocal last
            if not ended and message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            elif not ended and not message.get("more_body", False):
                last = {"type": "http.response.body", "body": b"", "more_body": False}
                message = {**message, "more_body": True}
            await send(message)

        await self.app(scope, receiving, sending)
        if last is not None:
            await drain(receive)
            await send(last)


async def drain(receive: Receive) -> None:
    """Take the rest of a body, as far as the bounds allow."""
    left = DRAIN_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            while left > 0:
                message = await receive()
                if is_last(message):
                    return
                left -= len(message.get("body", b""))


def is_last(message: Message) -> bool:
    """Whether nothing of the body comes behind it."""
    return message["type"] == "http.disconnect" or not message.get("more_body", False)


def announces_body(scope: Scope) -> bool:
    """Whether a request says that it has a body."""
    headers = dict(scope["headers"])
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
