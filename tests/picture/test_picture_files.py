"""Files: what is refused, with which error, and that no error of Pillow gets through."""

from __future__ import annotations

import io
import struct
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_pictures import chunk, icc, png, random_array, saved
from PIL import Image

from gancodec.errors import ConfigError, DamagedMetadataWarning, GancodecError, LimitError, PictureError
from gancodec.picture import OUTPUT_FORMATS, Metadata, Picture, read_picture, write_picture
from gancodec.picture.pillow_guard import pixel_limit

NOISE = Image.fromarray(random_array(48, 64, 3))
FRAMES = [Image.new("RGB", (16, 16), (shade, 0, 0)) for shade in (0, 128, 255)]


@pytest.mark.parametrize("kind", ["gif", "webp", "png", "tiff", "avif"])
def test_animations_and_pages_are_refused(kind: str) -> None:
    data = saved(FRAMES[0], kind, save_all=True, append_images=FRAMES[1:])
    with pytest.raises(PictureError, match=r"moving\.bin.*pages"):
        read_picture(data, name="moving.bin")


def test_mpo_gives_its_first_picture() -> None:
    data = saved(FRAMES[2], "mpo", save_all=True, append_images=FRAMES[:1])
    picture = read_picture(data)
    assert picture.colour_HWC[8, 8, 0] > 240


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "avif", "tiff", "gif"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.9])
def test_truncated_files_are_refused_by_name(kind: str, part: float) -> None:
    data = saved(NOISE, kind)
    with pytest.raises(PictureError, match=r"cut\.bin"):
        read_picture(data[: int(len(data) * part)], name="cut.bin")


@pytest.mark.parametrize("data", [b"", b"hello, I am a text file\n" * 20, bytes(100), b"%PDF-1.7\n", b"<svg/>"])
def test_other_files_are_refused_by_name(data: bytes) -> None:
    with pytest.raises(PictureError, match=r"notes\.txt"):
        read_picture(data, name="notes.txt")


STARTS = [
    saved(NOISE.resize((9, 7)), kind) for kind in ("png", "jpeg", "webp", "gif", "tiff", "bmp", "ico", "jpeg2000")
]


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150, deadline=None)
@given(st.sampled_from(STARTS), st.integers(0, 200), st.binary(min_size=1, max_size=60))
def test_garbage_in_any_format_raises_our_errors_only(data: bytes, at: int, garbage: bytes) -> None:
    try:
        read_picture(data[:at] + garbage + data[at + len(garbage) :])
    except GancodecError as exc:
        assert "input" in str(exc) and "\n" not in str(exc)


def test_a_picture_that_no_memory_can_hold_is_refused_before_it_is_decoded() -> None:
    header = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x")
    with pytest.raises(LimitError, match="bomb"):
        read_picture(data, name="bomb")


def test_a_side_above_the_limit_is_refused() -> None:
    data = saved(Image.new("L", (1, 20_000)), "png")
    with pytest.raises(LimitError, match="1x20000"):
        read_picture(data)
    assert read_picture(data, max_side=20_000).height == 20_000


def test_pictures_above_pillows_limit_are_read_and_the_limit_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for kind in ("png", "webp", "tiff", "gif"):
        assert read_picture(saved(NOISE, kind)).width == 64
    assert Image.MAX_IMAGE_PIXELS == 100
    with pytest.raises(LimitError):
        read_picture(saved(NOISE, "png"), max_side=63)


def test_overlapping_readers_put_pillows_limit_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    first_inside, second_inside = threading.Event(), threading.Event()

    def first() -> None:
        with pixel_limit(1_000):
            first_inside.set()
            second_inside.wait(5)

    thread = threading.Thread(target=first)
    thread.start()
    first_inside.wait(5)
    with pixel_limit(500):
        assert Image.MAX_IMAGE_PIXELS == 1_000
        second_inside.set()
        thread.join()
        assert Image.MAX_IMAGE_PIXELS == 500
    assert Image.MAX_IMAGE_PIXELS == 100


def test_a_limit_that_the_program_sets_meanwhile_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pixel_limit(500):
        Image.MAX_IMAGE_PIXELS = 7
    assert Image.MAX_IMAGE_PIXELS == 7


def test_drawings_are_refused_and_no_interpreter_runs() -> None:
    data = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n"
    with pytest.raises(PictureError):
        read_picture(data)


def test_formats_restrict_the_decoders() -> None:
    with pytest.raises(PictureError):
        read_picture(saved(NOISE, "png"), formats=["JPEG"])
    assert read_picture(saved(NOISE, "png"), formats=["png"]).width == 64
    with pytest.raises(ConfigError, match="NOSUCH"):
        read_picture(b"x", formats=["nosuch"])


@pytest.mark.parametrize("kind", OUTPUT_FORMATS)
def test_every_output_format_is_readable_and_close(kind: str) -> None:
    y, x = np.mgrid[0:48, 0:64]
    smooth = np.dstack([x * 4, y * 5, x + y]).astype(np.uint8)
    seen = read_picture(write_picture(Picture(colour_HWC=smooth), kind), formats=[kind])
    tolerance = 0 if kind in ("png", "webp") else 6
    assert abs(seen.colour_HWC.astype(int) - smooth).max() <= tolerance


def test_jpeg_refuses_alpha_instead_of_losing_it() -> None:
    picture = Picture(colour_HWC=random_array(2, 2, 3), alpha_HW=random_array(2, 2))
    with pytest.raises(ConfigError, match="png, webp or avif"):
        write_picture(picture, "jpeg")


def test_an_unknown_output_format_is_refused() -> None:
    with pytest.raises(ConfigError, match="bmp"):
        write_picture(Picture(colour_HWC=random_array(2, 2, 3)), "bmp")


def test_what_a_format_cannot_hold_is_a_config_error() -> None:
    pixel = random_array(1, 1, 3)
    with pytest.raises(ConfigError, match="as jpeg"):
        write_picture(Picture(colour_HWC=pixel, metadata=Metadata(xmp=bytes(70_000))), "jpeg")
    with pytest.raises(ConfigError, match="as webp"):
        write_picture(Picture(colour_HWC=random_array(1, 16_384, 3)), "webp")


def test_exif_that_avif_cannot_hold_is_left_out_with_a_warning() -> None:
    picture = Picture(colour_HWC=random_array(2, 2, 3), metadata=Metadata(exif=b"not a TIFF header", xmp=b"x"))
    with pytest.warns(DamagedMetadataWarning):
        data = write_picture(picture, "avif")
    assert read_picture(data).metadata == Metadata(xmp=b"x")


def test_a_grey_avif_keeps_its_profile() -> None:
    data = write_picture(Picture(colour_HWC=random_array(2, 2, 1), metadata=Metadata(icc=icc(1))), "avif")
    assert Image.open(io.BytesIO(data)).info["icc_profile"] == icc(1)


def test_metadata_behind_the_pixels_is_found() -> None:
    data = png(random_array(2, 2, 1), bits=8)
    late = data[:-12] + chunk(b"eXIf", b"II*\0\x08\0\0\0\0\0\0\0\0\0") + data[-12:]
    assert read_picture(late).metadata.exif == b"II*\0\x08\0\0\0\0\0\0\0\0\0"
