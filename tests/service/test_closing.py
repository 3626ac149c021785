"""SIGTERM: not ready, drain, close; the service as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gancodec.client import Client, ServiceError
from tests.service.conftest import SOON, TINY, Service
from tests.service.test_service import file_of, picture, problem

START_S = 60.0


@contextmanager
def process(**settings: str) -> Iterator[tuple[subprocess.Popen[bytes], Service]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "gancodec", "serve", "--port", str(port), "--codec", TINY, "--device", "cpu"]
    named = {f"GANCODEC_SERVICE_{name.upper()}": value for name, value in settings.items()}
    environment = os.environ | named | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as started:
        try:
            service = Service(f"http://127.0.0.1:{port}", None, started.terminate)  # type: ignore[arg-type]
            deadline = time.monotonic() + START_S
            while not service.client().is_ready():
                assert started.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
            yield started, service
        finally:
            started.kill()


def test_sigterm_finishes_what_is_in_work_and_takes_no_more() -> None:
    body = file_of(picture())
    with process() as (started, service), socket.create_connection(service.address, timeout=SOON) as slow:
        slow.sendall(b"POST /v1/compress HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body))
        slow.sendall(body[:100])
        time.sleep(0.3)
        started.terminate()
        deadline = time.monotonic() + SOON
        while service.client().is_ready():
            assert time.monotonic() < deadline
        assert problem(service, "/readyz", method="GET")["code"] == "not_ready"
        found = problem(service, "/v1/compress", body)
        assert (found["status"], found["code"]) == (503, "not_ready")
        slow.sendall(body[100:])
        assert b" 200 " in slow.recv(200)
        assert started.wait(SOON) in (0, -signal.SIGTERM)
        with pytest.raises(ServiceError, match="cannot be reached"):
            Client(service.url).codecs()


def test_sigterm_ends_at_once_where_nothing_is_in_work() -> None:
    with process() as (started, service), socket.create_connection(service.address):
        before = time.monotonic()
        started.terminate()
        assert started.wait(SOON) in (0, -signal.SIGTERM)
        assert time.monotonic() - before < SOON / 2


def test_two_signals_cut_no_answer_off() -> None:
    body = file_of(picture())
    with process() as (started, service), socket.create_connection(service.address, timeout=SOON) as slow:
        slow.sendall(b"POST /v1/compress HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body))
        slow.sendall(body[:100])
        for _ in range(2):
            time.sleep(0.3)
            started.send_signal(signal.SIGINT)
        time.sleep(0.5)
        slow.sendall(body[100:])
        assert b" 200 " in slow.recv(200)
        assert started.wait(SOON) in (0, 130, -signal.SIGINT)


def test_what_is_in_work_is_not_waited_for_without_end() -> None:
    settings = {"body_timeout_s": "1", "deadline_s": "1"}
    with process(**settings) as (started, service), socket.create_connection(service.address) as stuck:
        stuck.sendall(b"POST /v1/compress HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc")
        time.sleep(0.2)
        started.terminate()
        assert started.wait(SOON) in (0, -signal.SIGTERM)
