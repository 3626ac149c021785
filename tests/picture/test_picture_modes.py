"""Modes: what Pillow has, and which Picture becomes of it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from made_pictures import chunk, cmyk_profile, exif, icc, png, random_array, saved
from PIL import Image

from gancodec.errors import ConfigError, DamagedMetadataWarning, LimitError, PictureError
from gancodec.picture import Metadata, Picture, from_pillow, read_picture, to_pillow, write_picture

SIDES = st.integers(1, 9)
QUICK = settings(max_examples=60, deadline=None)


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    height, width, channels = draw(SIDES), draw(SIDES), draw(st.sampled_from([1, 3]))
    notes = st.binary(max_size=80)
    orders = st.sampled_from(["<", ">"])
    orientations = st.none() | st.integers(1, 8)
    return Picture(
        colour_HWC=draw(hnp.arrays(np.uint8, (height, width, channels))),
        alpha_HW=draw(st.none() | hnp.arrays(np.uint8, (height, width))),
        metadata=Metadata(
            icc=draw(st.none() | st.builds(lambda note: icc(channels, note=note), notes)),
            exif=draw(
                st.none() | st.builds(lambda o, e, n: exif(orientation=o, order=e, note=n), orientations, orders, notes)
            ),
            xmp=draw(st.none() | st.binary(min_size=1, max_size=80)),
        ),
    )


def assert_same(seen: Picture, wanted: Picture) -> None:
    assert seen.mode == wanted.mode
    np.testing.assert_array_equal(seen.colour_HWC, wanted.colour_HWC)
    if wanted.alpha_HW is not None:
        np.testing.assert_array_equal(seen.alpha_HW, wanted.alpha_HW)
    assert seen.metadata == wanted.metadata


@QUICK
@given(pictures())
def test_a_picture_comes_back_from_pillow_unchanged(picture: Picture) -> None:
    assert_same(from_pillow(to_pillow(picture)), picture)


@QUICK
@given(pictures())
def test_a_picture_comes_back_from_png_unchanged(picture: Picture) -> None:
    assert_same(read_picture(write_picture(picture)), picture)


@QUICK
@given(pictures())
def test_a_picture_comes_back_from_webp_with_grey_as_rgb(picture: Picture) -> None:
    seen = read_picture(write_picture(picture, "webp"))
    channels = picture.colour_HWC.shape[2]
    np.testing.assert_array_equal(seen.colour_HWC, np.repeat(picture.colour_HWC, 3 // channels, axis=2))
    # Pillow reads an alpha plane that is opaque everywhere, and libwebp drops it
    opaque = np.full((picture.height, picture.width), 255)
    stored = opaque if picture.alpha_HW is None else picture.alpha_HW
    np.testing.assert_array_equal(opaque if seen.alpha_HW is None else seen.alpha_HW, stored)
    metadata = picture.metadata
    assert seen.metadata == Metadata(icc=metadata.icc if channels == 3 else None, exif=metadata.exif, xmp=metadata.xmp)


@QUICK
@given(pictures())
def test_metadata_comes_back_from_jpeg_byte_for_byte(picture: Picture) -> None:
    opaque = Picture(colour_HWC=picture.colour_HWC, metadata=picture.metadata)
    seen = read_picture(write_picture(opaque, "jpeg"))
    assert (seen.mode, seen.width, seen.height) == (opaque.mode, opaque.width, opaque.height)
    assert seen.metadata == picture.metadata


@settings(max_examples=15, deadline=None)
@given(pictures())
def test_metadata_comes_back_from_avif_byte_for_byte(picture: Picture) -> None:
    seen = read_picture(write_picture(picture, "avif"))
    assert (seen.width, seen.height) == (picture.width, picture.height)
    assert seen.metadata.exif == picture.metadata.exif
    assert seen.metadata.xmp == picture.metadata.xmp
    if picture.colour_HWC.shape[2] == 3:
        assert seen.metadata.icc == picture.metadata.icc


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "avif"])
def test_one_pixel_survives_every_format(kind: str) -> None:
    one = Picture(colour_HWC=np.full((1, 1, 3), 77, np.uint8))
    seen = read_picture(write_picture(one, kind))
    assert seen.colour_HWC.shape == (1, 1, 3)
    assert abs(seen.colour_HWC.astype(int) - 77).max() <= 3


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_the_four_modes_return_as_themselves(mode: str) -> None:
    channels = len(mode)
    array = random_array(5, 4, channels)
    picture = from_pillow(Image.fromarray(array[..., 0] if channels == 1 else array))
    assert picture.mode == mode
    assert picture.colour_HWC.flags.writeable and picture.colour_HWC.flags.c_contiguous


def test_bilevel_becomes_grey() -> None:
    array = random_array(6, 11, 1)[..., 0] > 127
    picture = read_picture(saved(Image.fromarray(array), "png"))
    assert picture.mode == "L"
    np.testing.assert_array_equal(picture.colour_HWC[..., 0], array * 255)


def palette_image() -> Image.Image:
    image = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4) % 4)
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    assert image.mode == "P"
    return image


def test_a_palette_becomes_rgb_and_keeps_its_profile() -> None:
    picture = read_picture(saved(palette_image(), "png", icc_profile=icc(3)))
    assert picture.mode == "RGB"
    assert picture.colour_HWC[0, 1].tolist() == [40, 50, 60]
    assert picture.metadata.icc == icc(3)


@pytest.mark.parametrize("kind", ["png", "gif"])
def test_a_palette_with_a_transparent_entry_becomes_rgba(kind: str) -> None:
    picture = read_picture(saved(palette_image(), kind, transparency=2))
    assert picture.mode == "RGBA"
    assert picture.alpha_HW is not None
    assert picture.alpha_HW[0].tolist() == [255, 255, 0, 255]


def test_a_palette_with_several_opacities_becomes_rgba() -> None:
    picture = read_picture(saved(palette_image(), "png", transparency=bytes([0, 80, 160])))
    assert picture.alpha_HW is not None
    assert picture.alpha_HW[0].tolist() == [0, 80, 160, 255]


def test_a_palette_with_alpha_becomes_rgba() -> None:
    image = palette_image().convert("PA")
    assert from_pillow(image).mode == "RGBA"


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_grey_colour_key_becomes_alpha_at_every_depth(bits: int) -> None:
    samples = random_array(9, 7, 1) >> (8 - bits)
    picture = read_picture(png(samples, bits=bits, extra=chunk(b"tRNS", bytes([0, 1]))))
    assert picture.mode == "LA"
    np.testing.assert_array_equal(picture.alpha_HW, np.where(samples[..., 0] == 1, 0, 255))
    np.testing.assert_array_equal(picture.colour_HWC, samples * (255 // ((1 << bits) - 1)))


def test_an_rgb_colour_key_becomes_alpha() -> None:
    samples = random_array(4, 4, 3)
    samples[1, 2] = samples[3, 0] = 1, 2, 3
    picture = read_picture(png(samples, bits=8, extra=chunk(b"tRNS", bytes([0, 1, 0, 2, 0, 3]))))
    assert picture.mode == "RGBA"
    assert picture.alpha_HW is not None
    assert np.argwhere(picture.alpha_HW == 0).tolist() == [[1, 2], [3, 0]]


def test_premultiplied_alpha_becomes_straight() -> None:
    image = Image.new("RGBA", (2, 2), (200, 100, 50, 128)).convert("RGBa")
    picture = from_pillow(image)
    assert picture.mode == "RGBA"
    assert abs(picture.colour_HWC[0, 0].astype(int) - (200, 100, 50)).max() <= 1
    assert from_pillow(Image.new("LA", (2, 2), (200, 128)).convert("La")).mode == "LA"


@pytest.mark.parametrize("mode", ["LAB", "YCbCr", "HSV", "RGBX"])
def test_other_colour_spaces_become_rgb(mode: str) -> None:
    picture = from_pillow(Image.new("RGB", (3, 2), (200, 120, 40)).convert(mode))
    assert picture.mode == "RGB"
    assert abs(picture.colour_HWC[0, 0].astype(int) - (200, 120, 40)).max() <= 4


def test_cmyk_without_a_profile_is_converted_plainly() -> None:
    data = saved(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "jpeg")
    picture = read_picture(data)
    assert picture.mode == "RGB"
    assert picture.colour_HWC.min() >= 253


def test_cmyk_is_converted_by_its_profile_which_is_dropped() -> None:
    data = saved(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "jpeg", icc_profile=cmyk_profile())
    picture = read_picture(data)
    red, green, blue = picture.colour_HWC[0, 0].tolist()
    assert red > 130  # cyan by the plain formula, dark red by the profile
    assert max(green, blue) < 60
    assert picture.metadata.icc is None


def test_a_broken_cmyk_profile_is_a_warning_and_not_an_error() -> None:
    data = saved(Image.new("CMYK", (8, 8)), "jpeg", icc_profile=b"no profile" * 20)
    with pytest.warns(DamagedMetadataWarning, match=r"x\.jpg"):
        assert read_picture(data, name="x.jpg").mode == "RGB"


@pytest.mark.parametrize(("mode", "channels"), [("L", 3), ("RGB", 1)])
def test_a_profile_for_other_channels_is_dropped(mode: str, channels: int) -> None:
    image = Image.new(mode, (2, 2))
    image.info["icc_profile"] = icc(channels)
    assert from_pillow(image).metadata.icc is None


def test_exif_loses_its_jpeg_prefix() -> None:
    image = Image.new("L", (1, 1))
    image.info["exif"] = b"Exif\0\0Exif\0\0" + exif()
    assert from_pillow(image).metadata.exif == exif()


def test_exif_in_an_imagemagick_text_chunk_is_found() -> None:
    text = f"\nexif\n{len(exif()):8}\n{(b'Exif' + bytes(2) + exif()).hex()}\n"
    data = png(random_array(1, 1, 1), bits=8, extra=chunk(b"tEXt", b"Raw profile type exif\0" + text.encode()))
    assert read_picture(data).metadata.exif == exif()


def test_an_empty_image_is_refused() -> None:
    with pytest.raises(PictureError, match="empty"):
        from_pillow(Image.new("RGB", (0, 5)))


def test_a_side_above_the_limit_is_refused() -> None:
    with pytest.raises(LimitError, match="1x20000"):
        from_pillow(Image.new("L", (1, 20_000)))
    assert from_pillow(Image.new("L", (1, 20_000)), max_side=20_000).height == 20_000


def test_a_truncated_image_object_is_refused() -> None:
    data = saved(Image.fromarray(random_array(40, 40, 3)), "png")
    with pytest.raises(PictureError, match="image"):
        from_pillow(Image.open(io.BytesIO(data[:1000])))


@pytest.mark.parametrize(
    ("colour", "alpha"),
    [
        (np.zeros((2, 2, 3), np.float32), None),
        (np.zeros((2, 2), np.uint8), None),
        (np.zeros((2, 2, 2), np.uint8), None),
        (np.zeros((0, 2, 3), np.uint8), None),
        (np.zeros((2, 2, 3), np.uint8), np.zeros((2, 3), np.uint8)),
        (np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.int16)),
    ],
)
def test_wrong_arrays_are_refused(colour: np.ndarray, alpha: np.ndarray | None) -> None:
    with pytest.raises(ConfigError):
        Picture(colour_HWC=colour, alpha_HW=alpha)


@pytest.mark.parametrize("wrong", [{"exif": b"Exif\0\0II*\0"}, {"xmp": b""}, {"icc": "text"}])
def test_wrong_metadata_is_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        Metadata(**wrong)
