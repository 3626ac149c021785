"""The service on a free port of this machine, with the tiny codecs."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra `service`")
uvicorn = pytest.importorskip("uvicorn", reason="needs the extra `service`")

from fastapi import FastAPI  # noqa: E402

from gancodec.client import Client  # noqa: E402
from service.app import create_app  # noqa: E402
from service.connections import Connection  # noqa: E402
from service.settings import Settings  # noqa: E402
from tests.conftest import GOLDEN  # noqa: E402

SOON = 30.0
TINY = str(GOLDEN / "tiny.safetensors")
TINY_EXTREME = str(GOLDEN / "tiny-extreme.safetensors")


@dataclass(frozen=True)
class Service:
    """One that runs."""

    url: str
    app: FastAPI
    stop: Callable[[], None]

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.url.removeprefix("http://").split(":")
        return host, int(port)

    def client(self, **options: Any) -> Client:
        return Client(self.url, **options)


@contextmanager
def serving(**settings: Any) -> Iterator[Service]:
    """The service until the end of the block; ready when it begins."""
    values = {"device": "cpu", "codecs": [TINY, TINY_EXTREME]} | settings
    app = create_app(Settings(**values))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", http=Connection))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()

    def stop() -> None:
        server.should_exit = True
        thread.join(SOON)

    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + SOON
        while not Client(url).is_ready():
            failure = app.state.engine.failure
            assert thread.is_alive() and time.monotonic() < deadline and not failure, failure
            time.sleep(0.02)
        yield Service(url, app, stop)
    finally:
        stop()


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    with serving(max_body_bytes=2_000_000, max_pixels=300_000, queue_pixels=600_000) as running:
        yield running


@pytest.fixture
def client(service: Service) -> Client:
    return service.client()
