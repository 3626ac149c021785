"""Fixtures shared by all tests: the tiny codec, and the shipped one where its weights are."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from gancodec.codec import Codec
from gancodec.registry import shipped_models

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """A shell starts what it puts into the background with Ctrl-C switched off, and children inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tiny_codec() -> Codec:
    """The codec of the golden files, on the CPU."""
    return Codec.load(GOLDEN / "tiny.safetensors", "cpu")


@pytest.fixture(scope="session")
def photo_codec() -> Codec:
    """The shipped codec, on the CPU."""
    if "photo" not in {entry.name for entry in shipped_models()}:
        pytest.skip("the weights of 'photo' are not in this checkout")
    return Codec.load("photo", "cpu")
