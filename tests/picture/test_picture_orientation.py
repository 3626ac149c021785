"""Orientation: pixels stay as they lie with their EXIF, and are turned where it goes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from made_pictures import exif, icc, random_array, saved
from PIL import Image, ImageOps

from gancodec.picture import Metadata, Picture, from_pillow, read_picture, to_pillow, upright, write_picture

EIGHT = range(1, 9)


def turned(orientation: int, *, order: str = "<", note: bytes = b"") -> Picture:
    metadata = Metadata(exif=exif(orientation=orientation, order=order, note=note), icc=icc(3))
    return Picture(colour_HWC=random_array(3, 5, 3), alpha_HW=random_array(3, 5, seed=1), metadata=metadata)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", EIGHT)
def test_upright_turns_as_pillow_does(orientation: int, order: str) -> None:
    picture = turned(orientation, order=order)
    wanted = from_pillow(ImageOps.exif_transpose(to_pillow(picture)))
    seen = upright(picture)
    np.testing.assert_array_equal(seen.colour_HWC, wanted.colour_HWC)
    np.testing.assert_array_equal(seen.alpha_HW, wanted.alpha_HW)


@pytest.mark.parametrize("orientation", EIGHT)
def test_upright_changes_nothing_but_the_orientation_in_exif(orientation: int) -> None:
    seen = upright(turned(orientation, note=b"maker note" * 3))
    assert seen.metadata == Metadata(exif=exif(orientation=1, note=b"maker note" * 3), icc=icc(3))
    assert upright(seen) is seen


@pytest.mark.parametrize("orientation", EIGHT)
@pytest.mark.parametrize("kind", ["png", "webp", "avif", "jpeg"])
def test_a_viewer_sees_the_same_with_exif_kept_and_dropped(orientation: int, kind: str) -> None:
    corner = np.zeros((16, 32, 3), np.uint8)
    corner[:8, :8] = 255  # one bright corner tells all eight apart, together with the sides
    corner[:8, 8:16] = 128
    picture = Picture(colour_HWC=corner, metadata=Metadata(exif=exif(orientation=orientation)))
    shown = []
    for keep in (True, False):
        data = write_picture(picture, kind, keep_metadata=keep)
        seen = read_picture(data)
        assert (seen.metadata.exif is not None) == keep
        assert seen.colour_HWC.shape[:2] == ((16, 32) if keep or orientation < 5 else (32, 16))
        shown.append(np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data)))).astype(int))
    assert abs(shown[0] - shown[1]).max() <= 6


def test_dropping_metadata_keeps_the_profile_that_the_colours_need() -> None:
    picture = Picture(colour_HWC=random_array(2, 2, 3), metadata=Metadata(icc=icc(3), exif=exif(), xmp=b"<x/>"))
    assert read_picture(write_picture(picture, keep_metadata=False)).metadata == Metadata(icc=icc(3))


def test_orientation_of_xmp_counts_where_exif_has_none() -> None:
    xmp = b'<x tiff:Orientation="6"/>'
    picture = Picture(colour_HWC=random_array(3, 5, 3), metadata=Metadata(xmp=xmp))
    seen = upright(picture)
    assert (seen.width, seen.height) == (3, 5)
    assert seen.metadata.xmp == b'<x tiff:Orientation="1"/>'


@pytest.mark.parametrize(
    "broken",
    [
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"no header at all",
        exif(orientation=6)[:-8],
        exif(orientation=0),
        exif(orientation=9),
        b"II*\0\x08\0\0\0\xff\xff",
    ],
)
def test_damaged_exif_turns_nothing_and_raises_nothing(broken: bytes) -> None:
    picture = Picture(colour_HWC=random_array(3, 5, 3), metadata=Metadata(exif=broken))
    assert upright(picture) is picture


def test_tiff_comes_upright_and_without_exif_that_says_nothing_else() -> None:
    image = Image.fromarray(random_array(3, 5, 3))
    tags = Image.Exif()
    tags[0x0112] = 6
    picture = read_picture(saved(image, "tiff", exif=tags))
    assert picture.metadata.exif is None
    np.testing.assert_array_equal(picture.colour_HWC, np.asarray(image.transpose(Image.Transpose.ROTATE_270)))
