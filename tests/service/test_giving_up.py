"""What nobody waits for any more ends, and gives back what it held."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from gancodec.container import ColourMode, write_container
from gancodec.pipeline import Decoded, Stream
from service.batcher import DeadlineError, GivenUpError
from tests.service.conftest import SOON, TINY, Service, serving
from tests.service.test_service import file_of, picture, problem

SIDE_PX = 8000


@pytest.fixture
def ends() -> list[str]:
    """What became of each decoding: "begun", then "done" or the name of what it raised."""
    return []


@pytest.fixture
def service(ends: list[str]) -> Iterator[Service]:
    with serving(codecs=[TINY], deadline_s=3) as running:
        (codec,) = running.app.state.engine.codecs.values()
        codec.pipeline.decode = observed(codec.pipeline.decode, ends)
        yield running


def observed(decode: Callable[[Sequence[Stream]], Decoded], ends: list[str]) -> Any:
    def observing(streams: Sequence[Stream]) -> Decoded:
        ends.append("begun")
        try:
            decoded = decode(streams)
        except Exception as exc:
            ends.append(type(exc).__name__)
            raise
        ends.append("done")
        return decoded

    return observing


def crafted(service: Service) -> bytes:
    """Some thirty bytes that promise a picture of as many pixels as are taken, and need seconds to be found out."""
    (codec,) = service.app.state.engine.codecs.values()
    return write_container(
        mode=ColourMode.RGB, width=SIDE_PX, height=SIDE_PX, model_id=codec.entry.model_id, quality=60,
        uniform_tables=False, payload=b"", symbol_crc=0, alpha=None, metadata={},
    )  # fmt: skip


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def held_pixels(service: Service) -> int:
    return int(service.app.state.work._budget.held)


def test_a_picture_whose_client_has_gone_ends_while_it_is_computed(service: Service, ends: list[str]) -> None:
    body = crafted(service)
    with socket.create_connection(service.address, timeout=SOON) as connection:
        head = b"POST /v1/decompress HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
        connection.sendall(head + body)
        wait_for(lambda: "begun" in ends)
    wait_for(lambda: held_pixels(service) == 0)
    assert ends == ["begun", GivenUpError.__name__]
    assert service.client().compress(file_of(picture())).width == 70


def test_a_picture_past_its_deadline_ends_while_it_is_computed(service: Service, ends: list[str]) -> None:
    (codec,) = service.app.state.engine.codecs.values()
    between = codec.pipeline.between

    def slow() -> None:
        time.sleep(0.02)
        between()

    codec.pipeline.between = slow
    found = problem(service, "/v1/decompress", crafted(service))
    assert (found["status"], found["code"]) == (504, "deadline")
    wait_for(lambda: held_pixels(service) == 0)
    assert ends in (["begun", each.__name__] for each in (GivenUpError, DeadlineError))
