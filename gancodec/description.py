"""What is in a .gnc file, as facts for people and programs; without torch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

from gancodec.container import HEADER_MAX_BYTES, Chunk, Header, read_container, read_header
from gancodec.container.chunks import CHUNK_MIN_BYTES, read_chunks
from gancodec.container.fields import read_varint
from gancodec.container.metadata import inflate
from gancodec.errors import FormatError, LimitError
from gancodec.registry import ModelEntry


def describe(data: bytes, known: Mapping[bytes, ModelEntry]) -> dict[str, Any]:
    """Size, rate, model and chunks of a file; checks all but the symbols.  known: models by their id.

    Raises FormatError.
    """
    container = read_container(data)
    header = container.header
    model = known.get(header.model_id)
    # Sizes as they are in the file; the container gives metadata inflated.
    chunks = read_chunks(memoryview(data), header.payload_offset + header.payload_size)
    return {
        "width": header.width,
        "height": header.height,
        "mode": header.mode.name,
        "quality": header.quality if model is None or model.has_quality else None,
        "bytes": len(data),
        "bpp": 8 * len(data) / (header.width * header.height),
        "model_id": header.model_id.hex(),
        "model": None if model is None else model.name,
        "codec": None if model is None else model.codec,
        "uniform_tables": header.uniform_tables,
        "format": "{}.{}".format(*header.version),
        "payload_bytes": header.payload_size,
        "chunks": [{"type": chunk.type.decode("ascii").strip(), "bytes": len(chunk.data)} for chunk, _ in chunks],
        "damaged": list(container.damaged),
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Outline:
    """What header and metadata of a file say.  Payload and alpha were not looked at, and may be damaged."""

    header: Header
    size_bytes: int
    metadata: dict[bytes, bytes]
    """Raw metadata by chunk type, as in Container."""
    damaged: tuple[str, ...]
    """One sentence for each metadata chunk that could not be used."""


def read_outline(file: IO[bytes]) -> Outline:
    """The outline of a seekable file; skips payload and alpha, so that large files take no longer than small ones.

    Raises FormatError for the header.  Metadata that lies behind a cut or damage is left out: reading the picture says
    what is wrong with it.
    """
    file.seek(0)
    header = read_header(file.read(HEADER_MAX_BYTES))
    file.seek(0, os.SEEK_END)
    size_bytes = file.tell()
    metadata: dict[bytes, bytes] = {}
    damaged: list[str] = []
    awaited = set(header.metadata_types)
    if awaited:
        with suppress(FormatError, LimitError):
            for chunk, intact in _chunks_behind_alpha(file, header):
                if chunk.type in awaited:
                    awaited.remove(chunk.type)
                    raw = inflate(chunk.type, chunk.data) if intact else "its checksum is wrong"
                    if isinstance(raw, str):
                        damaged.append(f"{chunk.type.decode('ascii').strip()}: {raw}")
                    else:
                        metadata[chunk.type] = raw
                if not awaited:
                    break
    return Outline(header=header, size_bytes=size_bytes, metadata=metadata, damaged=tuple(damaged))


def _chunks_behind_alpha(file: IO[bytes], header: Header) -> Iterator[tuple[Chunk, bool]]:
    start = header.payload_offset + header.payload_size
    file.seek(start)
    if header.has_alpha:
        size, body = read_varint(memoryview(file.read(CHUNK_MIN_BYTES)), 4, "chunk 'ALPH'")
        file.seek(start + body + size + 4)
    return read_chunks(memoryview(file.read()), 0)
