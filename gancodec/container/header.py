"""The header: everything before the payload, in at most HEADER_MAX_BYTES, protected by its own checksum.

    magic 4 | version 1 | flags 1 | width varint | height varint | model id 4 | quality 2 | payload length varint
    | header CRC 2 | payload CRC 4 | symbol CRC 4

Integers are little-endian.  The header CRC covers what stands before it; the two CRCs after it need no cover, since
damage there shows as a mismatch with what they describe.
"""

from __future__ import annotations

import enum
import struct
import zlib
from collections.abc import Collection
from dataclasses import dataclass

from gancodec.container.fields import CUT_SHORT_HINT, DAMAGED_HINT, VARINT_MAX_BYTES, pack_varint, read_varint, take
from gancodec.container.metadata import METADATA_TYPES
from gancodec.errors import (
    ChecksumError,
    ConfigError,
    CorruptError,
    NotGncError,
    TruncatedError,
    UnsupportedVersionError,
)

MAGIC = b"\x89GNC"
FORMAT_MAJOR = 1
FORMAT_MINOR = 0
FORMAT_MAX_SIDE = 1 << 31
"""Largest width or height that the format can say, in pixels; readers stop far below (MAX_SIDE in file.py)."""

QUALITY_STEPS = 256
"""Stored quality steps per unit of quality."""
QUALITY_MAX = 100

_MODE_MASK = 0b0000_0011
_FLAG_ALPHA = 0b0000_0100
_FLAG_UNIFORM = 0b0001_0000
_METADATA_FLAGS = {b"ICCP": 0b0000_1000, b"EXIF": 0b0010_0000, b"XMP ": 0b0100_0000}
_FLAG_UNKNOWN = 0b1000_0000

_START = struct.Struct("<4sBB")  # magic, version, flags
_MODEL = struct.Struct("<4sH")  # model id, quality
_SUMS = struct.Struct("<HII")  # header CRC, payload CRC, symbol CRC

HEADER_MAX_BYTES = _START.size + 2 * VARINT_MAX_BYTES + _MODEL.size + VARINT_MAX_BYTES + _SUMS.size
"""So many first bytes of a file are always enough for read_header."""


class ColourMode(enum.IntEnum):
    """Channels of the picture; the value is what flag bits 0 and 1 hold."""

    L = 0
    LA = 1
    RGB = 2
    RGBA = 3

    @property
    def has_alpha(self) -> bool:
        """Whether a file of this mode carries an alpha chunk: always or never, there is no third case."""
        return self in (ColourMode.LA, ColourMode.RGBA)


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What a file says about itself before its payload."""

    mode: ColourMode
    width: int
    """Pixels, 1..2^31."""
    height: int
    """Pixels, 1..2^31."""
    model_id: bytes
    """Four bytes that name the tables and networks that turn the payload into the latent."""
    quality: float
    """A multiple of 1/256 in 0..100."""
    uniform_tables: bool
    """Whether the payload was coded with uniform tables rather than the learned ones."""
    has_alpha: bool
    metadata_types: tuple[bytes, ...]
    """Those of METADATA_TYPES of which a chunk is present, in that order."""
    has_unknown: bool
    """Whether chunks of unknown types, and the closing chunk behind them, are present."""
    payload_size: int
    """Bytes."""
    payload_crc: int
    """CRC-32 of the payload bytes; read_container checks it."""
    symbol_crc: int
    """CRC-32 of the decoded symbols; only the codec can check it."""
    version: tuple[int, int]
    """Major and minor version that the file was written in."""
    payload_offset: int
    """Bytes before the payload, i.e. the header's own size."""

    @property
    def has_metadata(self) -> bool:
        """Whether any metadata chunk is present."""
        return bool(self.metadata_types)

    @property
    def quality_256(self) -> int:
        """Quality as it is stored, in 1/256: an integer in 0..25600."""
        return round(self.quality * QUALITY_STEPS)


def read_header(data: bytes | bytearray | memoryview) -> Header:
    """The header of a file of which `data` is the whole or the beginning; HEADER_MAX_BYTES are always enough.

    Looks at nothing behind the header.  Raises NotGncError, UnsupportedVersionError, TruncatedError, ChecksumError
    (header CRC) or CorruptError (fields out of range or against each other).
    """
    view = memoryview(data).cast("B")
    version = _read_version(view)
    flags = take(view, 5, 1, "flags")[0]
    # Parsed, not yet believed: the varints only say where the checksum lies.
    width, offset = read_varint(view, _START.size, "width")
    height, offset = read_varint(view, offset, "height")
    model_id, quality_256 = _MODEL.unpack(take(view, offset, _MODEL.size, "model id and quality"))
    payload_size, offset = read_varint(view, offset + _MODEL.size, "payload length")
    header_crc, payload_crc, symbol_crc = _SUMS.unpack(take(view, offset, _SUMS.size, "checksums"))
    seen_crc = _header_crc(view[:offset])
    if seen_crc != header_crc:
        raise ChecksumError(f"header checksum is {seen_crc:04x}, not {header_crc:04x}", hint=DAMAGED_HINT)

    mode = _read_mode(flags)
    for name, side in (("width", width), ("height", height)):
        if not 1 <= side <= FORMAT_MAX_SIDE:
            raise CorruptError(f"{name} is {side}, not 1 to {FORMAT_MAX_SIDE} pixels", hint=DAMAGED_HINT)
    if quality_256 > QUALITY_MAX * QUALITY_STEPS:
        raise CorruptError(f"quality is {quality_256 / QUALITY_STEPS}, not 0 to {QUALITY_MAX}", hint=DAMAGED_HINT)
    return Header(
        mode=mode,
        width=width,
        height=height,
        model_id=model_id,
        quality=quality_256 / QUALITY_STEPS,
        uniform_tables=bool(flags & _FLAG_UNIFORM),
        has_alpha=bool(flags & _FLAG_ALPHA),
        metadata_types=tuple(type_ for type_ in METADATA_TYPES if flags & _METADATA_FLAGS[type_]),
        has_unknown=bool(flags & _FLAG_UNKNOWN),
        payload_size=payload_size,
        payload_crc=payload_crc,
        symbol_crc=symbol_crc,
        version=version,
        payload_offset=offset + _SUMS.size,
    )


def pack_header(
    *,
    mode: ColourMode,
    width: int,
    height: int,
    model_id: bytes,
    quality: float,
    uniform_tables: bool,
    metadata_types: Collection[bytes],
    has_unknown: bool,
    payload: bytes,
    symbol_crc: int,
) -> bytes:
    """The header of `payload` in the version of this module: what read_header reads back.

    Quality is rounded to the nearest 1/256.  Raises ConfigError if a value is outside the range that Header states.
    """
    for name, side in (("width", width), ("height", height)):
        if not 1 <= side <= FORMAT_MAX_SIDE:
            raise ConfigError(f"{name} is {side}", hint=f"use 1 to {FORMAT_MAX_SIDE} pixels")
    if len(model_id) != 4:
        raise ConfigError(f"model id {model_id!r} has {len(model_id)} bytes", hint="use exactly 4")
    if not 0 <= quality <= QUALITY_MAX:  # false for NaN, too
        raise ConfigError(f"quality is {quality}", hint=f"use 0 to {QUALITY_MAX}")
    if not 0 <= symbol_crc < 1 << 32:
        raise ConfigError(f"symbol CRC is {symbol_crc}", hint="use an unsigned 32-bit number, as zlib.crc32 gives")
    mode = ColourMode(mode)
    flags = (
        mode
        | (_FLAG_ALPHA if mode.has_alpha else 0)
        | (_FLAG_UNIFORM if uniform_tables else 0)
        | sum(_METADATA_FLAGS[type_] for type_ in METADATA_TYPES if type_ in metadata_types)
        | (_FLAG_UNKNOWN if has_unknown else 0)
    )
    covered = b"".join(
        (
            _START.pack(MAGIC, FORMAT_MAJOR << 4 | FORMAT_MINOR, flags),
            pack_varint(width),
            pack_varint(height),
            _MODEL.pack(model_id, round(quality * QUALITY_STEPS)),
            pack_varint(len(payload)),
        )
    )
    return covered + _SUMS.pack(_header_crc(covered), zlib.crc32(payload), symbol_crc)


def _header_crc(covered: bytes | memoryview) -> int:
    return zlib.crc32(covered) & 0xFFFF


def _read_version(view: memoryview) -> tuple[int, int]:
    """Check magic and major version, before anything whose layout depends on them."""
    start = bytes(view[: len(MAGIC)])
    if not MAGIC.startswith(start):
        raise NotGncError(f"starts with {start!r}, not {MAGIC!r}", hint="make .gnc files with `gancodec compress`")
    if len(view) <= len(MAGIC):
        raise TruncatedError(f"the file ends after {len(view)} bytes, inside its header", hint=CUT_SHORT_HINT)
    version = view[len(MAGIC)] >> 4, view[len(MAGIC)] & 0x0F
    if version[0] != FORMAT_MAJOR:
        raise UnsupportedVersionError(
            f"the file has format {version[0]}.{version[1]}, this reader knows {FORMAT_MAJOR}.x",
            hint="update gancodec" if version[0] > FORMAT_MAJOR else DAMAGED_HINT,
        )
    return version


def _read_mode(flags: int) -> ColourMode:
    """The colour mode, once it agrees with the alpha flag."""
    mode = ColourMode(flags & _MODE_MASK)
    if bool(flags & _FLAG_ALPHA) != mode.has_alpha:
        raise CorruptError(
            f"colour mode {mode.name} {'without' if mode.has_alpha else 'with'} the alpha flag", hint=DAMAGED_HINT
        )
    return mode
