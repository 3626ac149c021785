"""Several pictures through the networks together: each comes out as if it had been alone."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from gancodec.codec import Codec
from gancodec.errors import ChecksumError, ConfigError, FormatError
from gancodec.picture import Picture, from_pillow
from tests.conftest import GOLDEN
from tests.tiny import made_picture

SIZES = [(100, 120), (128, 128), (65, 66), (90, 70)]
"""Heights and widths, of one padded size."""
QUALITIES = [0, 9600, 18_240, 25_600]


@pytest.fixture(params=["tiny", "tiny-extreme"])
def codec(request: pytest.FixtureRequest) -> Codec:
    return Codec.load(GOLDEN / f"{request.param}.safetensors", "cpu")


@pytest.fixture
def pictures(codec: Codec) -> list[Picture]:
    sizes = SIZES if codec.pipeline.has_quality else [(100, 120), (112, 128), (97, 113), (99, 127)]
    made = [Image.fromarray(made_picture(90 + number, *size)) for number, size in enumerate(sizes)]
    made[1] = made[1].convert("L")
    return [from_pillow(image) for image in made]


def written(codec: Codec, pictures: list[Picture]) -> list[bytes]:
    symbols = codec.quantise(pictures, QUALITIES)
    return [
        codec.write(picture, None, own, quality)
        for picture, own, quality in zip(pictures, symbols, QUALITIES, strict=True)
    ]


def test_files_open_alone_as_the_pictures_they_were(codec: Codec, pictures: list[Picture]) -> None:
    for number, (picture, data) in enumerate(zip(pictures, written(codec, pictures), strict=True)):
        quality = QUALITIES[number] / 256 if codec.pipeline.has_quality else None
        alone = codec.compress(picture, quality=quality, effort=0)
        # A rounding may turn where sums are made in another order; rate and picture stay.
        assert abs(len(data) - len(alone)) <= max(4, 0.02 * len(alone))
        back = codec.decompress_picture(data)
        assert back.mode == picture.mode and back.colour_HWC.shape == picture.colour_HWC.shape
        difference = np.abs(back.colour_HWC.astype(int) - codec.decompress_picture(alone).colour_HWC)
        assert difference.mean() < 0.5


def test_files_decoded_together_are_those_decoded_alone(codec: Codec, pictures: list[Picture]) -> None:
    files = written(codec, pictures)
    for data, together in zip(files, codec.decode([codec.open(data) for data in files]), strict=True):
        assert isinstance(together, Picture)
        alone = codec.decompress_picture(data)
        assert np.abs(together.colour_HWC.astype(int) - alone.colour_HWC).max() <= 1


def test_a_damaged_file_fails_alone(codec: Codec, pictures: list[Picture]) -> None:
    files = written(codec, pictures)
    wanted = [codec.decompress_picture(data) for data in files]
    opened = [codec.open(data) for data in files]
    payload = bytearray(opened[2].container.payload)
    payload[len(payload) // 2] ^= 0x10
    spoilt = opened[2].container
    object.__setattr__(spoilt, "payload", bytes(payload))
    found = codec.decode(opened)
    assert isinstance(found[2], FormatError)
    for number in (0, 1, 3):
        picture = found[number]
        assert isinstance(picture, Picture)
        assert np.abs(picture.colour_HWC.astype(int) - wanted[number].colour_HWC).max() <= 1
    (alone,) = codec.decode([opened[2]])
    assert isinstance(alone, FormatError)


def test_wrong_symbols_are_found_in_a_batch(codec: Codec, pictures: list[Picture]) -> None:
    opened = [codec.open(data) for data in written(codec, pictures)]
    object.__setattr__(opened[0].container.header, "symbol_crc", 1)
    found = codec.decode(opened)
    assert isinstance(found[0], ChecksumError) and isinstance(found[1], Picture)


def test_pictures_of_several_padded_sizes_are_refused(codec: Codec, pictures: list[Picture]) -> None:
    other = from_pillow(Image.fromarray(made_picture(99, 200, 30)))
    with pytest.raises(ConfigError, match="padded sizes"):
        codec.quantise([pictures[0], other], [0, 0])
    opened = [codec.open(codec.compress(picture)) for picture in (pictures[0], other)]
    with pytest.raises(ConfigError, match="padded sizes"):
        codec.decode(opened)


def test_every_picture_has_its_own_realism(photo_codec: Codec) -> None:
    images = [Image.fromarray(made_picture(95 + number, 90, 100)) for number in range(3)]
    files = [photo_codec.compress(image, quality=20) for image in images]
    realisms = (1.0, 0.0, 1.0)
    together = photo_codec.decode(
        [photo_codec.open(data, realism=realism) for data, realism in zip(files, realisms, strict=True)]
    )
    for data, realism, picture in zip(files, realisms, together, strict=True):
        assert isinstance(picture, Picture)
        alone = photo_codec.decompress_picture(data, realism=realism).colour_HWC.astype(int)
        assert np.abs(picture.colour_HWC.astype(int) - alone).max() <= 1
        other = photo_codec.decompress_picture(data, realism=1 - realism).colour_HWC.astype(int)
        assert np.abs(picture.colour_HWC.astype(int) - other).max() > 3


def test_a_large_picture_lets_others_pass(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between tiles, and between steps of the prior; what passes does not disturb it."""
    small = Image.fromarray(made_picture(97, 40, 50))
    large = Image.fromarray(made_picture(98, 300, 200))
    wanted_small, wanted_large = codec.compress(small), codec.compress(large)
    inner = Codec.load(codec.entry.path, "cpu")
    passed: list[bytes] = []
    monkeypatch.setattr(codec.pipeline, "tile_px", 128)
    monkeypatch.setattr(codec.pipeline, "between", lambda: passed.append(inner.compress(small)))
    (symbols,) = codec.quantise([from_pillow(large)], [60 * 256])
    data = codec.write(from_pillow(large), None, symbols, 60 * 256 if codec.pipeline.has_quality else 0)
    assert len(passed) >= 5 and set(passed) == {wanted_small}
    assert abs(len(data) - len(wanted_large)) <= max(4, 0.02 * len(wanted_large))
    passed.clear()
    codec.decompress(data)
    assert len(passed) >= 5 and set(passed) == {wanted_small}


