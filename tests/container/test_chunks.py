"""Alpha, metadata and unknown chunks: what goes in comes out, and what must not be accepted is not."""

from __future__ import annotations

import itertools
import random
import zlib

import pytest

import gancodec.container
from gancodec.container import MAX_CHUNKS, MAX_METADATA_BYTES, Chunk, ColourMode, read_container, write_container
from gancodec.container.chunks import pack_chunk
from gancodec.container.metadata import METADATA_TYPES
from gancodec.errors import ChecksumError, ConfigError, CorruptError, LimitError, TruncatedError

EXIF = pack_chunk(Chunk(type=b"EXIF", data=zlib.compress(b"exif")))
ICCP = pack_chunk(Chunk(type=b"ICCP", data=zlib.compress(b"profile")))
XMP = pack_chunk(Chunk(type=b"XMP ", data=zlib.compress(b"<x/>")))
ALPH = pack_chunk(Chunk(type=b"ALPH", data=b"alpha"))
NOTE = pack_chunk(Chunk(type=b"NOTE", data=b"hello"))
END = pack_chunk(Chunk(type=b"GEND", data=b""))

# Literal, so that reading does not depend on what this machine's zlib would write.
GOLDEN = bytes.fromhex(
    "89474e43 10 27 8006 8004 c0dec0de 803e 08 8f92 84790b9e 78563412"  # header: RGBA, alpha and EXIF
    "67616e636f646563"  # payload
    "414c5048 05 616c706861 e76399ce"  # ALPH
    "45584946 0c 78da4badc84c0300043801ad d3641840"  # EXIF
)


def with_chunks(make, *chunks: bytes, flags: str | None = None) -> bytes:
    """A file with exactly these chunks, whose flags announce these types, or those in `flags`, right or wrong."""
    types = {chunk[:4] for chunk in chunks} if flags is None else {f"{name:4}".encode() for name in flags.split()}
    whole = make(
        **({"mode": ColourMode.RGBA, "alpha": b""} if b"ALPH" in types else {}),
        metadata=dict.fromkeys(types & set(METADATA_TYPES), b"x"),
        unknown=(Chunk(type=b"NOTE", data=b""),) if b"GEND" in types else (),
    )
    header = gancodec.container.read_header(whole)
    return b"".join((whole[: header.payload_offset + header.payload_size], *chunks))


def break_crc(chunk: bytes) -> bytes:
    return chunk[:-1] + bytes([chunk[-1] ^ 1])


def test_a_known_file_reads_as_its_parts():
    container = read_container(GOLDEN)
    assert (container.payload, container.alpha, container.metadata) == (b"gancodec", b"alpha", {b"EXIF": b"exif"})
    assert (container.unknown, container.damaged) == ((), ())


def test_writing_gives_the_known_alpha_chunk_bytes(make):
    assert make(mode=ColourMode.RGBA, alpha=b"alpha").endswith(bytes.fromhex("414c504805616c706861e76399ce"))


@pytest.mark.parametrize("mode", [ColourMode.LA, ColourMode.RGBA])
@pytest.mark.parametrize("alpha", [b"", b"\0", b"webp" * 100])
def test_alpha_comes_back(make, mode, alpha):
    assert read_container(make(mode=mode, alpha=alpha)).alpha == alpha


@pytest.mark.parametrize(("kind", "raw"), [(b"ICCP", b""), (b"XMP ", b""), (b"EXIF", b""), (b"EXIF", b"Exif\0\0II*\0")])
def test_metadata_that_no_picture_can_hold_is_not_written(make, kind, raw):
    with pytest.raises(ConfigError, match="metadata"):
        make(metadata={kind: raw})


@pytest.mark.parametrize("kind", [b"ICCP", b"EXIF", b"XMP "])
@pytest.mark.parametrize("raw", [b"\0", b"text " * 999, bytes(range(256))])
def test_metadata_comes_back(make, kind, raw):
    container = read_container(make(metadata={kind: raw}))
    assert (container.metadata, container.damaged) == ({kind: raw}, ())


def test_the_order_of_the_mapping_does_not_change_the_file(make):
    metadata = {b"ICCP": b"1", b"EXIF": b"2", b"XMP ": b"3"}
    file = make(metadata=metadata)
    assert make(metadata=dict(reversed(metadata.items()))) == file
    assert file.index(b"ICCP") < file.index(b"EXIF") < file.index(b"XMP ")


def test_metadata_behind_alpha_is_read_in_any_order(make):
    container = read_container(with_chunks(make, ALPH, XMP, NOTE, EXIF, ICCP, END))
    assert container.metadata == {b"ICCP": b"profile", b"EXIF": b"exif", b"XMP ": b"<x/>"}
    assert container.unknown == (Chunk(type=b"NOTE", data=b"hello"),)


def test_reading_and_writing_again_keeps_every_byte_and_unknown_chunk(sample):
    container = read_container(sample)
    header = container.header
    again = write_container(
        mode=header.mode,
        width=header.width,
        height=header.height,
        model_id=header.model_id,
        quality=header.quality,
        uniform_tables=header.uniform_tables,
        payload=container.payload,
        symbol_crc=header.symbol_crc,
        alpha=container.alpha,
        metadata=container.metadata,
        unknown=container.unknown,
    )
    assert again == sample


def test_two_unknown_chunks_of_one_type_are_kept(make):
    twice = (Chunk(type=b"NOTE", data=b"1"), Chunk(type=b"NOTE", data=b"2"))
    assert read_container(make(unknown=twice)).unknown == twice


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_reading_takes_any_buffer(sample, kind):
    container = read_container(kind(sample))
    assert container == read_container(sample)
    assert type(container.payload) is bytes


@pytest.mark.parametrize("chunk", [EXIF, ICCP, XMP], ids=["EXIF", "ICCP", "XMP"])
def test_a_duplicate_metadata_chunk_is_corrupt(make, chunk):
    for second in (chunk, break_crc(chunk)):
        with pytest.raises(CorruptError, match="two"):
            read_container(with_chunks(make, chunk, second))


def test_a_duplicate_alpha_chunk_is_corrupt(make):
    with pytest.raises(CorruptError, match="two ALPH"):
        read_container(with_chunks(make, ALPH, ALPH))


def test_an_alpha_chunk_unannounced_absent_or_late_is_corrupt(make):
    cases = [((ALPH,), ""), ((), "ALPH"), ((NOTE, ALPH, END), "ALPH GEND"), ((NOTE, END), "ALPH GEND")]
    for chunks, flags in cases:
        with pytest.raises(CorruptError, match="ALPH"):
            read_container(with_chunks(make, *chunks, flags=flags))


def test_metadata_unannounced_or_absent_is_corrupt(make):
    chunks = {"ICCP": ICCP, "EXIF": EXIF, "XMP": XMP}
    subsets = [names for size in range(4) for names in itertools.combinations(chunks, size)]
    for present, flags in itertools.product(subsets, repeat=2):
        for change in (bytes, break_crc):  # damaged metadata counts as present
            file = with_chunks(make, *(change(chunks[name]) for name in present), flags=" ".join(flags))
            if present == flags:
                assert read_container(file).header.metadata_types == tuple(f"{name:4}".encode() for name in flags)
                continue
            wrong = set(flags) - set(present) or set(present) - set(flags)
            with pytest.raises(CorruptError, match=f"announce: {', '.join(sorted(wrong))}"):
                read_container(file)


@pytest.mark.parametrize(
    ("chunks", "flags", "why"),
    [
        ((NOTE,), "", "no unknown chunk"),
        ((NOTE, END), "", "do not announce: GEND"),
        ((END,), "", "do not announce: GEND"),
        ((), "GEND", "missing that the flags announce: GEND"),
        ((NOTE,), "GEND", "missing that the flags announce: GEND"),
        ((END,), "GEND", "are none"),
        ((EXIF, END), "EXIF GEND", "are none"),
        ((NOTE, END, END), "GEND", "follows"),
        ((NOTE, END, NOTE), "GEND", "follows"),
        ((NOTE, END, EXIF), "EXIF GEND", "follows"),
        ((NOTE, pack_chunk(Chunk(type=b"GEND", data=b"!"))), "GEND", "holds 1 bytes"),
    ],
)
def test_unknown_chunks_and_the_closing_chunk_go_with_their_flag(make, chunks, flags, why):
    with pytest.raises(CorruptError, match=why):
        read_container(with_chunks(make, *chunks, flags=flags))


def test_the_closing_chunk_is_9_known_bytes_and_only_behind_unknown_chunks(make):
    known = bytes.fromhex("47454e44 00 80f12a6e")
    assert make(unknown=(Chunk(type=b"NOTE", data=b"hello"),)).endswith(NOTE + known)
    assert known == END
    assert b"GEND" not in make(mode=ColourMode.RGBA, alpha=b"a", metadata=dict.fromkeys(METADATA_TYPES, b"x"))


@pytest.mark.parametrize("chunk", [ALPH, NOTE, END], ids=["ALPH", "NOTE", "GEND"])
def test_a_damaged_alpha_unknown_or_closing_chunk_is_a_checksum_error(make, chunk):
    file = with_chunks(make, break_crc(chunk))
    with pytest.raises(ChecksumError, match=chunk[:4].decode()):
        read_container(file)


def test_a_metadata_chunk_with_a_damaged_type_does_not_pass_as_unknown(make):
    with pytest.raises(ChecksumError):
        read_container(with_chunks(make, ICCP, EXIF.replace(b"EXIF", b"EXIG"), flags="ICCP EXIF"))


def test_damaged_metadata_leaves_picture_and_other_metadata(make):
    container = read_container(with_chunks(make, ALPH, break_crc(ICCP), EXIF, NOTE, END))
    assert (container.payload, container.alpha, container.metadata) == (b"gancodec", b"alpha", {b"EXIF": b"exif"})
    assert len(container.unknown) == 1
    assert container.damaged == ("ICCP: its checksum is wrong",)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "ends too early"),
        (b"not zlib", "not readable"),
        (zlib.compress(b"exif")[:-1], "ends too early"),
        (zlib.compress(b"exif") + b"!", "1 bytes follow"),
        (zlib.compress(b"exif")[:-1] + b"!", "not readable"),
        (zlib.compress(bytes(MAX_METADATA_BYTES + 1)), "more than 16777216"),
        (zlib.compress(bytes(4 * MAX_METADATA_BYTES)), "more than 16777216"),
    ],
    ids=["empty", "text", "short", "leftover", "adler", "one byte too large", "bomb"],
)
def test_bad_zlib_under_a_right_checksum_is_reported_not_raised(make, data, why):
    container = read_container(with_chunks(make, pack_chunk(Chunk(type=b"EXIF", data=data))))
    assert container.metadata == {}
    assert len(container.damaged) == 1
    assert container.damaged[0].startswith("EXIF: ")
    assert why in container.damaged[0]


def test_a_preset_dictionary_in_metadata_is_reported_not_raised(make):
    packer = zlib.compressobj(zdict=b"exif")
    data = packer.compress(b"exif") + packer.flush()
    assert read_container(with_chunks(make, pack_chunk(Chunk(type=b"EXIF", data=data)))).damaged


def test_the_largest_metadata_comes_back_and_one_byte_more_is_a_limit_error(make):
    largest = bytes(MAX_METADATA_BYTES)
    assert read_container(make(metadata={b"ICCP": largest})).metadata[b"ICCP"] == largest
    with pytest.raises(LimitError, match="ICCP"):
        make(metadata={b"ICCP": largest + b"\0"})


def test_incompressible_metadata_comes_back(make):
    noise = random.Random(1).randbytes(100_000)
    assert read_container(make(metadata={b"ICCP": noise})).metadata == {b"ICCP": noise}


@pytest.mark.parametrize("garbage", [b"\0", b"\n", b"garbage", b"NOTE", b"NOTE\x05", bytes(100), b"\x89GNC"])
def test_appended_garbage_is_refused(sample, garbage):
    with pytest.raises((CorruptError, ChecksumError, TruncatedError)):
        read_container(sample + garbage)


@pytest.mark.parametrize("type_", [b"1234", b"no-t", b"\0\0\0\0", b"ABC\xe9", b"AB\tC"])
def test_a_chunk_type_that_is_not_letters_is_refused(make, type_):
    covered = type_ + b"\0"
    with pytest.raises(CorruptError, match="no chunk begins"):
        read_container(make() + covered + zlib.crc32(covered).to_bytes(4, "little"))
    with pytest.raises(ConfigError, match="chunk type"):
        make(unknown=(Chunk(type=type_, data=b""),))


def test_more_chunks_than_the_limit_are_refused(make):
    empty = Chunk(type=b"NOTE", data=b"")
    assert len(read_container(make(unknown=(empty,) * (MAX_CHUNKS - 1))).unknown) == MAX_CHUNKS - 1
    with pytest.raises(LimitError, match="1024"):
        read_container(make() + pack_chunk(empty) * (MAX_CHUNKS + 1))
    with pytest.raises(ConfigError, match="1024"):  # the closing chunk is one too many
        make(unknown=(empty,) * MAX_CHUNKS)


@pytest.mark.parametrize(
    "change",
    [
        {"mode": ColourMode.RGBA},
        {"mode": ColourMode.LA},
        {"mode": ColourMode.RGB, "alpha": b"a"},
        {"mode": ColourMode.L, "alpha": b""},
        {"metadata": {b"XMP": b""}},
        {"metadata": {b"ALPH": b""}},
        {"unknown": (Chunk(type=b"ALPH", data=b""),)},
        {"unknown": (Chunk(type=b"XMP ", data=b""),)},
        {"unknown": (Chunk(type=b"GEND", data=b""),)},
        {"unknown": (Chunk(type=b"abc", data=b""),)},
    ],
    ids=str,
)
def test_writing_parts_that_do_not_go_together_is_a_config_error(make, change):
    with pytest.raises(ConfigError) as caught:
        make(**change)
    assert caught.value.hint


def test_every_exported_name_exists_once():
    names = gancodec.container.__all__
    assert all(hasattr(gancodec.container, name) for name in names)
    assert len(set(names)) == len(names)
