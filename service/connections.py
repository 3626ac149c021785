"""Connections with limits: ``uvicorn.run("service.app:app", http="service.connections:Connection")``.

uvicorn alone waits for ever for the first request of a connection, for a head that comes letter by letter, and for a
client that does not read its answer.  Bodies have their own limits: see bodies.py.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, cast

from h11 import DONE, LocalProtocolError
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.admission import full
from service.problems import Malformed, Problem, response

STATE: Final = "connection_limits"
"""Where the application's lifespan puts them."""
LEAST_BYTES_PER_S: Final = 1 << 14
"""Of a client that reads its answer.  Not the time between two pieces counts, but that of all: how much a client has
taken is not to be seen, and operating systems hand it over in steps of up to megabytes."""
SEND_BUFFER_BYTES: Final = 1 << 18
"""Of the operating system, for one connection: what lies there looks as if it were taken."""
PIPELINED_BYTES: Final = 1 << 16
"""That may come behind a request while it is in work."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionLimits:
    """What connections may have."""

    most: int
    """At once."""
    head_timeout_s: float
    """For a request's line and headers to come in, from the beginning or the end of the answer before."""
    write_timeout_s: float
    """For a client to take what was written, and a second more for each LEAST_BYTES_PER_S of it."""


class Connection(H11Protocol):
    """One client's.  Where there are too many, the one that has been idle for longest makes room."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.ws_protocol_class = None  # the service has no websockets, and these limits would not hold for them
        self.idle_since: float | None = None
        """By the loop's clock; None while a request is in work, or its answer is being taken."""
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    @property
    def limits(self) -> ConnectionLimits:
        """Those of the application."""
        return cast(ConnectionLimits, self.app_state[STATE])

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let it in, or tell it that there is no room."""
        super().connection_made(transport)
        # Writing counts as paused as long as anything waits to be sent: so its end is told of, too.
        transport.set_write_buffer_limits(high=0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if len(self.connections) > self.limits.most and not self._make_room():
            self._refuse(full(f"{self.limits.most} connections are open, and all of them are at work"))
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._head_came()
        self._written()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Bytes came; perhaps a head is whole now."""
        super().handle_events()
        if self._in_request:
            self._head_came()
            if self.conn.their_state is DONE and len(self.conn.trailing_data[0]) > PIPELINED_BYTES:
                self.transport.abort()

    def on_response_complete(self) -> None:
        """Wait for the next head, once the client has taken the answer."""
        super().on_response_complete()
        self._unset_keepalive_if_required()  # the server's own: it starts to run before the answer is taken
        self._await_head()

    def pause_writing(self) -> None:
        """What was written waits for the client to take it."""
        super().pause_writing()
        if self._write_timer is None:
            seconds = self.limits.write_timeout_s + self.transport.get_write_buffer_size() / LEAST_BYTES_PER_S
            self._write_timer = self.loop.call_later(seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Nothing waits any more."""
        self._written()
        super().resume_writing()
        self._await_head()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP: say so, unless an answer is on its way already; then close."""
        if not self._in_request:
            self._refuse(Malformed(msg))
            return
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        if self.cycle.response_started:
            self.transport.close()
        else:
            self._refuse(Malformed(msg))

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing: anybody may ask for another protocol, and is answered in this one."""

    def shutdown(self) -> None:
        """The server ends."""
        with suppress(LocalProtocolError):  # it may have been told of an end already
            super().shutdown()
            return
        self.transport.close()

    @property
    def _in_request(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        """Unless there is one already, or the client still has to take the last answer."""
        if self._in_request or self.flow.write_paused or self.transport.is_closing():
            return
        self._head_came()
        self.idle_since = self.loop.time()
        self._head_timer = self.loop.call_later(self.limits.head_timeout_s, self.transport.abort)

    def _head_came(self) -> None:
        self.idle_since = None
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _written(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

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

    def _refuse(self, problem: Problem) -> None:
        """Answer without asking the application, and close."""
        self._head_came()
        answer = response(problem, "")
        headers = [*answer.raw_headers, (b"connection", b"close")]
        head = b"".join(b"%s: %s\r\n" % header for header in headers)
        phrase = HTTPStatus(problem.status).phrase.encode()
        self.transport.write(b"HTTP/1.1 %d %s\r\n%s\r\n%s" % (problem.status, phrase, head, bytes(answer.body)))
        self.transport.close()
