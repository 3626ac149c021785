"""Answers that come before all of the body was sent: the client hears them, and the service does not read for ever."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gancodec.client import Client, ServiceError
from service import unread
from tests.service.conftest import SOON, TINY, Service, serving

LARGE = 24_000_000
"""Bytes, more than the buffers between two sockets hold."""


def refused(client: Client, body: bytes) -> tuple[int | None, str]:
    with pytest.raises(ServiceError) as caught:
        client.compress(body)
    return caught.value.status, caught.value.code


def test_the_client_hears_why_a_body_is_refused(service: Service) -> None:
    assert refused(service.client(), bytes(LARGE)) == (413, "body_too_large")
    with serving(codecs=[TINY], api_keys="one") as locked:
        assert refused(locked.client(api_key="two"), bytes(LARGE)) == (401, "unauthorised")
    with serving(codecs=[TINY], max_body_bytes=LARGE, queue_bytes=LARGE) as busy, busy.app.state.bodies.hold(LARGE - 9):
        assert refused(busy.client(), bytes(LARGE)) == (429, "queue_full")


def test_a_body_without_a_length_is_heard_of_too(service: Service) -> None:
    with socket.create_connection(service.address, timeout=SOON) as connection:
        connection.sendall(b"POST /v1/compress HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"%x\r\n" % 65_536 + bytes(65_536) + b"\r\n"
        for _ in range(100):
            connection.sendall(chunk)
        connection.sendall(b"0\r\n\r\n")
        assert b" 413 " in connection.recv(200)


@contextmanager
def rude(answer: bytes) -> Iterator[str]:
    """A server that answers a request's head and resets the connection; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)
                time.sleep(0.3)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(SOON)


def test_the_client_reads_the_answer_of_a_server_that_breaks_off() -> None:
    body = json.dumps({"detail": "too much", "code": "body_too_large"}).encode()
    head = b"HTTP/1.1 413 No\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n" % len(body)
    with rude(head + body) as url:
        assert refused(Client(url, timeout_s=SOON), bytes(LARGE)) == (413, "body_too_large")
    with rude(b"") as url:
        assert refused(Client(url, timeout_s=SOON), bytes(LARGE)) == (None, "unreachable")


def test_no_more_is_read_than_the_bounds_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread, "DRAIN_BYTES", 1_000_000)
    monkeypatch.setattr(unread, "DRAIN_S", 0.5)
    head = b"POST /v1/compress HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000000\r\n\r\n"
    with serving(codecs=[TINY], api_keys="one") as service:
        with socket.create_connection(service.address, timeout=SOON) as connection:
            connection.sendall(head)
            sent, piece = 0, bytes(65_536)
            with pytest.raises(OSError):
                while sent < 200_000_000:
                    connection.sendall(piece)
                    sent += len(piece)
        with socket.create_connection(service.address, timeout=SOON) as connection:
            connection.sendall(head)
            started, heard = time.monotonic(), b""
            while more := connection.recv(1000):
                heard += more
            assert b" 401 " in heard and time.monotonic() - started < SOON / 2
