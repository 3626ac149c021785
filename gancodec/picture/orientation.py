"""EXIF orientation: reading it, and turning the pixels instead.

Metadata is edited in place, byte by byte. Pillow's way (parse and serialise the whole EXIF) moves maker notes, whose
inner offsets then point nowhere, and loses the thumbnail.
"""

from __future__ import annotations

import re
import struct
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gancodec.picture.picture import Metadata, Picture

_TAG = 0x0112
_FIELD_OF_TYPE = {1: "B", 3: "H", 4: "I"}
"""struct codes of the TIFF types in which writers store the orientation: BYTE, SHORT (the right one) and LONG."""
_XMP = re.compile(rb'(tiff:Orientation(?:="|>))([0-9])')


def upright(picture: Picture) -> Picture:
    """Turn and mirror the pixels as the orientation says and set the orientation to 1; no pixel value changes.

    The meaning is that of `PIL.ImageOps.exif_transpose`: the tag in EXIF counts, and XMP's where EXIF has none.
    Returns `picture` itself where there is nothing to do, also for damaged EXIF and for values outside 1..8.
    """
    orientation = _orientation(picture.metadata)
    if not 2 <= orientation <= 8:
        return picture
    alpha = picture.alpha_HW
    return replace(
        picture,
        colour_HWC=_turn(picture.colour_HWC, orientation),
        alpha_HW=None if alpha is None else _turn(alpha, orientation),
        metadata=_cleared(picture.metadata),
    )


def _turn(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """EXIF says where the first stored row lies: 1 and 2 top, 3 and 4 bottom, 5 and 8 left, 6 and 7 right."""
    if orientation >= 5:  # rows are columns
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _orientation(metadata: Metadata) -> int:
    found = _find(metadata.exif or b"")
    if found is not None:
        field, at = found
        return int(struct.unpack_from(field, metadata.exif or b"", at)[0])
    in_xmp = _XMP.search(metadata.xmp or b"")
    return int(in_xmp[2]) if in_xmp else 1


def _cleared(metadata: Metadata) -> Metadata:
    exif, xmp = metadata.exif, metadata.xmp
    found = _find(exif or b"")
    if exif is not None and found is not None:
        field, at = found
        exif = exif[:at] + struct.pack(field, 1) + exif[at + struct.calcsize(field) :]
    if xmp is not None:
        xmp = _XMP.sub(rb"\g<1>1", xmp)
    return replace(metadata, exif=exif, xmp=xmp)


def _find(exif: bytes) -> tuple[str, int] | None:
    """Find the orientation in the first directory: its struct format and offset, or None. Never raises."""
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(exif[:4])
    if order is None:
        return None
    try:
        (directory,) = struct.unpack_from(order + "I", exif, 4)
        (entries,) = struct.unpack_from(order + "H", exif, directory)
        for at in range(directory + 2, directory + 2 + 12 * entries, 12):
            tag, kind, count = struct.unpack_from(order + "HHI", exif, at)
            if tag == _TAG and count == 1 and kind in _FIELD_OF_TYPE:
                field = order + _FIELD_OF_TYPE[kind]
                struct.unpack_from(field, exif, at + 8)
                return field, at + 8
    except struct.error:  # the directory points, or goes on, beyond the end
        pass
    return None
