"""Pictures, profiles and metadata made byte by byte, of kinds that Pillow reads but does not write."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PNG_COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}  # by number of channels


def random_array(*shape: int, seed: int = 0, dtype: Any = np.uint8) -> NDArray[Any]:
    info = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(0, info.max, shape, dtype, endpoint=True)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png(samples_HWC: NDArray[Any], *, bits: int, extra: bytes = b"") -> bytes:
    """A PNG of 2, 4, 8 or 16 bits a sample; `extra` are whole chunks put before the pixels."""
    height, width, channels = samples_HWC.shape
    if bits < 8:
        shifts = np.arange(8 - bits, -1, -bits)
        padded = np.pad(samples_HWC[..., 0], ((0, 0), (0, -width % shifts.size)))
        rows = (padded.reshape(height, -1, shifts.size) << shifts).sum(axis=2).astype(np.uint8)
    else:
        rows = samples_HWC.astype(">u2" if bits == 16 else np.uint8)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", width, height, bits, PNG_COLOUR_TYPE[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def tiff_16_bit(samples_HWC: NDArray[np.uint16], *, order: str, deflate: bool = False, bits: int = 16) -> bytes:
    """A baseline TIFF of one strip; order is "<" or ">". Two samples of 12 bits are packed into three bytes."""
    height, width, channels = samples_HWC.shape
    pixels = samples_HWC.astype(order + "u2").tobytes()
    if bits == 12:
        digits = "".join(f"{value:03x}" for value in samples_HWC.ravel())
        pixels = bytes.fromhex(digits + "0" * (len(digits) % 2))
    pixels = zlib.compress(pixels) if deflate else pixels
    depths = struct.pack(order + f"{channels}H", *([bits] * channels))
    depths_at = 8 + 2 + 12 * 10 + 4
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, channels, bits if channels == 1 else depths_at),
        (259, 3, 1, 8 if deflate else 1),
        (262, 3, 1, 1 if channels == 1 else 2),
        (273, 4, 1, depths_at + len(depths)),
        (277, 3, 1, channels),
        (278, 4, 1, height),
        (279, 4, 1, len(pixels)),
        (284, 3, 1, 1),
    ]
    out = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    for tag, kind, count, value in entries:
        short = kind == 3 and count == 1
        out += struct.pack(order + "HHI", tag, kind, count)
        out += struct.pack(order + ("HH" if short else "I"), *((value, 0) if short else (value,)))
    return out + struct.pack(order + "I", 0) + depths + pixels


def exif(*, orientation: int | None = None, order: str = "<", note: bytes = b"") -> bytes:
    """EXIF of one directory: a maker's name, perhaps an orientation, and `note` bytes behind it that no tag covers."""
    entries = [struct.pack(order + "HHI4s", 0x010F, 2, 4, b"abc\0")]
    if orientation is not None:
        entries.append(struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0))
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    return head + b"".join(entries) + struct.pack(order + "I", 0) + note


def icc(channels: int, *, note: bytes = b"") -> bytes:
    """The header of a display profile for grey or RGB and no tags: enough to be carried, not to be used."""
    head = bytearray(128)
    head[8:16] = b"\x04\0\0\0mntr"
    head[16:24] = {1: b"GRAY", 3: b"RGB "}[channels] + b"XYZ "
    head[36:40] = b"acsp"
    profile = bytes(head) + struct.pack(">I", 0) + note
    return struct.pack(">I", len(profile)) + profile[4:]


def cmyk_profile() -> bytes:
    """A complete CMYK profile in which full cyan comes out dark red, Lab (40, 60, 40), paper white, all else black."""
    red, black, white = bytes([round(40 * 255 / 100), 60 + 128, 40 + 128]), bytes([0, 128, 128]), bytes([255, 128, 128])
    grid = white + black * 7 + red + black * 7  # the first ink, cyan, varies slowest
    identity = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0])
    table += struct.pack(">9i", *(65_536 if i % 4 == 0 else 0 for i in range(9)))
    table += identity * 4 + grid + identity * 3
    point = b"XYZ " + bytes(4) + struct.pack(">3i", 63_190, 65_536, 54_061)
    head = bytearray(128)
    head[8:24] = b"\x02\x40\0\0prtrCMYKLab "
    head[36:40] = b"acsp"
    head[68:80] = struct.pack(">3i", 63_190, 65_536, 54_061)
    start = 128 + 4 + 2 * 12
    tags = struct.pack(">I", 2) + b"A2B0" + struct.pack(">II", start, len(table))
    tags += b"wtpt" + struct.pack(">II", start + len(table), len(point))
    profile = bytes(head) + tags + table + point
    return struct.pack(">I", len(profile)) + profile[4:]
