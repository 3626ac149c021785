"""The .gnc container: bytes to named fields and back, with the standard library only.

Bytes come in and go out; paths, pixels, symbols and networks are other packages' business.  docs/format.md is the
specification; this package is its reference reader and writer.
"""

from gancodec.container.chunks import MAX_CHUNKS, Chunk
from gancodec.container.file import MAX_SIDE, Container, read_container, write_container
from gancodec.container.header import (
    FORMAT_MAJOR,
    FORMAT_MINOR,
    HEADER_MAX_BYTES,
    MAGIC,
    ColourMode,
    Header,
    read_header,
)
from gancodec.container.metadata import MAX_METADATA_BYTES
from gancodec.container.source import SOURCE_BYTES, SOURCE_COST, SOURCE_TYPE, source_digest, source_of, with_source

__all__ = [
    "FORMAT_MAJOR",
    "FORMAT_MINOR",
    "HEADER_MAX_BYTES",
    "MAGIC",
    "MAX_CHUNKS",
    "MAX_METADATA_BYTES",
    "MAX_SIDE",
    "SOURCE_BYTES",
    "SOURCE_COST",
    "SOURCE_TYPE",
    "Chunk",
    "ColourMode",
    "Container",
    "Header",
    "read_container",
    "read_header",
    "source_digest",
    "source_of",
    "with_source",
    "write_container",
]
