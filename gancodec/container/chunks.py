"""Typed chunks behind the payload: type 4 bytes, varint length, data, CRC-32 (little-endian) over all three.

What a type means is decided in file.py; this module knows only that it has four letters or spaces.
"""

from __future__ import annotations

import string
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from gancodec.container.fields import pack_varint, read_varint, take
from gancodec.errors import ConfigError, CorruptError, LimitError

MAX_CHUNKS = 1_024
"""Chunks in one file that this reader accepts: nine bytes each would otherwise cost far more time and memory."""

CHUNK_MIN_BYTES = 9
"""A chunk without data: type, length, CRC."""

_TYPE_BYTES = frozenset((string.ascii_letters + " ").encode("ascii"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """One chunk as it lies in the file."""

    type: bytes
    """Four ASCII letters or spaces."""
    data: bytes
    """The data as stored: the container does not look inside."""


def is_chunk_type(type_: bytes) -> bool:
    """Whether `type_` is four ASCII letters or spaces."""
    return len(type_) == 4 and _TYPE_BYTES.issuperset(type_)


def pack_chunk(chunk: Chunk) -> bytes:
    """The chunk's bytes, with length and checksum.  Raises ConfigError if its type is not four letters or spaces."""
    if not is_chunk_type(chunk.type):
        raise ConfigError(f"chunk type {chunk.type!r}", hint="use four ASCII letters or spaces")
    covered = chunk.type + pack_varint(len(chunk.data)) + chunk.data
    return covered + zlib.crc32(covered).to_bytes(4, "little")


def read_chunks(data: memoryview, start: int) -> Iterator[tuple[Chunk, bool]]:
    """Every chunk from `start` to the end of `data`, each with whether its checksum is right.

    The chunks fill the rest of the file exactly.  Raises TruncatedError if one does not fit, CorruptError if the next
    bytes cannot begin a chunk (appended garbage), LimitError beyond MAX_CHUNKS.
    """
    offset, count = start, 0
    while offset < len(data):
        count += 1
        if count > MAX_CHUNKS:
            raise LimitError(f"the file has more than {MAX_CHUNKS} chunks", hint="remove those you do not need")
        if len(data) - offset < CHUNK_MIN_BYTES and not is_chunk_type(bytes(data[offset : offset + 4]).ljust(4)):
            raise CorruptError(
                f"{len(data) - offset} bytes at offset {offset} are no chunk", hint="damaged, or something was appended"
            )
        type_ = bytes(take(data, offset, 4, "chunk type"))
        if not is_chunk_type(type_):
            raise CorruptError(
                f"no chunk begins with {type_!r} at offset {offset}", hint="damaged, or something was appended"
            )
        what = f"chunk {type_.decode('ascii')!r}"
        size, body = read_varint(data, offset + 4, what)
        content = take(data, body, size, what)
        stored_crc = int.from_bytes(take(data, body + size, 4, what), "little")
        intact = zlib.crc32(data[offset : body + size]) == stored_crc
        yield Chunk(type=type_, data=bytes(content)), intact
        offset = body + size + 4
