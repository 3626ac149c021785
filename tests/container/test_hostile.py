"""Files cut at every length, every byte changed, and bytes nobody wrote: a typed error, never a wrong picture."""

from __future__ import annotations

import itertools
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gancodec.container import MAGIC, Chunk, ColourMode, read_container, read_header, write_container
from gancodec.container.chunks import pack_chunk, read_chunks
from gancodec.container.metadata import METADATA_TYPES
from gancodec.errors import CorruptError, FormatError, GancodecError, LimitError, TruncatedError

TYPES = st.sampled_from([b"ALPH", b"ICCP", b"EXIF", b"XMP ", b"NOTE", b"GEND", b"1234"])


def chunk_ends(file: bytes) -> list[int]:
    """Offsets at which the payload and each chunk end."""
    header = read_header(file)
    ends = [header.payload_offset + header.payload_size]
    for chunk, _ in read_chunks(memoryview(file), ends[0]):
        ends.append(ends[-1] + len(pack_chunk(chunk)))
    return ends


def test_every_cut_is_noticed(sample):
    """A cut between two chunks leaves nothing half-read, so there the flags and the closing chunk have to tell."""
    ends = chunk_ends(sample)
    for size in range(len(sample)):
        with pytest.raises(CorruptError if size in ends else TruncatedError):
            read_container(sample[:size])


def test_a_cut_inside_the_header_is_noticed_by_read_header(sample):
    offset = read_header(sample).payload_offset
    for size in range(offset):
        with pytest.raises(TruncatedError):
            read_header(sample[:size])


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_a_changed_byte_never_gives_another_picture(sample, flip):
    whole = read_container(sample)
    offset = whole.header.payload_offset
    ends = chunk_ends(sample)
    chunks = itertools.pairwise(ends)
    metadata = {at for start, end in chunks if sample[start : start + 4] in METADATA_TYPES for at in range(start, end)}
    symbol_crc = range(offset - 4, offset)
    for at in range(len(sample)):
        changed = bytearray(sample)
        changed[at] ^= flip
        try:
            container = read_container(changed)
        except (FormatError, LimitError):
            continue
        assert (container.payload, container.alpha) == (whole.payload, whole.alpha)
        if at in symbol_crc:  # the codec compares it with the symbols that it decodes
            assert container.header.symbol_crc != whole.header.symbol_crc
        else:
            assert at in metadata
            assert container.damaged
            assert container.header == whole.header


def test_a_length_beyond_the_file_is_called_truncated(make):
    covered = MAGIC + b"\x10\x02\x80\x06\x80\x04" + b"\xc0\xde\xc0\xde" + b"\0\0" + b"\xff\xff\xff\xff\x7f"
    header = covered + struct.pack("<HII", zlib.crc32(covered) & 0xFFFF, 0, 0)
    with pytest.raises(TruncatedError, match="34359738367"):
        read_container(header + b"payload")
    with pytest.raises(TruncatedError, match="34359738367"):
        read_container(make() + b"NOTE\xff\xff\xff\xff\x7f")


@given(st.binary(max_size=80))
@settings(max_examples=300, deadline=None)
def test_random_bytes_raise_nothing_but_our_errors(data):
    for start in (b"", MAGIC, MAGIC + b"\x10", MAGIC + b"\x1f"):
        for read in (read_header, read_container):
            try:
                read(start + data)
            except GancodecError as error:
                assert error.hint


@given(
    st.integers(0x10, 0x1F),
    st.integers(0, 255),
    st.binary(max_size=16),
    st.lists(
        st.one_of(
            st.binary(max_size=12),
            st.builds(lambda t, d: t + bytes([len(d)]) + d + b"\0\0\0\0", TYPES, st.binary(max_size=8)),
            st.builds(
                lambda t, d: (c := t + bytes([len(d)]) + d) + zlib.crc32(c).to_bytes(4, "little"),
                TYPES,
                st.one_of(st.binary(max_size=8), st.binary(max_size=8).map(zlib.compress)),
            ),
        ),
        max_size=5,
    ),
)
@settings(max_examples=300, deadline=None)
def test_forged_files_with_right_checksums_raise_nothing_but_format_errors(version, flags, payload, chunks):
    covered = MAGIC + bytes([version, flags]) + b"\x10\x10" + b"\xc0\xde\xc0\xde" + b"\0\0" + bytes([len(payload)])
    sums = struct.pack("<HII", zlib.crc32(covered) & 0xFFFF, zlib.crc32(payload), 0)
    try:
        container = read_container(b"".join((covered, sums, payload, *chunks)))
    except (FormatError, LimitError) as error:
        assert error.hint
    else:
        assert container.payload == payload
        assert container.header.has_alpha == (container.alpha is not None) == container.header.mode.has_alpha
        assert len(container.header.metadata_types) == len(container.metadata) + len(container.damaged)
        assert container.header.has_unknown == bool(container.unknown)


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    mode = draw(st.sampled_from(ColourMode))
    letters = st.text("ABCXYZabcxyz ", min_size=4, max_size=4).map(str.encode)
    unknown_type = letters.filter(lambda t: t not in (b"ALPH", b"GEND", *METADATA_TYPES))
    chunk = st.builds(lambda t, d: Chunk(type=t, data=d), unknown_type, st.binary(max_size=300))
    return {
        "mode": mode,
        "width": draw(st.integers(1, 16_384)),
        "height": draw(st.integers(1, 16_384)),
        "model_id": draw(st.binary(min_size=4, max_size=4)),
        "quality": draw(st.integers(0, 25_600)) / 256,
        "uniform_tables": draw(st.booleans()),
        "payload": draw(st.binary(max_size=300)),
        "symbol_crc": draw(st.integers(0, 0xFFFF_FFFF)),
        "alpha": draw(st.binary(max_size=300)) if mode.has_alpha else None,
        "metadata": draw(st.dictionaries(st.sampled_from(METADATA_TYPES), st.binary(min_size=1, max_size=300))),
        "unknown": tuple(draw(st.lists(chunk, max_size=3))),
    }


@given(files())
@settings(max_examples=200, deadline=None)
def test_every_file_comes_back(parts):
    container = read_container(write_container(**parts))
    for name in ("mode", "width", "height", "model_id", "quality", "uniform_tables", "symbol_crc"):
        assert getattr(container.header, name) == parts[name]
    for name in ("payload", "alpha", "metadata", "unknown"):
        assert getattr(container, name) == parts[name]
    assert container.damaged == ()
