"""The whole file: header, payload, chunks, and the promise that these fill it without a hole.

The picture (header, payload, ALPH) is all or nothing: any damage is an exception.  Metadata (ICCP, EXIF, XMP) may be
lost: damage inside it is listed in Container.damaged.  Unknown chunks must be whole, so that a known chunk with a
damaged type is not mistaken for one, and are handed on as they are.

The flags name the types that are present, and a closing chunk (GEND) ends a file with unknown chunks.  So a file cut
between two chunks is never a valid shorter one.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gancodec.container.chunks import MAX_CHUNKS, Chunk, pack_chunk, read_chunks
from gancodec.container.fields import CUT_SHORT_HINT, DAMAGED_HINT, take
from gancodec.container.header import ColourMode, Header, pack_header, read_header
from gancodec.container.metadata import METADATA_TYPES, deflate, inflate, unusable
from gancodec.errors import ChecksumError, ConfigError, CorruptError, LimitError, TruncatedError

MAX_SIDE = 16_384
"""Largest width or height that this reader opens unless told otherwise, in pixels; the format allows 2^31."""

ALPHA_TYPE = b"ALPH"
CLOSING_TYPE = b"GEND"
"""The empty last chunk of a file with unknown chunks: the flags cannot say how many of those there are."""
KNOWN_TYPES = frozenset((ALPHA_TYPE, *METADATA_TYPES, CLOSING_TYPE))


@dataclass(frozen=True, kw_only=True, slots=True)
class Container:
    """A file, taken apart; nothing in it is decoded but the metadata's zlib."""

    header: Header
    payload: bytes
    """The range coder's stream; its checksum was right."""
    alpha: bytes | None
    """Data of the ALPH chunk; None in the modes L and RGB."""
    metadata: dict[bytes, bytes]
    """Raw (inflated) metadata by chunk type: b"ICCP", b"EXIF", b"XMP "; missing where absent or damaged."""
    unknown: tuple[Chunk, ...]
    """Chunks of other types, in file order, to be kept by whoever writes the file again; without the closing one."""
    damaged: tuple[str, ...]
    """One sentence for each metadata chunk that could not be used."""


def read_container(data: bytes | bytearray | memoryview, *, max_side: int = MAX_SIDE) -> Container:
    """The parts of the complete file `data`; `max_side` is the largest accepted width and height in pixels.

    Checks every length, every checksum but that of the symbols, and that the parts fill the file exactly.  Raises
    what read_header raises, ChecksumError (payload, any chunk but metadata), TruncatedError, CorruptError (garbage,
    duplicates, flags and chunks that disagree) or LimitError (a side above `max_side`, more than MAX_CHUNKS chunks).
    """
    view = memoryview(data).cast("B")
    header = read_header(view)
    if max(header.width, header.height) > max_side:
        raise LimitError(
            f"the picture has {header.width} x {header.height} pixels, the limit is {max_side} a side",
            hint="raise max_side if you trust the file",
        )
    payload = bytes(take(view, header.payload_offset, header.payload_size, "payload"))
    seen_crc = zlib.crc32(payload)
    if seen_crc != header.payload_crc:
        raise ChecksumError(f"payload checksum is {seen_crc:08x}, not {header.payload_crc:08x}", hint=DAMAGED_HINT)
    return _sort_chunks(view, header, payload)


def write_container(
    *,
    mode: ColourMode,
    width: int,
    height: int,
    model_id: bytes,
    quality: float,
    uniform_tables: bool,
    payload: bytes,
    symbol_crc: int,
    alpha: bytes | None = None,
    metadata: Mapping[bytes, bytes] | None = None,
    unknown: Sequence[Chunk] = (),
) -> bytes:
    """The complete file; read_container gives the same parts back, with quality rounded to the nearest 1/256.

    `metadata` holds raw bytes by chunk type.  Chunks are written in one fixed order whatever the mapping's.  Raises
    ConfigError if a value is out of range, `alpha` does not fit `mode`, or a chunk type is not allowed where it
    stands; LimitError if a metadata entry is larger than MAX_METADATA_BYTES.
    """
    mode = ColourMode(mode)
    metadata = metadata or {}
    _check_chunks_to_write(mode, alpha, metadata, unknown)
    header = pack_header(
        mode=mode,
        width=width,
        height=height,
        model_id=model_id,
        quality=quality,
        uniform_tables=uniform_tables,
        metadata_types=metadata.keys(),
        has_unknown=bool(unknown),
        payload=payload,
        symbol_crc=symbol_crc,
    )
    chunks = [] if alpha is None else [Chunk(type=ALPHA_TYPE, data=alpha)]
    chunks += [Chunk(type=t, data=deflate(t, metadata[t])) for t in METADATA_TYPES if t in metadata]
    if unknown:
        chunks += (*unknown, Chunk(type=CLOSING_TYPE, data=b""))
    return b"".join((header, payload, *map(pack_chunk, chunks)))


def append_chunk(data: bytes, chunk: Chunk) -> bytes:
    """The whole file `data` with one more unknown chunk, behind those that it has.

    Raises what read_header raises, TruncatedError if the payload or the closing chunk is not all there, ConfigError
    for a chunk of a known type.
    """
    if chunk.type in KNOWN_TYPES:
        raise ConfigError(f"chunk {chunk.type!r} is a known type", hint="append unknown ones only")
    header = read_header(data)
    view = memoryview(data)
    payload = bytes(take(view, header.payload_offset, header.payload_size, "payload"))
    closing = pack_chunk(Chunk(type=CLOSING_TYPE, data=b""))
    rest = bytes(view[header.payload_offset + header.payload_size :])
    if header.has_unknown:
        if not rest.endswith(closing):
            raise TruncatedError("the closing chunk is not there", hint=CUT_SHORT_HINT)
        rest = rest.removesuffix(closing)
    announced = pack_header(
        mode=header.mode,
        width=header.width,
        height=header.height,
        model_id=header.model_id,
        quality=header.quality,
        uniform_tables=header.uniform_tables,
        metadata_types=header.metadata_types,
        has_unknown=True,
        payload=payload,
        symbol_crc=header.symbol_crc,
    )
    return b"".join((announced, payload, rest, pack_chunk(chunk), closing))


def _sort_chunks(view: memoryview, header: Header, payload: bytes) -> Container:
    """Give each chunk behind the payload its place in the Container, or say why it cannot have one."""
    alpha: bytes | None = None
    metadata: dict[bytes, bytes] = {}
    unknown: list[Chunk] = []
    damaged: list[str] = []
    seen: set[bytes] = set()
    chunks = read_chunks(view, header.payload_offset + header.payload_size)
    for index, (chunk, intact) in enumerate(chunks):
        name = _name(chunk.type)
        if CLOSING_TYPE in seen:
            raise CorruptError(f"a chunk {name} follows the closing chunk", hint=DAMAGED_HINT)
        if chunk.type not in METADATA_TYPES and not intact:
            raise ChecksumError(f"checksum of chunk {name} is wrong", hint=DAMAGED_HINT)
        if chunk.type not in KNOWN_TYPES:
            unknown.append(chunk)
            continue
        if chunk.type in seen:
            raise CorruptError(f"there are two {name} chunks", hint=DAMAGED_HINT)
        seen.add(chunk.type)
        if chunk.type == ALPHA_TYPE:
            if index > 0 or not header.has_alpha:
                raise CorruptError("an ALPH chunk is not first, or not announced by the flags", hint=DAMAGED_HINT)
            alpha = chunk.data
            continue
        if chunk.type == CLOSING_TYPE:
            if chunk.data:
                raise CorruptError(f"the closing chunk holds {len(chunk.data)} bytes, not none", hint=DAMAGED_HINT)
            continue
        raw = inflate(chunk.type, chunk.data) if intact else "its checksum is wrong"
        if isinstance(raw, str):
            damaged.append(f"{name}: {raw}")
        else:
            metadata[chunk.type] = raw
    _check_against_flags(header, seen, has_unknown=bool(unknown))
    return Container(
        header=header,
        payload=payload,
        alpha=alpha,
        metadata=metadata,
        unknown=tuple(unknown),
        damaged=tuple(damaged),
    )


def _check_against_flags(header: Header, seen: set[bytes], *, has_unknown: bool) -> None:
    """Raise CorruptError unless the chunks are those that the flags announce: a cut between two chunks ends here."""
    announced = {*header.metadata_types}
    announced |= {ALPHA_TYPE} if header.has_alpha else set()
    announced |= {CLOSING_TYPE} if header.has_unknown else set()
    if missing := announced - seen:
        raise CorruptError(f"chunks missing that the flags announce: {_names(missing)}", hint=DAMAGED_HINT)
    if surplus := seen - announced:
        raise CorruptError(f"chunks that the flags do not announce: {_names(surplus)}", hint=DAMAGED_HINT)
    if has_unknown != header.has_unknown:
        raise CorruptError(
            f"the flags announce {'unknown chunks' if header.has_unknown else 'no unknown chunk'}, "
            f"but there {'is one' if has_unknown else 'are none'}",
            hint=DAMAGED_HINT,
        )


def _name(type_: bytes) -> str:
    return type_.decode("ascii").strip()


def _names(types: set[bytes]) -> str:
    return ", ".join(map(_name, sorted(types)))


def _check_chunks_to_write(
    mode: ColourMode, alpha: bytes | None, metadata: Mapping[bytes, bytes], unknown: Sequence[Chunk]
) -> None:
    if mode.has_alpha != (alpha is not None):
        hint = "give the coded alpha plane" if mode.has_alpha else "use LA or RGBA, or leave alpha out"
        raise ConfigError(f"mode {mode.name} {'without' if mode.has_alpha else 'with'} alpha", hint=hint)
    for type_, raw in metadata.items():
        if type_ not in METADATA_TYPES:
            raise ConfigError(f"metadata {type_!r}", hint=f"use one of {', '.join(map(repr, METADATA_TYPES))}")
        if reason := unusable(type_, raw):
            raise ConfigError(f"metadata {type_!r}: {reason}", hint="leave it out, or give what a reader can use")
    for chunk in unknown:
        if chunk.type == CLOSING_TYPE:
            raise ConfigError(f"chunk {chunk.type!r} in unknown", hint="leave it out: it is written where it is due")
        if chunk.type in KNOWN_TYPES:
            raise ConfigError(f"chunk {chunk.type!r} is a known type", hint="pass it as alpha or metadata")
    if mode.has_alpha + len(metadata) + len(unknown) + bool(unknown) > MAX_CHUNKS:
        raise ConfigError(
            f"{len(unknown)} unknown chunks", hint=f"a file has at most {MAX_CHUNKS} chunks, the closing one included"
        )
