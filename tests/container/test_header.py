"""Each field out and back, literal bytes, and headers that contradict themselves."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib

import pytest

from gancodec.container import (
    FORMAT_MAJOR,
    FORMAT_MINOR,
    HEADER_MAX_BYTES,
    MAGIC,
    MAX_SIDE,
    Chunk,
    ColourMode,
    Header,
    read_container,
    read_header,
)
from gancodec.container.fields import VARINT_MAX, pack_varint, read_varint
from gancodec.errors import (
    ChecksumError,
    ConfigError,
    CorruptError,
    LimitError,
    NotGncError,
    TruncatedError,
    UnsupportedVersionError,
)

GOLDEN_HEADER = bytes.fromhex(
    "89474e43"  # magic
    "10"  # version 1.0
    "12"  # flags: RGB, uniform tables
    "8006"  # width 768
    "8004"  # height 512
    "c0dec0de"  # model id
    "803e"  # quality 62.5 = 16000/256
    "08"  # payload length
    "9bd3"  # header CRC
    "84790b9e"  # payload CRC
    "78563412"  # symbol CRC
)


def forge(
    *,
    version: int = 0x10,
    flags: int = 2,
    width: bytes = b"\x80\x06",
    height: bytes = b"\x80\x04",
    quality_256: int = 0,
    size: bytes = b"\x00",
) -> bytes:
    """A header with any field values and a right header CRC, for an empty payload."""
    covered = MAGIC + bytes([version, flags]) + width + height + b"\xc0\xde\xc0\xde"
    covered += struct.pack("<H", quality_256) + size
    return covered + struct.pack("<HII", zlib.crc32(covered) & 0xFFFF, zlib.crc32(b""), 0)


def test_writing_gives_the_known_header_bytes(make):
    assert make(uniform_tables=True) == GOLDEN_HEADER + b"gancodec"


def test_a_known_header_reads_as_its_fields():
    assert read_header(GOLDEN_HEADER) == Header(
        mode=ColourMode.RGB,
        width=768,
        height=512,
        model_id=b"\xc0\xde\xc0\xde",
        quality=62.5,
        uniform_tables=True,
        has_alpha=False,
        metadata_types=(),
        has_unknown=False,
        payload_size=8,
        payload_crc=0x9E0B7984,
        symbol_crc=0x12345678,
        version=(1, 0),
        payload_offset=27,
    )


@pytest.mark.parametrize("mode", ColourMode)
@pytest.mark.parametrize("uniform", [False, True])
@pytest.mark.parametrize("metadata", [{}, {b"EXIF": b"e"}])
def test_every_flag_comes_back(make, mode, uniform, metadata):
    alpha = b"a" if mode.has_alpha else None
    header = read_header(make(mode=mode, uniform_tables=uniform, metadata=metadata, alpha=alpha))
    assert (header.mode, header.uniform_tables, header.has_alpha, header.has_metadata) == (
        mode,
        uniform,
        mode.has_alpha,
        bool(metadata),
    )


@pytest.mark.parametrize("side", [1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 1 << 31])
def test_every_side_comes_back(make, side):
    assert (read_header(make(width=side)).width, read_header(make(height=side)).height) == (side, side)


def test_every_quality_step_comes_back(make):
    for stored in range(0, 25_601, 25):
        header = read_header(make(quality=stored / 256))
        assert (header.quality, header.quality_256) == (stored / 256, stored)


@pytest.mark.parametrize(("asked", "stored"), [(0.001, 0), (0.003, 1), (99.9999, 25_600), (50, 12_800)])
def test_quality_is_rounded_to_the_nearest_step(make, asked, stored):
    assert read_header(make(quality=asked)).quality_256 == stored


@pytest.mark.parametrize("model_id", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"abcd"])
@pytest.mark.parametrize("symbol_crc", [0, 1, 0xFFFF_FFFF])
def test_model_id_and_symbol_crc_come_back(make, model_id, symbol_crc):
    header = read_header(make(model_id=model_id, symbol_crc=symbol_crc))
    assert (header.model_id, header.symbol_crc) == (model_id, symbol_crc)


def test_the_header_describes_its_payload(make):
    file = make(payload=b"x" * 1000)
    header = read_header(file)
    assert (header.payload_size, header.payload_crc) == (1000, zlib.crc32(b"x" * 1000))
    assert header.version == (FORMAT_MAJOR, FORMAT_MINOR)
    assert file[header.payload_offset :] == b"x" * 1000


@pytest.mark.parametrize("payload_bytes", [1 << 14, 50_000, (1 << 21) - 1])
def test_overhead_at_768x512_is_29_bytes(make, payload_bytes):
    assert len(make(payload=bytes(payload_bytes))) - payload_bytes == 29


@pytest.mark.parametrize("payload_bytes", [0, 127, 128, (1 << 14) - 1])
def test_a_payload_below_16_kib_costs_less_than_29_bytes(make, payload_bytes):
    assert len(make(payload=bytes(payload_bytes))) - payload_bytes < 29


def test_overhead_at_the_largest_picture_is_32_bytes(make):
    assert len(make(width=MAX_SIDE, height=MAX_SIDE, payload=bytes(1 << 21))) - (1 << 21) == 32


def test_header_max_bytes_holds_the_longest_header():
    longest = forge(width=pack_varint(1 << 31), height=pack_varint(1 << 31), size=pack_varint(VARINT_MAX))
    assert len(longest) == HEADER_MAX_BYTES
    assert read_header(longest).payload_size == VARINT_MAX


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_read_header_needs_only_the_header_in_any_buffer(sample, kind):
    offset = read_header(sample).payload_offset
    assert read_header(kind(sample[:offset])) == read_header(kind(sample)) == read_header(sample[:HEADER_MAX_BYTES])


@pytest.mark.parametrize("size", range(27))
def test_a_header_cut_at_any_length_is_called_truncated(size):
    with pytest.raises(TruncatedError, match="copy or download"):
        read_header(GOLDEN_HEADER[:size])


@pytest.mark.parametrize("start", [b"\x09GNC", b"\x89PNG\r\n", b"GIF89a", b"\x00", b"\x89G\x00"])
def test_another_kind_of_file_is_not_gnc(start):
    with pytest.raises(NotGncError):
        read_header(start)


@pytest.mark.parametrize("major", [0, 2, 15])
def test_another_major_version_is_refused_before_anything_else(major):
    with pytest.raises(UnsupportedVersionError):
        read_header(MAGIC + bytes([major << 4]))  # nothing follows: its layout is not ours to judge


@pytest.mark.parametrize("minor", [1, 15])
def test_a_newer_minor_version_with_a_new_chunk_type_is_accepted(make, minor):
    new = Chunk(type=b"NEWT", data=b"what a later version added")
    file = make(unknown=(new,))
    chunks = file[read_header(file).payload_offset + len(b"gancodec") :]
    container = read_container(forge(version=0x10 | minor, flags=0x82) + chunks)
    assert (container.header.version, container.unknown) == ((1, minor), (new,))
    assert read_container(forge(version=0x10 | minor)).header.mode is ColourMode.RGB


@pytest.mark.parametrize(
    ("flag", "metadata_types", "has_unknown"),
    [
        (0x00, (), False),
        (0x08, (b"ICCP",), False),
        (0x20, (b"EXIF",), False),
        (0x40, (b"XMP ",), False),
        (0x68, (b"ICCP", b"EXIF", b"XMP "), False),
        (0x80, (), True),
        (0xE8, (b"ICCP", b"EXIF", b"XMP "), True),
    ],
)
def test_each_flag_bit_has_its_meaning(make, flag, metadata_types, has_unknown):
    header = read_header(forge(flags=2 | flag))
    assert (header.metadata_types, header.has_unknown) == (metadata_types, has_unknown)
    assert header.has_metadata == bool(metadata_types)
    unknown = (Chunk(type=b"NOTE", data=b""),) if has_unknown else ()
    assert make(metadata=dict.fromkeys(reversed(metadata_types), b"x"), unknown=unknown)[5] == 2 | flag


@pytest.mark.parametrize("flags", [0b000, 0b010, 0b101, 0b111])
def test_mode_and_alpha_flag_that_agree_are_accepted(flags):
    assert read_header(forge(flags=flags)).has_alpha == bool(flags & 4)


@pytest.mark.parametrize("flags", [0b001, 0b011, 0b100, 0b110])
def test_mode_and_alpha_flag_that_disagree_are_corrupt(flags):
    with pytest.raises(CorruptError, match="alpha flag"):
        read_header(forge(flags=flags))


@pytest.mark.parametrize("field", ["width", "height"])
@pytest.mark.parametrize("side", [0, (1 << 31) + 1, VARINT_MAX])
def test_a_side_outside_the_format_is_corrupt(field, side):
    with pytest.raises(CorruptError, match=field):
        read_header(forge(**{field: pack_varint(side)}))


@pytest.mark.parametrize("field", ["width", "height"])
def test_a_side_above_the_limit_is_a_limit_error_and_the_limit_moves(make, field):
    file = make(**{field: MAX_SIDE + 1})
    assert read_header(file)
    with pytest.raises(LimitError, match="16385"):
        read_container(file)
    assert read_container(file, max_side=MAX_SIDE + 1)
    assert read_container(make(**{field: MAX_SIDE}))


@pytest.mark.parametrize("quality_256", [25_601, 65_535])
def test_a_stored_quality_above_100_is_corrupt(quality_256):
    assert read_header(forge(quality_256=25_600)).quality == 100
    with pytest.raises(CorruptError, match="quality"):
        read_header(forge(quality_256=quality_256))


@pytest.mark.parametrize("field", ["width", "height", "size"])
@pytest.mark.parametrize("varint", [b"\x80\x00", b"\x81\x80\x00", b"\x80\x80\x80\x80\x00", b"\x81\x80\x80\x80\x80\x01"])
def test_a_number_not_in_its_shortest_form_is_corrupt(field, varint):
    with pytest.raises(CorruptError, match=r"shortest|longer"):
        read_header(forge(**{field: varint}))


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 16_383, 16_384, (1 << 28) - 1, 1 << 28, VARINT_MAX])
def test_a_varint_comes_back(value):
    packed = pack_varint(value)
    assert read_varint(memoryview(b"." + packed + b"."), 1, "x") == (value, 1 + len(packed))


@pytest.mark.parametrize("value", [-1, VARINT_MAX + 1])
def test_a_number_that_fits_no_varint_is_a_config_error(value):
    with pytest.raises(ConfigError):
        pack_varint(value)


def test_the_header_checksum_sees_every_damaged_byte():
    # 16 bits cannot promise this for any data; that it holds for one byte at this length is a fact worth keeping.
    for position in range(6, 19):
        for flip in range(1, 256):
            damaged = bytearray(GOLDEN_HEADER)
            damaged[position] ^= flip
            with pytest.raises((ChecksumError, CorruptError, TruncatedError)):
                read_header(damaged)


@pytest.mark.parametrize(
    "change",
    [
        {"width": 0},
        {"height": 0},
        {"width": (1 << 31) + 1},
        {"height": -1},
        {"model_id": b"abc"},
        {"model_id": b"abcde"},
        {"quality": -0.01},
        {"quality": 100.01},
        {"quality": float("nan")},
        {"quality": float("inf")},
        {"symbol_crc": -1},
        {"symbol_crc": 1 << 32},
    ],
    ids=str,
)
def test_writing_a_value_out_of_range_is_a_config_error(make, change):
    with pytest.raises(ConfigError) as caught:
        make(**change)
    assert caught.value.hint


def test_reading_a_header_loads_no_torch_numpy_or_pillow():
    code = (
        "import sys, gancodec.container as c; c.read_header(sys.stdin.buffer.read());"
        "print(sorted({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], input=GOLDEN_HEADER, capture_output=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, b"[]", b"")
