"""More than 8 bits a sample: never reduced silently, and rounded if asked for."""

from __future__ import annotations

import base64
import io
import struct

import numpy as np
import pytest
from made_pictures import chunk, png, random_array, saved, tiff_16_bit
from PIL import Image

from gancodec.errors import PictureError
from gancodec.picture import Converted16BitWarning, Picture, from_pillow, read_picture


def rounded(values: np.ndarray, peak: int = 65_535) -> np.ndarray:
    return np.rint(values.astype(np.float64) * 255 / peak).astype(np.uint8)


def refused_then_converted(data: bytes) -> Picture:
    with pytest.raises(PictureError, match="--convert-16-bit"):
        read_picture(data, name="deep")
    with pytest.warns(Converted16BitWarning, match="deep"):
        return read_picture(data, name="deep", convert_16_bit=True)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_16_bits_is_refused_or_rounded(channels: int) -> None:
    values = random_array(13, 9, channels, dtype=np.uint16)
    picture = refused_then_converted(png(values, bits=16))
    assert picture.mode == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    colours = 1 if channels < 3 else 3
    np.testing.assert_array_equal(picture.colour_HWC, rounded(values[..., :colours]))
    if channels in (2, 4):
        np.testing.assert_array_equal(picture.alpha_HW, rounded(values[..., -1]))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_16_bit_colour_key_is_compared_in_16_bits(channels: int) -> None:
    values = np.full((2, 2, channels), 0x1234, np.uint16)
    values[0, 1] = 0x1235  # the same after the reduction
    key = struct.pack(f">{channels}H", *[0x1234] * channels)
    picture = refused_then_converted(png(values, bits=16, extra=chunk(b"tRNS", key)))
    assert picture.alpha_HW is not None
    assert picture.alpha_HW.tolist() == [[0, 255], [0, 0]]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_tiff_of_16_bits_is_refused_or_rounded(order: str, deflate: bool, channels: int) -> None:
    values = random_array(7, 10, channels, dtype=np.uint16)
    picture = refused_then_converted(tiff_16_bit(values, order=order, deflate=deflate))
    np.testing.assert_array_equal(picture.colour_HWC, rounded(values))


def test_tiff_of_12_bits_is_scaled_by_its_own_peak() -> None:
    values = random_array(4, 6, 1, dtype=np.uint16) >> 4
    picture = refused_then_converted(tiff_16_bit(values, order="<", bits=12))
    np.testing.assert_array_equal(picture.colour_HWC, rounded(values, 4095))


def test_ppm_of_16_bits_is_refused() -> None:
    refused_then_converted(b"P6 2 1 65535\n" + bytes(range(12)))
    refused_then_converted(b"P5 2 1 4095\n" + bytes([0, 0, 15, 255]))


def test_sgi_of_16_bits_is_refused() -> None:
    header = struct.pack(">HBBHHHH", 474, 0, 2, 3, 2, 1, 3).ljust(512, b"\0")
    refused_then_converted(header + bytes(range(12)))


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L"])
def test_modes_of_16_bits_are_refused_or_rounded(mode: str) -> None:
    values = random_array(3, 5, dtype=np.uint16)
    image = Image.frombytes(mode, (5, 3), values.astype(">u2" if mode.endswith("B") else "<u2").tobytes())
    with pytest.raises(PictureError, match="--convert-16-bit"):
        from_pillow(image)
    with pytest.warns(Converted16BitWarning):
        picture = from_pillow(image, convert_16_bit=True)
    np.testing.assert_array_equal(picture.colour_HWC[..., 0], rounded(values))


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (np.array([[0, 65_535, 257]], np.int32), [0, 255, 1]),
        (np.array([[0, 1, 0.5]], np.float32), [0, 255, 128]),
        (np.array([[0, 255, 99.6]], np.float32), [0, 255, 100]),
    ],
)
def test_wide_modes_are_scaled_if_their_values_fit(values: np.ndarray, wanted: list[int]) -> None:
    with pytest.warns(Converted16BitWarning):
        picture = from_pillow(Image.fromarray(values), convert_16_bit=True)
    assert picture.colour_HWC[0, :, 0].tolist() == wanted


@pytest.mark.parametrize(
    "values",
    [
        np.array([[0, 65_536]], np.int32),
        np.array([[-1, 5]], np.int32),
        np.array([[0, 256]], np.float32),
        np.array([[0, np.nan]], np.float32),
        np.array([[-0.1, 0.5]], np.float32),
    ],
)
def test_wide_modes_are_refused_if_their_values_do_not_fit(values: np.ndarray) -> None:
    with pytest.raises(PictureError, match="not within"):
        from_pillow(Image.fromarray(values), convert_16_bit=True)


def test_pictures_of_8_bits_are_not_taken_for_deep() -> None:
    image = Image.fromarray(random_array(6, 6, 3))
    for kind in ("png", "tiff", "ppm", "sgi", "bmp", "tga", "jpeg2000", "qoi"):
        assert read_picture(saved(image, kind), name=kind).mode == "RGB"


def test_jpeg_2000_of_16_bits_is_refused() -> None:
    values = random_array(8, 8, dtype=np.uint16)
    refused_then_converted(saved(Image.fromarray(values), "jpeg2000"))


AVIF_OF_10_BITS = base64.b64decode(
    "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUEAAADybWV0YQAAAAAAAAAoaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAGxpYmF2aWYA"
    "AAAADnBpdG0AAAAAAAEAAAAeaWxvYwAAAABEAAABAAEAAAABAAABGgAAAB4AAAAoaWluZgAAAAAAAQAAABppbmZlAgAAAAABAABhdjAxQ29sb3IA"
    "AAAAamlwcnAAAABLaXBjbwAAABRpc3BlAAAAAAAAABAAAAAQAAAAEHBpeGkAAAAAAwoKCgAAAAxhdjFDgSBAAAAAABNjb2xybmNseAABAA0ABoAA"
    "AAAXaXBtYQAAAAAAAAABAAEEAQKDBAAAACZtZGF0EgAKCDgM/9jAQ0GkMhAXgAwwwwQAAaGuvQl9DBC+"
)
"""16×16, grey from black to white, by avifenc -d 10: Pillow writes 8 bits only."""


def test_avif_of_10_bits_is_refused_or_reduced_and_of_8_is_taken() -> None:
    picture = refused_then_converted(AVIF_OF_10_BITS)
    assert picture.colour_HWC.shape == (16, 16, 3)
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 100, 50)).save(buffer, "AVIF")
    assert read_picture(buffer.getvalue()).colour_HWC.shape == (16, 16, 3)
