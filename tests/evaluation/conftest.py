"""A picture that looks a little like a photo, and a stand-in for `gancodec.Codec` that is JPEG inside."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gancodec.errors import PictureError


@dataclass
class FakeEntry:
    name: str = "fake"


class FakeCodec:
    """Encodes for real, as JPEG 4:4:4; quality 0..100 becomes JPEG's 5..95.  Refuses pictures 13 pixels wide."""

    def __init__(self, name: str = "fake") -> None:
        self.entry = FakeEntry(name)
        self.realism_seen: set[float] = set()

    def compress(self, picture: Image.Image, /, *, quality: float) -> bytes:
        if picture.width == 13:
            raise PictureError("it is 13 pixels wide", hint="give another")
        buffer = io.BytesIO()
        picture.save(buffer, format="JPEG", quality=round(5 + 0.9 * quality), subsampling="4:4:4")
        return buffer.getvalue()

    def decompress(self, data: bytes, /, *, realism: float) -> Image.Image:
        self.realism_seen.add(realism)
        return Image.open(io.BytesIO(data))


def photo_like(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth colours, an edge and a little noise: uint8 RGB [height, width, 3]."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(40, 215, (6, 6, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)
    smooth[height // 3 :, width // 2 :] *= 0.6
    return (smooth + rng.normal(0, 4, smooth.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture
def photo() -> Image.Image:
    """192 pixels wide, 168 high."""
    return Image.fromarray(photo_like(192, 168))


@pytest.fixture
def make_photo() -> Callable[[int, int], Image.Image]:
    """Width and height in pixels -> picture."""
    return lambda width, height: Image.fromarray(photo_like(width, height))


@pytest.fixture
def fake_codec() -> FakeCodec:
    return FakeCodec()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures large enough for MS-SSIM, and a README."""
    path = tmp_path / "pictures"
    path.mkdir()
    for index in range(2):
        Image.fromarray(photo_like(192, 168, seed=index)).save(path / f"photo{index}.png")
    (path / "README.md").write_text("no picture", encoding="utf-8")
    return path
