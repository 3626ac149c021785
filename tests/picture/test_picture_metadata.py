"""Metadata: what is carried, what TIFF's is built of, and that it can be read without the pixels."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import pytest
from made_pictures import chunk, cmyk_profile, icc, png, random_array, saved, tiff_16_bit
from PIL import Image, PngImagePlugin
from PIL.TiffImagePlugin import IFDRational

from gancodec.picture import read_metadata, read_picture, write_picture
from gancodec.picture.metadata import left_out_of

EXIF_IFD, GPS_IFD = 34665, 34853
NOISE = Image.fromarray(random_array(6, 9, 3))
GPS = {1: "N", 2: (IFDRational(52), IFDRational(30), IFDRational(6, 5)), 3: "E"}
XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6" by="me"/></x:xmpmeta>'


def exif(**tags: Any) -> Image.Exif:
    """EXIF of a photographer's TIFF file, as it looks when it was read."""
    made = Image.Exif()
    made[270], made[271], made[305] = "a lake", "Camera", "Editor"
    made[315], made[33432] = "A. Painter", "(c) A. Painter"
    made[EXIF_IFD] = {33434: IFDRational(1, 200), 36867: "2024:05:01 12:00:00", 36864: b"0231"}
    made[GPS_IFD] = GPS
    for tag, value in tags.items():
        made[int(tag.removeprefix("tag_"))] = value
    read = Image.Exif()
    read.load(made.tobytes())
    return read


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_tiff_keeps_what_its_tags_say_about_the_picture(kind: Any, orientation: int) -> None:
    data = saved(NOISE, "tiff", exif=exif(tag_274=orientation))
    picture = read_picture(data)
    with Image.open(io.BytesIO(write_picture(picture, kind))) as image:
        tags = image.getexif()
        assert image.size == ((9, 6) if orientation == 1 else (6, 9))
        assert {tag: tags[tag] for tag in tags if tag not in (EXIF_IFD, GPS_IFD)} == {
            270: "a lake", 271: "Camera", 274: 1, 305: "Editor", 315: "A. Painter", 33432: "(c) A. Painter",
        }  # fmt: skip
        assert tags.get_ifd(GPS_IFD) == GPS
        assert tags.get_ifd(EXIF_IFD) == {33434: IFDRational(1, 200), 36867: "2024:05:01 12:00:00", 36864: b"0231"}


def test_tiff_keeps_the_bytes_of_its_texts() -> None:
    artist = "Jürgen Ångström ©".encode()
    data = bytearray(saved(NOISE, "tiff", exif=exif(tag_315="x" * len(artist))))
    at = bytes(data).index(b"x" * len(artist))
    data[at : at + len(artist)] = artist
    carried = read_picture(bytes(data)).metadata.exif
    assert carried is not None and artist + b"\0" in carried


def test_tiff_tags_about_bytes_make_no_exif() -> None:
    assert read_picture(saved(NOISE, "tiff", dpi=(300, 300), compression="tiff_lzw")).metadata.exif is None


def test_tiff_whose_exif_cannot_be_written_loses_it_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Image.Exif, offset: int = 8) -> bytes:
        raise struct.error("short")

    data = saved(NOISE, "tiff", exif=exif())
    monkeypatch.setattr(Image.Exif, "tobytes", broken)
    with pytest.warns(UserWarning, match="EXIF of the TIFF file is left out"):
        assert read_picture(data).metadata.exif is None


def late_png() -> bytes:
    """A PNG that has its metadata behind the pixels."""
    itxt = b"XML:com.adobe.xmp" + bytes(5) + XMP
    data = png(random_array(6, 9, 3), bits=8, extra=chunk(b"iCCP", b"x\0\0" + zlib.compress(icc(3))))
    return data[:-12] + chunk(b"iTXt", itxt) + chunk(b"eXIf", exif().tobytes()[6:]) + data[-12:]


def samples() -> dict[str, tuple[bytes, int]]:
    """Files, and the channels that their colours become."""
    block = exif().tobytes()
    both = {"exif": block, "xmp": XMP, "icc_profile": icc(3)}
    grey = NOISE.convert("L")
    return {
        "png": (saved(NOISE, "png", exif=block, icc_profile=icc(3)), 3),
        "late png": (late_png(), 3),
        "grey png with a colour profile": (saved(grey, "png", icc_profile=icc(3)), 1),
        "grey jpeg": (saved(grey, "jpeg", icc_profile=icc(1), exif=block), 1),
        "jpeg": (saved(NOISE, "jpeg", **both), 3),
        "cmyk": (saved(NOISE.convert("CMYK"), "jpeg", **both | {"icc_profile": cmyk_profile()}), 3),
        "webp": (saved(NOISE, "webp", **both), 3),
        "avif": (saved(NOISE, "avif", **both), 3),
        "jp2": (saved(NOISE, "jpeg2000"), 3),
        "gif": (saved(NOISE.quantize(8), "gif", comment=b"hello"), 3),
        "tiff": (saved(NOISE, "tiff", exif=exif(), icc_profile=icc(3)), 3),
        "turned tiff": (saved(NOISE, "tiff", exif=exif(tag_274=6, tag_700=XMP)), 3),
        "turned tiff lzw": (saved(NOISE, "tiff", tiffinfo={274: 6, 315: "me", 700: XMP}, compression="tiff_lzw"), 3),
        "tiff turned by xmp": (saved(NOISE, "tiff", exif=exif(tag_700=XMP)), 3),
        "deep tiff": (tiff_16_bit(random_array(4, 4, 3).astype("u2"), order="<"), 3),
        "mpo": (saved(NOISE, "mpo", save_all=True, append_images=[NOISE], exif=block), 3),
        "bmp": (saved(NOISE, "bmp"), 3),
    }


SAMPLES = samples()


@pytest.mark.parametrize("name", SAMPLES)
def test_metadata_read_without_the_pixels_is_that_of_the_picture(name: str) -> None:
    data, channels = SAMPLES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        picture = read_picture(data, convert_16_bit=True)
    assert picture.colour_HWC.shape[2] == channels
    assert read_metadata(data, channels=channels) == picture.metadata
    assert name != "late png" or (picture.metadata.exif and picture.metadata.xmp == XMP and picture.metadata.icc)
    if "turned" in name:
        assert picture.metadata.xmp == XMP.replace(b'tiff:Orientation="6"', b"")


def test_no_pixel_is_decoded_for_the_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", never)
    monkeypatch.setattr("PIL.TiffImagePlugin.TiffImageFile.load", never)
    for data, channels in SAMPLES.values():
        read_metadata(data, channels=channels)


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "me")
    carried = PngImagePlugin.PngInfo()
    carried.add_itxt("XML:com.adobe.xmp", "<x/>")
    for data, kinds in (
        (saved(NOISE, "png", pnginfo=text), ("text",)),
        (saved(NOISE, "png", pnginfo=carried), ()),
        (saved(NOISE, "jpeg", comment=b"hello"), ("comment",)),
        (saved(NOISE, "mpo", save_all=True, append_images=[NOISE]), ("second picture",)),
        (saved(NOISE, "jpeg", dpi=(300, 300)), ()),
        (saved(NOISE, "tiff", tiffinfo={33723: b"\x1c\x02\x05\0\0"}), ("IPTC",)),
    ):
        assert read_picture(data).left_out == kinds
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            assert left_out_of(image) == kinds
