"""The bytes of a picture file -> Picture."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image

from gancodec.errors import ConfigError, PictureError
from gancodec.picture.modes import MAX_SIDE_PX, convert_image
from gancodec.picture.picture import Picture
from gancodec.picture.pillow_guard import pillow_errors, pixel_limit


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
    becomes of each mode. TIFF comes upright and without EXIF, and of an MPO the first picture is taken.
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


def _known_formats(formats: Sequence[str] | None) -> tuple[str, ...] | None:
    if formats is None:
        return None
    Image.init()
    names = tuple(name.upper() for name in formats)
    if unknown := sorted(set(names) - Image.OPEN.keys()):
        raise ConfigError(f"Pillow reads no format {', '.join(unknown)}", hint="use names such as PNG, JPEG, WEBP")
    return names
