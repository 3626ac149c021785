"""What is in a .gnc file, as facts for people and programs; without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gancodec.container import read_container
from gancodec.container.chunks import read_chunks
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
