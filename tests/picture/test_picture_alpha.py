"""Alpha as bytes: exact, and only the kinds that the format names."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from made_pictures import png, random_array, saved
from PIL import Image

from gancodec.errors import ConfigError, CorruptError
from gancodec.picture import decode_alpha, encode_alpha

Y, X = np.mgrid[0:90, 0:120]
PLANES = {
    "random": random_array(50, 40),
    "opaque": np.full((200, 300), 255, np.uint8),
    "clear": np.zeros((1, 1), np.uint8),
    "gradient": (X + Y).astype(np.uint8),
    "disc": np.where((X - 60) ** 2 + (Y - 45) ** 2 < 1500, 255, 0).astype(np.uint8),
    "too wide for WebP": random_array(1, 16_384),
    "too high for WebP": random_array(16_384, 2),
    "just right for WebP": np.tile(np.arange(16_383, dtype=np.uint16).astype(np.uint8), (3, 1)),
}


@pytest.mark.parametrize("name", PLANES)
def test_a_plane_comes_back_exactly(name: str) -> None:
    plane = PLANES[name]
    height, width = plane.shape
    np.testing.assert_array_equal(decode_alpha(encode_alpha(plane), width=width, height=height), plane)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 255)))
def test_any_small_plane_comes_back_exactly(plane: np.ndarray) -> None:
    height, width = plane.shape
    np.testing.assert_array_equal(decode_alpha(encode_alpha(plane), width=width, height=height), plane)


def test_the_smaller_of_both_formats_is_taken() -> None:
    kinds = {name: encode_alpha(plane)[:4] for name, plane in PLANES.items()}
    assert kinds["opaque"] == b"RIFF"
    assert kinds["too wide for WebP"] == b"\x89PNG"


@pytest.mark.parametrize(("width", "height"), [(40, 51), (39, 50), (50, 40), (1, 1)])
def test_another_size_is_corrupt(width: int, height: int) -> None:
    data = encode_alpha(PLANES["random"])
    with pytest.raises(CorruptError, match="40x50"):
        decode_alpha(data, width=width, height=height)


GREY = Image.fromarray(PLANES["random"])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text",
        encode_alpha(PLANES["random"])[:200],
        saved(GREY, "webp", lossless=True)[:200],
        saved(GREY, "jpeg"),
        saved(GREY.convert("LA"), "png"),
        saved(GREY.convert("RGB"), "png"),
        saved(GREY.convert("1"), "png"),
        saved(GREY.convert("P"), "png"),
        saved(Image.fromarray(random_array(50, 40, 3)), "webp", lossless=True),
        saved(Image.fromarray(random_array(50, 40, 4)), "webp", lossless=True),
        saved(GREY, "png", save_all=True, append_images=[GREY.rotate(180)]),
        png(random_array(50, 40, 1, dtype=np.uint16), bits=16),
    ],
)
def test_other_kinds_and_damaged_data_are_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptError):
        decode_alpha(data, width=40, height=50)


@pytest.mark.parametrize(
    "plane", [np.zeros((2, 2), np.int32), np.zeros((2, 2, 1), np.uint8), np.zeros((0, 2), np.uint8)]
)
def test_other_arrays_are_refused(plane: np.ndarray) -> None:
    with pytest.raises(ConfigError):
        encode_alpha(plane)
