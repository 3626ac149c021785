"""Classical codecs write real files, with the options they claim, that hold the curves they are known for."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from gancodec.errors import ConfigError, PictureError
from gancodec.evaluation.classical import CLASSICAL, classical
from gancodec.evaluation.metrics import psnr


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_file_of_that_format_comes_back_as_the_picture(name: str, photo: Image.Image) -> None:
    codec = classical(name)
    data = codec.encode(photo, 90)
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == codec.format
    decoded = codec.decode(data)
    assert (decoded.mode, decoded.size) == ("RGB", photo.size)
    assert psnr(np.asarray(photo), np.asarray(decoded)) > 30


@pytest.mark.parametrize("name", CLASSICAL)
def test_bytes_and_psnr_rise_over_the_default_qualities(name: str, photo: Image.Image) -> None:
    codec = classical(name)
    files = [codec.encode(photo, quality) for quality in codec.qualities]
    assert 8 <= len(files) <= 12
    assert [len(file) for file in files] == sorted({len(file) for file in files})
    quality = [psnr(np.asarray(photo), np.asarray(codec.decode(file))) for file in files]
    assert quality == sorted(quality)


@pytest.mark.parametrize(("name", "sampling"), [("jpeg", 2), ("jpeg444", 0)])
def test_jpeg_is_progressive_with_the_subsampling_asked_for(name: str, sampling: int, photo: Image.Image) -> None:
    with Image.open(io.BytesIO(classical(name).encode(photo, 75))) as image:
        assert JpegImagePlugin.get_sampling(image) == sampling
        assert image.info["progressive"]


def test_avif_keeps_colour_at_full_resolution() -> None:
    """Stripes of red and green, one pixel wide and alike in luma, survive 4:4:4 and blur to one colour in 4:2:0."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = (200, 0, 0)
    stripes[:, 1::2] = (0, 102, 0)
    decoded = np.asarray(classical("avif").decode(classical("avif").encode(Image.fromarray(stripes), 95)))
    assert decoded[:, ::2, 0].mean() - decoded[:, 1::2, 0].mean() > 150


def test_settings_name_the_options_and_the_library() -> None:
    assert classical("avif").settings.startswith("4:4:4, speed 4; avif ")
    assert classical("WebP").settings.startswith("4:2:0, method 6; webp ")
    assert classical("JPEG").settings.startswith("4:2:0, optimised, progressive; libjpeg-turbo ")


@pytest.mark.parametrize("quality", [-1, 101, 50.5, None])
def test_a_quality_that_pillow_would_bend_is_refused(quality: float | None, photo: Image.Image) -> None:
    with pytest.raises(ConfigError, match="quality"):
        classical("webp").encode(photo, quality)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="jpeg444, webp, avif, jxl"):
        classical("bpg")


def test_a_picture_beyond_the_format_is_a_picture_error(make_photo: Callable[[int, int], Image.Image]) -> None:
    with pytest.raises(PictureError, match="WebP cannot encode"):
        classical("webp").encode(make_photo(16_384, 1), 50)
