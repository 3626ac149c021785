"""A picture that looks a little like a photo, and a stand-in for `gancodec.Codec` that is JPEG inside."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from gancodec.errors import PictureError
from gancodec.timing import NETWORK, Stopwatch


@dataclass
class FakeEntry:
    name: str = "fake"


@dataclass
class FakePipeline:
    has_quality: bool = True
    has_realism: bool = True
    clock: Stopwatch = field(default_factory=Stopwatch)


class FakeCodec:
    """Encodes for real, as JPEG 4:4:4; quality 0..100 becomes JPEG's 5..95.  Refuses pictures 13 pixels wide.

    Realism makes pictures lighter, effort above 1 files smaller.  Without quality, JPEG's is 2.
    """

    def __init__(self, name: str = "fake", *, has_quality: bool = True, has_realism: bool = True) -> None:
        self.entry = FakeEntry(name)
        self.pipeline = FakePipeline(has_quality, has_realism)
        self.realism_seen: set[float] = set()
        self.efforts_seen: list[float | None] = []
        self.files_made = 0

    def compress(self, picture: Image.Image, /, **options: float) -> bytes:
        assert {"quality"} <= set(options) <= {"quality", "effort"} if self.pipeline.has_quality else not options
        if picture.width == 13:
            raise PictureError("it is 13 pixels wide", hint="give another")
        self.files_made += 1
        self.efforts_seen.append(options.get("effort"))
        buffer = io.BytesIO()
        quality = round(5 + 0.9 * options["quality"]) if options else 2
        with self.pipeline.clock.part(NETWORK):
            smaller = options.get("effort", 0) > 1
            picture.save(buffer, format="JPEG", quality=quality, subsampling="4:4:4", optimize=smaller)
        return buffer.getvalue()

    def decompress(self, data: bytes, /, *, realism: float) -> Image.Image:
        assert self.pipeline.has_realism or realism == 0
        self.realism_seen.add(realism)
        return Image.open(io.BytesIO(data)).point(lambda value: min(255, value + 8 * realism))


class FakeFeatures:
    """Mean absolute difference in [−1, 1], for sides of 32 pixels and more."""

    def __init__(self, name: str = "alex") -> None:
        self.name = name
        self.min_side_px = 32
        self.seen: list[torch.Tensor] = []
        self.precision_seen: set[str] = set()

    def distance(self, x_BCHW: torch.Tensor, y_BCHW: torch.Tensor, /) -> torch.Tensor:
        self.seen += [x_BCHW, y_BCHW]
        self.precision_seen.add(torch.backends.mkldnn.conv.fp32_precision)
        return (x_BCHW - y_BCHW).abs().mean((1, 2, 3))


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
def one_rate_codec() -> FakeCodec:
    """As ``extreme``: neither quality nor realism."""
    return FakeCodec("rough", has_quality=False, has_realism=False)


@pytest.fixture
def features() -> FakeFeatures:
    return FakeFeatures()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures large enough for MS-SSIM, and a README."""
    path = tmp_path / "pictures"
    path.mkdir()
    for index in range(2):
        Image.fromarray(photo_like(192, 168, seed=index)).save(path / f"photo{index}.png")
    (path / "README.md").write_text("no picture", encoding="utf-8")
    return path
