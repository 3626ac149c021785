"""The source chunk: which file a .gnc file was made of, so that a run which goes on knows its own results.

It is an unknown chunk to readers, which pass over it, and costs SOURCE_COST bytes with the closing chunk.  So it is
written only for those who ask for it.
"""

from __future__ import annotations

import hashlib

from gancodec.container.chunks import CHUNK_MIN_BYTES, Chunk
from gancodec.container.file import Container, append_chunk

SOURCE_TYPE = b"SRCE"
SOURCE_BYTES = 8
SOURCE_COST = CHUNK_MIN_BYTES + SOURCE_BYTES + CHUNK_MIN_BYTES
"""Bytes by which a file without unknown chunks grows: this chunk, and the closing one."""


def source_digest(source: bytes) -> bytes:
    """What the chunk says about a source: the first bytes of its SHA-256."""
    return hashlib.sha256(source).digest()[:SOURCE_BYTES]


def with_source(data: bytes, digest: bytes) -> bytes:
    """The .gnc file `data` with a source chunk.  Raises FormatError, ConfigError."""
    return append_chunk(data, Chunk(type=SOURCE_TYPE, data=digest))


def source_of(container: Container) -> bytes | None:
    """The digest in a file's source chunk; None where there is no such chunk, or several, or one of another length."""
    found = [chunk.data for chunk in container.unknown if chunk.type == SOURCE_TYPE]
    return found[0] if len(found) == 1 and len(found[0]) == SOURCE_BYTES else None
