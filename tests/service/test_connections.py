"""Clients that connect and say nothing, or little, or do not listen: others are served all the same."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from starlette.responses import Response

from service.answering import CountedResponse
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


LARGE = 8_000_000
"""Bytes of an answer: more than buffers of the operating system hold."""
GET_LARGE = b"GET /large HTTP/1.1\r\nHost: localhost\r\n"


@contextmanager
def serving_large(**settings: object) -> Iterator[Service]:
    """Has a path whose answer is LARGE."""
    with serving(codecs=[TINY], **settings) as service:
        service.app.add_api_route("/large", lambda: Response(bytes(LARGE)))
        yield service


def slow_reader(service: Service) -> socket.socket:
    """Whose own buffer is small."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    connection.settimeout(SOON)
    connection.connect(service.address)
    return connection


def read_slowly(connection: socket.socket, *, seconds: float, whole: int = LARGE) -> int:
    """Bytes of so much of an answer, taken at an even rate that needs so long for LARGE."""
    heard, started = 0, time.monotonic()
    with suppress(ConnectionResetError):
        while heard < whole and (more := connection.recv(1 << 16)):
            heard += len(more)
            ahead = seconds * heard / LARGE - (time.monotonic() - started)
            time.sleep(max(0.0, ahead))
    return heard


@pytest.mark.parametrize("last", [b"", b"Connection: close\r\n"], ids=["keep-alive", "close"])
def test_who_reads_slowly_gets_all_of_the_answer(last: bytes) -> None:
    limits = {"write_timeout_s": 0.8, "head_timeout_s": 0.3}
    with serving_large(**limits) as service, slow_reader(service) as connection:
        connection.sendall(GET_LARGE + last + b"\r\n")
        assert read_slowly(connection, seconds=3) >= LARGE
        if last:
            assert is_closed(connection)
        else:
            connection.sendall(GET)
            assert b" 200 " in connection.recv(2000)


def test_slow_readers_are_at_work_and_not_idle() -> None:
    with serving_large(max_connections=2, write_timeout_s=1) as service, slow_reader(service) as connection:
        connection.sendall(GET_LARGE + b"\r\n")
        assert connection.recv(1000)
        with ExitStack() as stack:
            for _ in range(4):  # each makes room for the next
                stack.enter_context(connect(service))
            assert read_slowly(connection, seconds=2, whole=LARGE - 1000) >= LARGE - 1000


def test_who_does_not_read_the_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.connections.LEAST_BYTES_PER_S", 1 << 24)
    with serving_large(write_timeout_s=0.4) as service, slow_reader(service) as connection:
        connection.sendall(GET_LARGE + b"\r\n")
        time.sleep(1.5)
        assert read_slowly(connection, seconds=0) < LARGE


def test_large_answers_have_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.connections.LEAST_BYTES_PER_S", LARGE // 4)
    with serving_large(write_timeout_s=0.1) as service, slow_reader(service) as connection:
        connection.sendall(GET_LARGE + b"\r\n")
        assert read_slowly(connection, seconds=1.5) >= LARGE


def test_an_answer_counts_until_it_is_taken_or_its_client_has_gone() -> None:
    with serving(codecs=[TINY]) as service:
        bodies = service.app.state.bodies
        service.app.add_api_route("/counted", lambda: CountedResponse(bytes(LARGE), bodies))
        ask = GET.replace(b"/livez", b"/counted")
        with slow_reader(service) as connection:
            connection.sendall(ask)
            assert connection.recv(1000) and bodies.held == LARGE
            assert read_slowly(connection, seconds=0, whole=LARGE - 1000) >= LARGE - 1000
            wait_until(lambda: bodies.held == 0)
        with slow_reader(service) as connection:
            connection.sendall(ask)
            assert connection.recv(1000) and bodies.held == LARGE
        wait_until(lambda: bodies.held == 0)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_sent_behind_a_request_in_work_is_bounded() -> None:
    with serving(codecs=[TINY]) as service, connect(service) as connection:
        service.app.add_api_route("/slow", lambda: time.sleep(3))
        connection.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.3)
        with pytest.raises(OSError):
            for _ in range(200):
                connection.sendall(bytes(1 << 16))
                time.sleep(0.005)


def test_the_time_for_the_next_head_begins_when_the_answer_was_taken() -> None:
    with serving_large(head_timeout_s=0.5) as service, slow_reader(service) as connection:
        connection.sendall(GET_LARGE + b"\r\n")
        assert read_slowly(connection, seconds=1.5) >= LARGE
        taken = time.monotonic()
        assert is_closed(connection) and time.monotonic() - taken < 4


@pytest.mark.parametrize(
    "said",
    [b"\x16\x03\x01 no HTTP\r\n\r\n", GET + b"no HTTP\r\n\r\n", GET_LARGE + b"\r\nno HTTP\r\n\r\n"],
    ids=["first", "after an answer", "during an answer"],
)
def test_what_is_no_http_is_told_so_and_nothing_is_logged(said: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with serving_large() as service, connect(service) as connection:
        connection.sendall(said)
        heard = b""
        with suppress(ConnectionResetError):
            while more := connection.recv(1 << 20):
                heard += more
        assert b'"malformed"' in heard and (b" 200 " in heard) == said.startswith(b"GET")
        assert service.client().is_ready()
    assert not [record for record in caplog.records if record.exc_info]


def test_a_body_that_is_no_http_ends_its_request(caplog: pytest.LogCaptureFixture) -> None:
    with serving(codecs=[TINY]) as service, connect(service) as connection:
        connection.sendall(HEAD.replace(b"Content-Length: 2000", b"Transfer-Encoding: chunked") + b"5\r\nabcde\r\n")
        time.sleep(0.2)
        connection.sendall(b"not a length\r\n")
        assert b" 400 " in connection.recv(5000) and is_closed(connection)
        assert service.client().is_ready()
        assert service.app.state.bodies.held == 0
    assert not [record for record in caplog.records if record.exc_info]


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
