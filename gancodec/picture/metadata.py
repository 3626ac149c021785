"""Metadata as Pillow's plugins leave it in `image.info` -> `Metadata`, without changing a byte of it.

TIFF is the exception: its EXIF is not a block of bytes but tags among those that say how the pixels lie.  A block is
built of those that say something about the picture.
"""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Mapping
from typing import Any, Final

from PIL import Image

from gancodec.errors import DamagedMetadataWarning
from gancodec.picture.picture import EXIF_PREFIX, Metadata
from gancodec.picture.profiles import fits_channels

_ORIENTATION: Final = 274
_EXIF_IFD, _GPS_IFD, _INTEROP_IFD = 34665, 34853, 40965
_DESCRIPTIVE: Final = frozenset({
    269, 270, 271, 272, 285, 305, 306, 315, 316,  # names of document and page, description, make, model, …, artist
    18246, 18249,  # rating
    33432, 33434, 33437, 34850, 34855,  # copyright; exposure, as raw converters put it here
    36867, 37386,
    40091, 40092, 40093, 40094, 40095,  # Windows: title, comment, author, keywords, subject
})  # fmt: skip
"""Tags of a TIFF file's first directory that are about the picture; the others say how its bytes lie."""
_IPTC, _PHOTOSHOP, _IPTC_RESOURCE = 33723, 34377, 0x0404
_XMP_ORIENTATIONS: Final = (rb'tiff:Orientation="([0-9])"', rb"<tiff:Orientation>([0-9])</tiff:Orientation>")
"""What Pillow takes out of a TIFF file's XMP when it turns the picture upright."""
_PNG_CARRIED: Final = frozenset({"XML:com.adobe.xmp", "xmp", "Raw profile type exif"})
"""PNG text that is no text."""


def metadata_of(info: Mapping[Any, Any], *, channels: int) -> Metadata:
    """Collect ICC, EXIF and XMP for a picture of 1 or 3 colour `channels`; `info` is that of `info_of`.

    (PNG allows EXIF behind the pixels, and TIFF loses its orientation with loading: read it then.) A profile for
    another colour space than that of the channels is dropped: see `profiles.fits_channels`.
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


def info_of(image: Image.Image) -> dict[Any, Any]:
    """`image.info`, with the EXIF block that is built for TIFF."""
    info = dict(image.info)
    if image.format == "TIFF" and "exif" not in info and (exif := _tiff_exif(image)) is not None:
        info["exif"] = exif
    return info


def info_before_loading(image: Image.Image) -> dict[Any, Any]:
    """What `info_of` an image gives when it is loaded, as far as its plugin has read the file by now."""
    info = info_of(image)
    xmp = info.get("xmp")
    if image.format == "TIFF" and isinstance(xmp, bytes) and 2 <= image.getexif().get(_ORIENTATION, 1) <= 8:
        for pattern in _XMP_ORIENTATIONS:
            xmp = re.sub(pattern, b"", xmp)
        info["xmp"] = xmp
    return info


def left_out_of(image: Image.Image) -> tuple[str, ...]:
    """What a picture that is loaded brings along and a .gnc file has no place for, as far as Pillow says so."""
    info, tags = image.info, getattr(image, "tag_v2", {})
    resources = info.get("photoshop")
    found = {
        "IPTC": _IPTC in tags or (isinstance(resources, Mapping) and _IPTC_RESOURCE in resources),
        "comment": image.format != "PNG" and bool(info.get("comment")),
        "text": image.format == "PNG" and bool(getattr(image, "text", {}).keys() - _PNG_CARRIED),
        "second picture": image.format == "MPO" and getattr(image, "n_frames", 1) > 1,
    }
    return tuple(kind for kind, is_there in found.items() if is_there)


def _tiff_exif(image: Image.Image) -> bytes | None:
    """An EXIF block of the tags that say something about the picture; None where there are none.

    Orientation is 1, as Pillow turns the picture upright.
    """
    try:
        tags = image.getexif()
        built = Image.Exif()
        for tag in sorted(_DESCRIPTIVE & tags.keys()):
            built[tag] = _written_as_read(tags[tag])
        for tag in (_EXIF_IFD, _GPS_IFD):
            if tag in tags and (directory := tags.get_ifd(tag)):
                built[tag] = {
                    key: _written_as_read(value) for key, value in directory.items() if key != _INTEROP_IFD
                }
        if not built:
            return None
        built[_ORIENTATION] = 1
        return built.tobytes()
    except (ValueError, TypeError, KeyError, AttributeError, OSError, OverflowError, struct.error) as exc:
        text = f"EXIF of the TIFF file is left out: it cannot be read ({type(exc).__name__}: {exc})"
        warnings.warn(text, DamagedMetadataWarning, stacklevel=2)
        return None


class _Text(str):
    """A string that Pillow read as Latin-1, whatever it was, and would write as ASCII, with ? for all else."""

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return super().encode("latin-1")


def _written_as_read(value: object) -> object:
    return _Text(value) if isinstance(value, str) else value


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
