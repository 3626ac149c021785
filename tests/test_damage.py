"""Damaged files: a typed error, or a warning and the right picture.  Never another picture without a word."""

from __future__ import annotations

import struct
import warnings
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray

from gancodec.codec import Codec
from gancodec.container import read_container, write_container
from gancodec.errors import DamagedMetadataWarning, FormatError, GancodecError, LimitError, WrongModelError
from gancodec.picture import Metadata, Picture
from tests.conftest import GOLDEN
from tests.tiny import made_picture

SAMPLES = ["plain", "alpha", "metadata"]


@pytest.fixture(scope="module")
def files(tiny_codec: Codec) -> dict[str, bytes]:
    """Files of at most 400 bytes: without chunks, with alpha, with metadata."""
    colour = made_picture(21, 40, 48)
    metadata = Metadata(icc=None, exif=b"II*\0\x08\0\0\0\0\0\0\0\0\0", xmp=b"<x:xmpmeta>caption</x:xmpmeta>")
    alpha = np.zeros((40, 48), np.uint8)
    alpha[10:20] = 255
    pictures = {
        "plain": Picture(colour_HWC=colour, alpha_HW=None, metadata=Metadata()),
        "alpha": Picture(colour_HWC=colour, alpha_HW=alpha, metadata=Metadata()),
        "metadata": Picture(colour_HWC=colour, alpha_HW=None, metadata=metadata),
    }
    made = {name: tiny_codec.compress(picture, quality=30) for name, picture in pictures.items()}
    assert all(len(data) <= 400 for data in made.values())
    return made


def outcome(codec: Codec, data: bytes) -> tuple[NDArray[np.uint8] | None, bool]:
    """The samples of a damaged file, or None if it was refused; and whether there was a warning."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            picture = codec.decompress_picture(data)
        except (FormatError, LimitError, WrongModelError) as error:
            assert str(error)
            return None, False
    assert all(issubclass(warning.category, DamagedMetadataWarning) for warning in seen)
    samples = picture.colour_HWC
    if picture.alpha_HW is not None:
        samples = np.concatenate([samples, picture.alpha_HW[..., None]], 2)
    return samples, bool(seen)


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
@pytest.mark.parametrize("sample", SAMPLES)
def test_changed_byte_never_gives_a_wrong_picture(
    sample: str, mask: int, files: dict[str, bytes], tiny_codec: Codec
) -> None:
    whole = files[sample]
    right, _ = outcome(tiny_codec, whole)
    header = read_container(whole).header
    chunks_from = header.payload_offset + header.payload_size
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= mask
        samples, warned = outcome(tiny_codec, bytes(changed))
        if samples is not None:
            assert sample == "metadata" and place >= chunks_from, f"byte {place} was changed and nobody noticed"
            assert warned, f"byte {place} of the metadata was changed without a warning"
            np.testing.assert_array_equal(samples, right)


@pytest.mark.parametrize("sample", SAMPLES)
def test_truncated_file_is_refused(sample: str, files: dict[str, bytes], tiny_codec: Codec) -> None:
    for size in range(len(files[sample])):
        with pytest.raises(FormatError):
            tiny_codec.decompress(files[sample][:size])
        with pytest.raises(FormatError):
            tiny_codec.verify(files[sample][:size])


def test_appended_byte_is_refused(files: dict[str, bytes], tiny_codec: Codec) -> None:
    for data in files.values():
        with pytest.raises(FormatError):
            tiny_codec.decompress(data + b"\0")


def test_random_payload_with_right_checksums_is_refused(tiny_codec: Codec) -> None:
    """Whoever forges every checksum but that of the symbols gets an error, not a hang."""
    data = (GOLDEN / "rgb-33x70-q0.gnc").read_bytes()
    header = read_container(data).header
    rng = np.random.default_rng(3)
    for _ in range(50):
        payload = rng.integers(0, 256, header.payload_size, np.uint8).tobytes()
        forged = bytearray(data[: header.payload_offset] + payload)
        forged[header.payload_offset - 8 : header.payload_offset - 4] = struct.pack("<I", zlib.crc32(payload))
        with pytest.raises(GancodecError):
            tiny_codec.decompress(bytes(forged))


@pytest.mark.parametrize("exif", [b"", b"Exif\0\0II*\0"])
def test_metadata_that_no_picture_can_hold_is_left_out_with_a_warning(
    exif: bytes, tiny_codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gancodec.container.file._check_chunks_to_write", lambda *_: None)
    container = read_container((GOLDEN / "rgb-33x70-q0.gnc").read_bytes())
    header = container.header
    data = write_container(
        mode=header.mode, width=header.width, height=header.height, model_id=header.model_id, quality=header.quality,
        uniform_tables=False, payload=container.payload, symbol_crc=header.symbol_crc, metadata={b"EXIF": exif},
    )  # fmt: skip
    with pytest.warns(DamagedMetadataWarning, match="EXIF"):
        assert tiny_codec.decompress(data).size == (33, 70)
    with pytest.raises(FormatError, match="EXIF"):
        tiny_codec.verify(data)
