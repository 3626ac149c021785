"""Small complete files for the container tests; their payloads are any bytes, since nothing here decodes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gancodec.container import Chunk, ColourMode, write_container

PLAIN: dict[str, Any] = {
    "mode": ColourMode.RGB,
    "width": 768,
    "height": 512,
    "model_id": bytes.fromhex("c0dec0de"),
    "quality": 62.5,
    "uniform_tables": False,
    "payload": b"gancodec",
    "symbol_crc": 0x12345678,
}
ALL_METADATA = {b"ICCP": b"profile" * 9, b"EXIF": b"II*\0exif", b"XMP ": b"<x/>"}

SAMPLES: dict[str, dict[str, Any]] = {
    "plain": {},
    "empty payload": {"payload": b"", "mode": ColourMode.L, "width": 1, "height": 1},
    "long payload": {"payload": bytes(range(256)), "uniform_tables": True},
    "alpha": {"mode": ColourMode.LA, "alpha": b"coded alpha"},
    "exif": {"metadata": {b"EXIF": b"II*\0exif"}},
    "all metadata": {"metadata": ALL_METADATA},
    "unknown": {"unknown": (Chunk(type=b"NOTE", data=b"hello"),)},
    "unknown thrice": {"unknown": (Chunk(type=b"NOTE", data=b"hello"),) * 3, "metadata": {b"XMP ": b"<x/>"}},
    "everything": {
        "mode": ColourMode.RGBA,
        "alpha": b"coded alpha",
        "metadata": ALL_METADATA,
        "unknown": (Chunk(type=b"NOTE", data=b"hello"), Chunk(type=b"a b ", data=b"")),
    },
}


@pytest.fixture
def make() -> Callable[..., bytes]:
    """write_container with the fields of PLAIN, each of which a keyword replaces."""

    def make_file(**changes: Any) -> bytes:
        return write_container(**PLAIN | changes)

    return make_file


@pytest.fixture(params=SAMPLES)
def sample(request: pytest.FixtureRequest, make: Callable[..., bytes]) -> bytes:
    """Each of the sample files in turn."""
    return make(**SAMPLES[request.param])
