"""The bytes of a picture file -> Picture."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Final

from PIL import Image

from gancodec.errors import ConfigError, PictureError
from gancodec.picture.metadata import info_before_loading, metadata_of
from gancodec.picture.modes import MAX_SIDE_PX, convert_image
from gancodec.picture.picture import Metadata, Picture
from gancodec.picture.pillow_guard import pillow_errors, pixel_limit

_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"


def read_picture(
    data: bytes,
    *,
    name: str = "input",
    convert_16_bit: bool = False,
    max_side: int = MAX_SIDE_PX,
    formats: Sequence[str] | None = None,
) -> Picture:
    """Decode a picture file of any format that Pillow opens, or of `formats` only (Pillow's names, such as "PNG").

    name: what errors call the input. max_side: greatest width and height in pixels, checked before pixels are decoded.
    convert_16_bit: reduce pictures of more than 8 bits a sample (rounded) and issue Converted16BitWarning.

    Pixels stay as they lie in the file, with EXIF, XMP and a fitting ICC profile byte for byte; see modes.py for what
    becomes of each mode. TIFF comes upright, its EXIF built anew of its tags, and of an MPO the first picture is taken.
    Raises PictureError (unreadable, damaged, animated, deep, EPS), LimitError (sides), ConfigError (formats, max_side).
    """
    allowed = _known_formats(formats)
    if not data:
        raise PictureError(f"{name}: is empty", hint="give the bytes of a picture file")
    with pixel_limit(max_side * max_side):
        with pillow_errors(name):
            image = Image.open(io.BytesIO(data), formats=allowed)
        with image:
            return convert_image(image, data, name=name, convert_16_bit=convert_16_bit, max_side=max_side)


def read_size(data: bytes, *, name: str = "input", formats: Sequence[str] | None = None) -> tuple[int, int]:
    """Width and height in pixels, from the header alone: what decoding would cost.  Arguments as in ``read_picture``.

    Raises PictureError, ConfigError.
    """
    allowed = _known_formats(formats)
    if not data:
        raise PictureError(f"{name}: is empty", hint="give the bytes of a picture file")
    with pixel_limit(MAX_SIDE_PX**2), pillow_errors(name), Image.open(io.BytesIO(data), formats=allowed) as image:
        return image.size


def read_metadata(data: bytes, *, channels: int, name: str = "input") -> Metadata:
    """The metadata that ``read_picture`` takes along, without decoding a pixel.

    channels: 1 or 3, those of the colours that the pixels become.  Raises PictureError, LimitError.
    """
    file = io.BytesIO(_without_pixels(data))
    with pixel_limit(MAX_SIDE_PX**2), pillow_errors(name), Image.open(file) as image:
        info = info_before_loading(image)
    return metadata_of(info, channels=channels)


def _without_pixels(data: bytes) -> bytes:
    """A PNG file without its pixels, so that Pillow meets what stands behind them; any other file as it is."""
    if not data.startswith(_PNG_SIGNATURE):
        return data
    return _PNG_SIGNATURE + b"".join(chunk for chunk in _png_chunks(data) if chunk[4:8] != b"IDAT")


def _png_chunks(data: bytes) -> Iterator[bytes]:
    at = len(_PNG_SIGNATURE)
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        yield data[at:end]
        at = end


def _known_formats(formats: Sequence[str] | None) -> tuple[str, ...] | None:
    if formats is None:
        return None
    Image.init()
    names = tuple(name.upper() for name in formats)
    if unknown := sorted(set(names) - Image.OPEN.keys()):
        raise ConfigError(f"Pillow reads no format {', '.join(unknown)}", hint="use names such as PNG, JPEG, WEBP")
    return names
