"""Metadata chunks: colour profile, EXIF and XMP, zlib-compressed in the file, raw bytes for everyone else.

Metadata is not the picture.  What is wrong inside it is reported as a sentence, never raised: the picture is right
and is delivered.
"""

from __future__ import annotations

import zlib

from gancodec.errors import LimitError

METADATA_TYPES = (b"ICCP", b"EXIF", b"XMP ")
"""In the order in which they are written."""

EXIF_PREFIX = b"Exif\0\0"
"""What JPEG puts before the TIFF header; a .gnc file holds EXIF without it."""

MAX_METADATA_BYTES = 16 << 20
"""Largest inflated size of one metadata chunk: 16 MiB, whatever the chunk claims to hold."""


def deflate(type_: bytes, raw: bytes) -> bytes:
    """`raw`, zlib-compressed.  Raises LimitError above MAX_METADATA_BYTES, which no reader would accept."""
    if len(raw) > MAX_METADATA_BYTES:
        raise LimitError(
            f"{type_.decode('ascii').strip()} has {len(raw)} bytes, above {MAX_METADATA_BYTES}",
            hint="compress without metadata",
        )
    return zlib.compress(raw, level=9)


def inflate(type_: bytes, packed: bytes) -> bytes | str:
    """The raw metadata, or a sentence (str) that says why there is none.

    Never holds more than MAX_METADATA_BYTES + 1 of output: a small chunk cannot fill the memory.
    """
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(packed, MAX_METADATA_BYTES + 1)
    except zlib.error as exc:
        return f"not readable as zlib data ({exc})"
    if len(raw) > MAX_METADATA_BYTES:
        return f"inflates to more than {MAX_METADATA_BYTES} bytes"
    if not inflater.eof:
        return "the zlib data ends too early"
    if inflater.unused_data:
        return f"{len(inflater.unused_data)} bytes follow the zlib data"
    return unusable(type_, raw) or raw


def unusable(type_: bytes, raw: bytes) -> str:
    """Why these raw bytes cannot be metadata of that type; an empty string if they can."""
    if not raw:
        return "it is empty"
    if type_ == b"EXIF" and raw.startswith(EXIF_PREFIX):
        return f"it starts with {EXIF_PREFIX!r}, not with a TIFF header"
    return ""
