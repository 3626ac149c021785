"""The client against servers that are not the service, or not well: every failure is one of its own errors."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from gancodec.client import MOST_WAIT_S, WAIT_S, Client, ServiceError, wait_of
from gancodec.defaults import GNC_MEDIA_TYPE
from gancodec.errors import ConfigError

FACTS = {
    "Gancodec-Codec": "photo", "Gancodec-Bpp": "0.5000", "Gancodec-Width": "3", "Gancodec-Height": "2",
    "Gancodec-Queue-Ms": "1.5", "Gancodec-Compute-Ms": "2.0",
}  # fmt: skip
GNC = {"Content-Type": GNC_MEDIA_TYPE}
JSON = {"Content-Type": "application/json"}
CALLS: list[Callable[[Client], object]] = [
    lambda client: client.compress(b"picture"),
    lambda client: client.decompress(b"file"),
    lambda client: client.info(b"file"),
    lambda client: client.codecs(),
]
NAMES = ["compress", "decompress", "info", "codecs"]


@contextmanager
def answering(status: int, headers: dict[str, str], body: bytes) -> Iterator[tuple[str, list[str]]]:
    """A server that says the same to everybody; gives its address, and the paths that were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def refused(url: str, call: Callable[[Client], object] = CALLS[0], **options: Any) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        call(Client(url, **options))
    assert caught.value.message and caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    "url",
    [
        "", "localhost", "localhost:8000", "ftp://localhost", "http://", "http:///v1", "http://local host:8000",
        "http://localhost:8000\n", "http://localhost:port", "http://localhost:99999", "http://localhost:0",
        "http://[::1:8000", "http://bücher.example", "http://me:secret@localhost", "http://localhost?a=b",
        "http://localhost#top", "http://:8000", "//localhost",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigError, match="no address of a service; give http://HOST:PORT"):
        Client(url)


@pytest.mark.parametrize("url", ["http://localhost:8000/", "https://example.org/codec", "http://[::1]:8000", "HTTP://a"])
def test_addresses_are_taken(url: str) -> None:
    Client(url)


@pytest.mark.parametrize("key", ["one\n", "one\r\nX: y", "€", "schlüssel", "a\0b"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigError, match="no HTTP header can hold") as caught:
        Client("http://localhost", api_key=key)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [*({"timeout_s": each} for each in (0, -1, float("nan"), float("inf"), 1e6)), {"retries": -1}],
)
def test_numbers_out_of_range_are_refused(options: Any) -> None:
    with pytest.raises(ConfigError, match="timeout_s is"):
        Client("http://localhost", **options)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ConfigError, match="use png, webp, avif, jpeg"):
        Client("http://localhost").decompress(b"", format="png\nX: y")  # type: ignore[arg-type]


def test_a_name_that_no_network_can_have_is_not_reached() -> None:
    assert refused(f"http://{'a' * 70}.example", timeout_s=5).code == "unreachable"


def test_effort_is_asked_for_where_it_is_given() -> None:
    with answering(200, GNC | FACTS, b"file") as (url, asked):
        for effort in (None, 0, 3):
            Client(url).compress(b"picture", effort=effort)
        assert asked == ["/v1/compress", "/v1/compress?effort=0", "/v1/compress?effort=3"]


@pytest.mark.parametrize("call", CALLS, ids=NAMES)
def test_a_page_of_another_server_is_told_from_the_service(call: Callable[[Client], object]) -> None:
    with answering(200, {"Content-Type": "text/html"}, b"<h1>It works!</h1>") as (url, _):
        error = refused(url, call)
        assert (error.status, error.code) == (200, "foreign")
        assert "text/html" in error.message and url in error.message and "address" in error.hint
        assert not Client(url).is_ready()


@pytest.mark.parametrize("missing", list(FACTS))
def test_a_header_that_is_missing_is_named(missing: str) -> None:
    headers = GNC | {name: value for name, value in FACTS.items() if name != missing}
    with answering(200, headers, b"data") as (url, _):
        assert f"no header {missing}" in refused(url).message
    with answering(200, GNC | FACTS, b"data") as (url, _):
        assert Client(url).compress(b"picture").width == 3


@pytest.mark.parametrize("value", ["wide", "nan", "inf", "-1", "1e5", "", "\xb2", "9" * 400])
def test_a_header_that_is_no_number_is_named(value: str) -> None:
    with answering(200, GNC | FACTS | {"Gancodec-Width": value}, b"data") as (url, _):
        error = refused(url)
        assert "Gancodec-Width" in error.message and len(error.message) < 200


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"7", b"\xff", b'{"codecs": 3}', b'{"codecs": [1]}', b"[" * 100_000]
)
def test_json_of_another_kind_is_told_from_the_service(body: bytes) -> None:
    with answering(200, JSON, body) as (url, _):
        assert refused(url, CALLS[3]).code == "foreign"
        assert not Client(url).is_ready()


@pytest.mark.parametrize("status", [200, 422])
def test_a_body_that_is_cut_off_is_no_answer(status: int) -> None:
    with answering(status, GNC | FACTS | {"Content-Length": "1000"}, b"some bytes") as (url, _):
        error = refused(url)
    if status == 200:
        assert "broke off" in error.message and error.code == "unreachable"
    else:
        assert (error.status, error.code) == (422, "http")


def test_chunks_that_are_cut_off_are_no_answer() -> None:
    body = b"5\r\nabcde\r\n5\r\nab"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    with speaking(head + body) as url:
        assert "broke off" in refused(url, CALLS[3]).message


@contextmanager
def speaking(said: bytes, *, every_s: float = 0.0) -> Iterator[str]:
    """A server that says these bytes, at once or one by one, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                try:
                    for piece in [said] if not every_s else [said[n : n + 1] for n in range(len(said))]:
                        connection.sendall(piece)
                        time.sleep(every_s)
                except OSError:
                    pass  # the client has gone

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(30)


@pytest.mark.parametrize(
    "said", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 two hundred\r\n\r\n", b"HTTP/1.1 200 OK\r\nX"]
)
def test_what_speaks_no_http_is_not_reached(said: bytes) -> None:
    with speaking(said) as url:
        assert refused(url, CALLS[3], timeout_s=10).code in ("unreachable", "foreign")


def test_an_answer_byte_by_byte_is_given_up_in_time() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    started = time.monotonic()
    with speaking(head + b" " * 100, every_s=0.05) as url:
        assert refused(url, CALLS[3], timeout_s=4.5).code == "unreachable"
    assert time.monotonic() - started < 7


def test_a_redirect_says_what_to_do() -> None:
    for place in ("https://elsewhere.example/", "http://[bad"):
        with answering(301, {"Location": place}, b"") as (url, asked):
            error = refused(url)
            assert "address of the service itself" in error.hint
            assert asked == ["/v1/compress"]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'"x"', b'{"detail": "d"}', b"[" * 100_000])
def test_a_refusal_that_is_not_the_services_own_has_its_status(body: bytes) -> None:
    with answering(502, {}, body) as (url, _):
        error = refused(url)
    assert (error.status, error.code, error.message) == (502, "http", "502 Bad Gateway")
    assert "its address?" in error.hint


@pytest.mark.parametrize(
    ("told", "wait_s"),
    [
        ("", WAIT_S), ("7", 7.0), (" 7 ", 7.0), ("0", 0.0), ("86400", MOST_WAIT_S), ("9" * 5000, WAIT_S),
        ("-5", WAIT_S), ("1.5", WAIT_S), ("\xb2", WAIT_S), ("soon", WAIT_S), ("inf", WAIT_S),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0.0), ("Fri, 31 Dec 9999 23:59:59 GMT", MOST_WAIT_S),
        ("Wed, 99 Oct 99999 07:28:00 GMT", WAIT_S),
    ],
)  # fmt: skip
def test_how_long_is_waited_is_bounded(told: str, wait_s: float) -> None:
    assert wait_of(told) == wait_s


def test_a_date_says_how_long_is_waited() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    assert 17 < wait_of(soon) <= 20


def busy(wait: str) -> tuple[int, dict[str, str], bytes]:
    return 429, {"Retry-After": wait}, json.dumps({"detail": "full", "code": "queue_full", "hint": "later"}).encode()


def test_a_full_service_is_asked_again_as_often_as_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("gancodec.client.time.sleep", slept.append)
    with answering(*busy("7")) as (url, asked):
        assert refused(url, retries=3).code == "queue_full"
        assert len(asked) == 4 and slept == [7.0] * 3


def test_tries_end_with_the_clients_own_time() -> None:
    started = time.monotonic()
    with answering(*busy("1")) as (url, asked):
        assert refused(url, retries=1000, timeout_s=2.5).code == "queue_full"
        assert len(asked) == 3
    with answering(*busy("30")) as (url, asked):
        assert refused(url, retries=1000, timeout_s=5).code == "queue_full"
        assert len(asked) == 1
    assert time.monotonic() - started < 5
