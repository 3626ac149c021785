"""Metadata as Pillow's plugins leave it in `image.info` -> `Metadata`, without changing a byte of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gancodec.picture.picture import EXIF_PREFIX, Metadata
from gancodec.picture.profiles import fits_channels


def metadata_of(info: Mapping[Any, Any], *, channels: int) -> Metadata:
    """Collect ICC, EXIF and XMP for a picture of 1 or 3 colour `channels`; read `info` after the pixels are loaded.

    (PNG allows EXIF behind the pixels, and TIFF loses its orientation with loading.) A profile for another colour
    space than that of the channels is dropped: see `profiles.fits_channels`. TIFF keeps its EXIF as tags of the file
    itself; there are no EXIF bytes to carry, and Pillow has already turned the pixels upright.
    """
    icc = _bytes(info.get("icc_profile"))
    if icc is not None and not fits_channels(icc, channels=channels):
        icc = None
    exif = _bytes(info.get("exif")) or _raw_profile(info.get("Raw profile type exif"))
    while exif is not None and exif.startswith(EXIF_PREFIX):  # some writers double the prefix
        exif = exif[len(EXIF_PREFIX) :] or None
    # Pillow's PNG reader gives both keys, and only "xmp" has the bytes as they lie in the file.
    xmp = _bytes(info.get("xmp")) or _bytes(info.get("XML:com.adobe.xmp"))
    return Metadata(icc=icc, exif=exif, xmp=xmp)


def _bytes(value: object) -> bytes | None:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape") or None
    return bytes(value) or None if isinstance(value, bytes | bytearray) else None


def _raw_profile(text: object) -> bytes | None:
    """ImageMagick's EXIF in PNG before eXIf existed: a line break, a name, a length, then hexadecimal digits."""
    if not isinstance(text, str):
        return None
    try:
        return bytes.fromhex("".join(text.split("\n")[3:])) or None
    except ValueError:
        return None
