"""Pictures of more than 8 bits a sample: finding them, also where Pillow reduces them silently, and reducing them.

Axes: H rows, W columns, C channels.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gancodec.errors import PictureError
from gancodec.picture.pillow_guard import pillow_errors

_GREY_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I", "F"})
_BITS_PER_SAMPLE = 258  # TIFF tag
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_DEPTH_AT = 24  # signature 8, chunk length and type 8, width and height 8
_AV1_CONFIGURATION = b"av1C"  # ISO base media box; behind its name a version, profile and level, then flags
_AV1_HIGH_BITDEPTH = 0x40
_AVIF_BOXES = 1 << 16  # bytes in which it stands, before the pictures' data
_J2K_START = b"\xff\x4f\xff\x51"  # SOC and SIZ markers
_J2K_DEPTH_AT = 42  # from SOC: two markers 4, lengths and sizes 38


class Converted16BitWarning(UserWarning):
    """A picture of more than 8 bits a sample was reduced to 8 bits, as the caller had asked."""


def raw_mode(image: Image.Image) -> str:
    """Pillow's name of the sample layout in the file, such as "RGB;16B"; "" once the pixels are loaded."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return ""
    args = tiles[0].args
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def is_deep(image: Image.Image, data: bytes = b"") -> bool:
    """Whether the picture has more than 8 bits a sample; ask before the pixels are loaded.

    `data`: the file's bytes where known. They show the depth of PNG, JPEG 2000 and AVIF; an image alone shows it by its
    mode, by its TIFF tags, and by the layout from which its plugin is about to unpack.
    """
    if image.mode in _GREY_MODES or _tiff_bits(image) > 8:
        return True
    if data.startswith(_PNG_SIGNATURE) and data[_PNG_DEPTH_AT : _PNG_DEPTH_AT + 1] == b"\x10":
        return True
    if image.format == "JPEG2000" and (start := data.find(_J2K_START)) >= 0:
        at = start + _J2K_DEPTH_AT
        return any((depth & 0x7F) + 1 > 8 for depth in data[at : at + 1])
    if image.format == "AVIF":  # which Pillow reduces inside its decoder without a trace
        flags = (rest[2:3] for rest in data[:_AVIF_BOXES].split(_AV1_CONFIGURATION)[1:])
        return any(flag and flag[0] & _AV1_HIGH_BITDEPTH for flag in flags)
    tiles = getattr(image, "tile", None)
    if not tiles:
        return False
    codec, args = tiles[0].codec_name, tiles[0].args
    if codec in ("ppm", "ppm_plain"):  # their last argument is the greatest value
        return isinstance(args, tuple) and isinstance(args[-1], int) and args[-1] > 255
    return codec == "SGI16" or raw_mode(image).endswith((";16B", ";16L", ";16N"))


def reduce_to_8_bit(image: Image.Image, raw: str, data: bytes, *, name: str) -> NDArray[np.uint8] | None:
    """Return a loaded deep image as uint8 [H, W, 1..4], round(v * 255 / peak); None where only Pillow can convert it.

    raw: `raw_mode` from before the loading. data: the file's bytes, from which the low bytes of colour pictures are
    read; without them (and for the kinds that return None) the result is Pillow's, the high byte of each sample.
    A colour key (PNG's tRNS) becomes the last channel. Raises PictureError where values of modes I and F do not fit.
    """
    if image.mode in _GREY_MODES:
        values_HW1, peak = _grey_values(image, name=name)
        return with_colour_key(_scale(values_HW1, peak), values_HW1, image.info)
    values_HWC = _colour_values(image, raw, data, name=name)
    if values_HWC is None:
        return None
    return with_colour_key(_scale(values_HWC, 65_535), values_HWC, image.info)


def with_colour_key(
    samples_HWC: NDArray[np.uint8], values_HWC: NDArray[Any], info: Mapping[Any, Any], *, key_scale: int = 1
) -> NDArray[np.uint8]:
    """Append an alpha channel, 0 where `values_HWC` equals the key in info["transparency"] and 255 elsewhere.

    Pictures without a key of 1 or 3 samples come back as they are. key_scale: factor from the key's units to those
    of the values (PNG of 2 and 4 bits has the key in file units, Pillow the pixels in 0..255).
    """
    key = info.get("transparency")
    key = (key,) if isinstance(key, int) else key
    channels = values_HWC.shape[2]
    if not isinstance(key, tuple | list) or channels not in (1, 3) or len(key) != channels:
        return samples_HWC
    opaque_HW = (values_HWC != np.asarray(key, np.int64) * key_scale).any(axis=2)
    return np.dstack([samples_HWC, np.where(opaque_HW, np.uint8(255), np.uint8(0))])


def _scale(values: NDArray[Any], peak: float) -> NDArray[np.uint8]:
    scaled = np.empty(values.shape, np.uint8)
    for row, out in zip(values, scaled, strict=True):  # by rows: float64 of a whole picture would take 8 times its size
        np.floor(row * (255 / peak) + 0.5, out=out, casting="unsafe")
    return scaled


def _grey_values(image: Image.Image, *, name: str) -> tuple[NDArray[Any], float]:
    with pillow_errors(name):
        values = np.asarray(image)[..., None]
    if image.mode not in ("I", "F"):
        bits = _tiff_bits(image)
        return values, (1 << bits) - 1 if 8 < bits < 16 else 65_535  # TIFF of 12 bits arrives as I;16, unscaled
    low, high = float(values.min()), float(values.max())
    if image.mode == "I" and low >= 0 and high <= 65_535:
        return values, 65_535
    if image.mode == "F" and low >= 0 and high <= 255:  # false for NaN
        return values, 1.0 if high <= 1 else 255.0
    wanted = "0..65535" if image.mode == "I" else "0..1 or 0..255"
    raise PictureError(
        f"{name}: samples of mode {image.mode} reach from {low:g} to {high:g}, not within {wanted}",
        hint="scale the values first, or save the picture with 8 bits a sample",
    )


def _colour_values(image: Image.Image, raw: str, data: bytes, *, name: str) -> NDArray[Any] | None:
    """All 16 bits of a colour picture, uint16 [H, W, C], or None where they cannot be had.

    Pillow keeps the high byte of each sample. Decoding the file again with the other byte order named in the layout
    makes it keep the low byte; grey with alpha (4 bytes a pixel) is decoded as if it were RGBA.
    """
    if not data or not image.format:
        return None
    if raw == "LA;16B":
        bytes_HW4 = _decode_as(data, image.format, "RGBA", name=name).astype(np.uint16)
        return bytes_HW4[..., 0::2] << 8 | bytes_HW4[..., 1::2]
    layout, _, order = raw.partition(";16")
    if layout not in ("RGB", "RGBA", "RGBX") or order not in ("B", "L", "N"):
        return None
    stored_big = order == "B" or (order == "N" and sys.byteorder == "big")
    low = _decode_as(data, image.format, f"{layout};16{'L' if stored_big else 'B'}", name=name)
    with pillow_errors(name):
        high = np.asarray(image)
    wide: NDArray[np.uint16] = high.astype(np.uint16)
    return wide << 8 | low


def _decode_as(data: bytes, kind: str, raw: str, *, name: str) -> NDArray[np.uint8]:
    with pillow_errors(name), Image.open(io.BytesIO(data), formats=(kind,)) as image:
        image.tile = [
            tile._replace(args=raw if isinstance(tile.args, str) else (raw, *(tile.args or ())[1:]))
            for tile in image.tile
        ]
        return np.asarray(image)


def _tiff_bits(image: Image.Image) -> int:
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, ())
    return max((bits,) if isinstance(bits, int) else bits, default=1)
