"""Connections with limits: ``uvicorn.run("service.app:app", http="service.connections:Connection")``.

uvicorn alone waits for ever for the first request of a connection, for a head that comes letter by letter, and for a
client that does not read its answer.  Bodies have their own limits: see bodies.py.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

from service.admission import full
from service.problems import response

STATE: Final = "connection_limits"
"""Where the application's lifespan puts them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionLimits:
    """What connections may have."""

    most: int
    """At once."""
    head_timeout_s: float
    """For a request's line and headers to come in, from the beginning or the end of the answer before."""
    write_timeout_s: float
    """For a client to take what was written."""


class Connection(H11Protocol):
    """One client's.  Where there are too many, the one that has been idle for longest makes room."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.ws_protocol_class = None  # the service has no websockets, and these limits would not hold for them
        self.idle_since: float | None = None
        """By the loop's clock; None while a request is in work."""
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    @property
    def limits(self) -> ConnectionLimits:
        """Those of the application."""
        return cast(ConnectionLimits, self.app_state[STATE])

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let it in, or tell it that there is no room."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.most and not self._make_room():
            self._refuse()
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._head_came()
        self.resume_writing()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Bytes came; perhaps a head is whole now."""
        super().handle_events()
        if self._in_request:
            self._head_came()

    def on_response_complete(self) -> None:
        """Wait for the next head, or for the client to take the rest."""
        super().on_response_complete()
        if self.transport.is_closing():
            self.pause_writing()
        elif not self._in_request:  # else the next request was there already
            self._await_head()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self.limits.write_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """It has caught up."""
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    @property
    def _in_request(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        self._head_came()
        self.idle_since = self.loop.time()
        self._head_timer = self.loop.call_later(self.limits.head_timeout_s, self.transport.abort)

    def _head_came(self) -> None:
        self.idle_since = None
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _make_room(self) -> bool:
        """Whether an idle connection could be closed for this one."""
        others = [each for each in self.connections if isinstance(each, Connection)]
        idle = [(each.idle_since, number) for number, each in enumerate(others) if each.idle_since is not None]
        if not idle:
            return False
        oldest = others[min(idle)[1]]
        oldest._head_came()
        oldest.transport.abort()
        return True

    def _refuse(self) -> None:
        answer = response(full(f"{self.limits.most} connections are open, and all of them are at work"), "")
        headers = [*answer.raw_headers, (b"connection", b"close")]
        head = b"".join(b"%s: %s\r\n" % header for header in headers)
        self.transport.write(b"HTTP/1.1 429 Too Many Requests\r\n" + head + b"\r\n" + bytes(answer.body))
        self.transport.close()
        self.pause_writing()
