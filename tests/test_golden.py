"""Golden files decode to the symbols that were written, whatever the arithmetic around the exact prior is set to.

The files and their weights are never made anew by a test; ``golden/make_golden.py`` says how they were made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from gancodec.codec import Codec
from gancodec.container import read_container
from gancodec.errors import ChecksumError, ConfigError, CorruptError
from gancodec.networks.integer import SHIFT, IntegerLayer
from gancodec.networks.prior import Prior
from gancodec.pipeline import Stream
from tests.conftest import GOLDEN
from tests.tiny import made_picture

FILES = sorted(path for path in GOLDEN.glob("*.gnc") if not path.stem.startswith("extreme-"))
WORST = "bf16"
"""The least precise arithmetic that torch offers for float32 products."""


def stream_of(data: bytes) -> Stream:
    container = read_container(data)
    header = container.header
    return Stream(
        payload=container.payload, width=header.width, height=header.height,
        quality_256=header.quality_256, symbol_crc=header.symbol_crc,
    )  # fmt: skip


@contextmanager
def threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def without_onednn() -> Iterator[None]:
    torch.backends.mkldnn.set_flags(False)  # its context manager warns about other hardware on the way out
    try:
        yield
    finally:
        torch.backends.mkldnn.set_flags(True)


@contextmanager
def worst_precision() -> Iterator[None]:
    backend = torch.backends.mkldnn.matmul, torch.backends.mkldnn.conv
    before = [each.fp32_precision for each in backend]
    torch.set_float32_matmul_precision("medium")
    for each in backend:
        each.fp32_precision = WORST
    try:
        yield
        assert [each.fp32_precision for each in backend] == [WORST, WORST], "the caller's settings were not restored"
    finally:
        torch.set_float32_matmul_precision("highest")
        for each, value in zip(backend, before, strict=True):
            each.fp32_precision = value


@contextmanager
def bands_of(prior: Prior, positions: int) -> Iterator[None]:
    before, prior.band_positions = prior.band_positions, positions
    try:
        yield
    finally:
        prior.band_positions = before


@contextmanager
def memory_format(prior: Prior, layout: torch.memory_format) -> Iterator[None]:
    """Both networks get their features, and their known symbols, in this layout."""
    methods = {prior.means: ("step_squashed", "hyper"), prior.index: ("step", "hyper")}

    def laid_out(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(*arguments: object) -> Tensor:
            return function(
                *(
                    value.contiguous(memory_format=layout) if isinstance(value, Tensor) and value.ndim == 4 else value
                    for value in arguments
                )
            )

        return call

    for owner, names in methods.items():
        for name in names:
            object.__setattr__(owner, name, laid_out(getattr(owner, name)))
    try:
        yield
    finally:
        for owner, names in methods.items():
            for name in names:
                object.__delattr__(owner, name)


SETTINGS: dict[str, Callable[[Prior], AbstractContextManager[object]]] = {
    "as it is": lambda prior: nullcontext(),
    "one thread": lambda prior: threads(1),
    "two threads": lambda prior: threads(2),
    "channels_last": lambda prior: memory_format(prior, torch.channels_last),
    "contiguous": lambda prior: memory_format(prior, torch.contiguous_format),
    "without oneDNN": lambda prior: without_onednn(),
    "autocast": lambda prior: torch.autocast("cpu", dtype=torch.bfloat16),
    "worst precision": lambda prior: worst_precision(),
    "bands of one row of z": lambda prior: bands_of(prior, 1),
    "bands of three rows of z": lambda prior: bands_of(prior, 100),
    "one band": lambda prior: bands_of(prior, 1 << 40),
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden_file_decodes_to_the_same_symbols(path: Path, setting: str, tiny_codec: Codec) -> None:
    stream = stream_of(path.read_bytes())
    with SETTINGS[setting](tiny_codec.pipeline.weights.prior):
        tiny_codec.pipeline.decode([stream]).whole()  # raises ChecksumError if one symbol differs


def test_batch_of_four_decodes_to_the_same_symbols(tiny_codec: Codec) -> None:
    """Four pictures at four qualities: nothing may leak from one to the other."""
    sizes, qualities = [(100, 120), (128, 128), (65, 66), (90, 70)], [0.0, 37.5, 71.25, 100.0]
    streams = [
        stream_of(tiny_codec.compress(Image.fromarray(made_picture(60 + number, *size)), quality=quality))
        for number, (size, quality) in enumerate(zip(sizes, qualities, strict=True))
    ]
    together = tiny_codec.pipeline.decode(streams).whole()
    for number, stream in enumerate(streams):
        alone = tiny_codec.pipeline.decode([stream]).whole()
        assert torch.equal(together.symbols_BMhw[number], alone.symbols_BMhw[0])
    with pytest.raises(ConfigError, match="padded sizes"):
        tiny_codec.pipeline.decode([streams[0], stream_of((GOLDEN / "rgb-1x1.gnc").read_bytes())])


def test_hyper_latent_is_the_same_in_bands(tiny_codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = made_picture(64, 700, 64)
    _, whole = tiny_codec.pipeline.analyse([pixels], [12_800])
    monkeypatch.setattr("gancodec.pipeline.photo.HYPER_BAND_ROWS", 2)
    _, banded = tiny_codec.pipeline.analyse([pixels], [12_800])
    assert (whole != banded).float().mean() < 0.005  # a rounding may turn, but no band may show


@pytest.mark.parametrize("kind", [torch.float64, torch.float16])
def test_default_type_of_the_caller_does_not_matter(kind: torch.dtype, tiny_codec: Codec) -> None:
    torch.set_default_dtype(kind)
    try:
        stream = stream_of(tiny_codec.compress(Image.fromarray(made_picture(65, 70, 80))))
        tiny_codec.pipeline.decode([stream]).whole()
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden_file_decodes_to_the_same_symbols_on_cuda(path: Path) -> None:
    pipeline = Codec.load(GOLDEN / "tiny.safetensors", "cuda").pipeline
    pipeline.decode([stream_of(path.read_bytes())]).whole()
    with worst_precision(), torch.autocast("cuda", dtype=torch.bfloat16):
        pipeline.decode([stream_of(path.read_bytes())]).whole()


@pytest.mark.parametrize("setting", ["as it is", "one thread", "without oneDNN", "autocast", "worst precision"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden_picture_stays_within_one_level(path: Path, setting: str, tiny_codec: Codec) -> None:
    with SETTINGS[setting](tiny_codec.pipeline.weights.prior):
        picture = np.asarray(tiny_codec.decompress(path.read_bytes()), np.int16)
    with Image.open(path.with_suffix(".png")) as opened:
        stored = np.asarray(opened, np.int16)
    assert picture.shape == stored.shape
    assert np.abs(picture - stored).max() <= 1


@pytest.mark.parametrize("setting", ["autocast", "worst precision"])
def test_settings_of_the_caller_do_not_reach_the_encoder(setting: str, tiny_codec: Codec) -> None:
    picture = Image.fromarray(made_picture(14, 128, 128))
    plain = tiny_codec.decompress(tiny_codec.compress(picture, quality=90))
    with SETTINGS[setting](tiny_codec.pipeline.weights.prior):
        under = tiny_codec.decompress(tiny_codec.compress(picture, quality=90))
    assert np.abs(np.asarray(plain, np.int16) - np.asarray(under, np.int16)).max() <= 1


@pytest.mark.parametrize("tile_px", [64, 128])
def test_picture_decoded_in_tiles_stays_within_one_level(tile_px: int, tiny_codec: Codec) -> None:
    picture = Image.fromarray(made_picture(11, 300, 200))
    whole = tiny_codec.decompress(tiny_codec.compress(picture, quality=80, effort=0))
    before, tiny_codec.pipeline.tile_px = tiny_codec.pipeline.tile_px, tile_px
    try:
        data = tiny_codec.compress(picture, quality=80, effort=0)
        tiled = tiny_codec.decompress(data)
    finally:
        tiny_codec.pipeline.tile_px = before
    assert np.abs(np.asarray(whole, np.int16) - np.asarray(tiled, np.int16)).max() <= 1
    tiny_codec.decompress(data)  # and a file made in tiles opens without them


class FloatLayer(nn.Module):
    """What every other learned codec does: the same weights, activations not rounded."""

    def __init__(self, layer: IntegerLayer) -> None:
        super().__init__()
        self.layer = layer
        self.convolution = nn.Conv2d(
            layer.weight.shape[0] if layer.depthwise else layer.weight.shape[1],
            layer.weight.shape[0],
            3 if layer.depthwise else 1,
            padding=1 if layer.depthwise else 0,
            groups=layer.weight.shape[0] if layer.depthwise else 1,
            bias=False,
        ).requires_grad_(False)
        self.convolution.weight.copy_(layer.weight.float().view(self.convolution.weight.shape))

    def forward(self, x: Tensor, quality_256_B: Tensor) -> Tensor:
        bias = self.layer.bias[len(self.layer.bias) // 2].float()[:, None, None]
        scaled = (self.convolution(x) + bias) * (self.layer.multiplier.float()[:, None, None] / 2.0**SHIFT)
        return scaled.round().to(torch.int64) if self.layer.last else scaled.clamp(0, 255)


def test_float_index_network_would_be_caught(photo_codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness above can fail: with an index network in floats, the settings lead to other tables.

    The guard around the prior is taken away too, as no other codec has it.
    """
    monkeypatch.setattr("gancodec.networks.prior.exact_arithmetic", nullcontext)
    codec = Codec(photo_codec.entry, torch.device("cpu"))
    prior = codec.pipeline.weights.prior
    for parent in list(prior.index.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, IntegerLayer):
                setattr(parent, name, FloatLayer(child))
    picture = Image.fromarray(made_picture(12, 256, 320))
    stream = stream_of(codec.compress(picture, quality=60))
    codec.pipeline.decode([stream]).whole()  # under the settings it was written with, it opens
    caught = []
    for name, setting in SETTINGS.items():
        try:
            with setting(prior):
                codec.pipeline.decode([stream]).whole()
        except (ChecksumError, CorruptError):
            caught.append(name)
    assert caught, "no setting moved a float index network: the golden tests would prove nothing"


@pytest.mark.parametrize("setting", SETTINGS)
def test_shipped_codec_decodes_to_the_same_symbols(setting: str, photo_codec: Codec, photo_stream: Stream) -> None:
    with SETTINGS[setting](photo_codec.pipeline.weights.prior):
        photo_codec.pipeline.decode([photo_stream]).whole()


@pytest.fixture(scope="module")
def photo_stream(photo_codec: Codec) -> Stream:
    return stream_of(photo_codec.compress(Image.fromarray(made_picture(13, 200, 330)), quality=70))
