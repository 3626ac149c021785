"""Clients that connect and say nothing, or little, or do not listen: others are served all the same."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack

import pytest
from starlette.responses import Response

from tests.service.conftest import SOON, TINY, Service, serving
from tests.service.test_service import file_of, picture, problem

HEAD = b"POST /v1/compress HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000\r\n\r\n"
GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


def connect(service: Service) -> socket.socket:
    return socket.create_connection(service.address, timeout=SOON)


def is_closed(connection: socket.socket) -> bool:
    """Waits for it."""
    try:
        while connection.recv(1000):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("said", [b"", b"GET /livez HTTP/1.1\r\nHo", GET + b"GET "])
def test_who_does_not_ask_is_cut_off(said: bytes) -> None:
    with serving(codecs=[TINY], head_timeout_s=0.4) as service, connect(service) as connection:
        started = time.monotonic()
        connection.sendall(said)
        if said.startswith(GET):
            assert b" 200 " in connection.recv(2000)
        assert is_closed(connection) and time.monotonic() - started < 4


def test_a_head_letter_by_letter_is_cut_off_in_time() -> None:
    with serving(codecs=[TINY], head_timeout_s=0.5) as service, connect(service) as connection:
        started = time.monotonic()
        with pytest.raises(OSError):
            for letter in b"GET /livez HTTP/1.1\r\nX: " + b"a" * 200:
                connection.sendall(bytes([letter]))
                time.sleep(0.05)
        assert time.monotonic() - started < 4


def test_a_request_in_work_is_not_cut_off() -> None:
    with serving(codecs=[TINY], head_timeout_s=0.3) as service, connect(service) as connection:
        body = file_of(picture())
        connection.sendall(HEAD.replace(b"2000", b"%d" % len(body)))
        time.sleep(0.6)
        connection.sendall(body)
        assert b" 200 " in connection.recv(200)


def test_idle_connections_make_room_for_others() -> None:
    with serving(codecs=[TINY], max_connections=4) as service, ExitStack() as stack:
        idle = [stack.enter_context(connect(service)) for _ in range(12)]
        assert service.client().compress(file_of(picture())).width == 70
        assert all(is_closed(each) for each in idle[:8]), "the oldest ones go first"


def test_where_all_connections_are_at_work_one_more_is_told_so() -> None:
    with serving(codecs=[TINY], max_connections=3) as service, ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(connect(service)).sendall(HEAD + b"abc")
        deadline = time.monotonic() + SOON
        while service.app.state.bodies.held < 9 and time.monotonic() < deadline:
            time.sleep(0.01)
        with connect(service) as one_more:
            told = one_more.recv(5000)
        assert b" 429 " in told and b"retry-after: " in told.lower() and b'"queue_full"' in told


def test_who_does_not_read_the_answer_is_cut_off() -> None:
    with serving(codecs=[TINY], write_timeout_s=0.5) as service, connect(service) as connection:
        service.app.add_api_route("/large", lambda: Response(bytes(60_000_000)))
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(2)
        heard = 0
        while more := connection.recv(1 << 20):
            heard += len(more)
        assert heard < 60_000_000


def test_bodies_that_are_announced_and_not_sent_keep_nobody_away() -> None:
    with serving(codecs=[TINY], max_body_bytes=100_000, queue_bytes=200_000) as service, ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(connect(service)).sendall(HEAD.replace(b"2000", b"99000") + b"abc")
        deadline = time.monotonic() + SOON
        while service.app.state.bodies.held < 24 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert service.client().compress(file_of(picture())).width == 70


def test_bodies_are_counted_while_they_come_in() -> None:
    with serving(codecs=[TINY], max_body_bytes=1_000_000, queue_bytes=1_500_000) as service:
        with connect(service) as connection:
            connection.sendall(HEAD.replace(b"2000", b"900000") + bytes(800_000))
            deadline = time.monotonic() + SOON
            while service.app.state.bodies.held < 800_000 and time.monotonic() < deadline:
                time.sleep(0.01)
            found = problem(service, "/v1/compress", bytes(900_000))
            assert (found["status"], found["code"]) == (429, "queue_full")
        deadline = time.monotonic() + SOON
        while service.app.state.bodies.held and time.monotonic() < deadline:
            time.sleep(0.01)
        assert service.client().compress(file_of(picture())).width == 70
