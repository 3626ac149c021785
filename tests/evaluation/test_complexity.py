"""The shipped codec stays within its budget of arithmetic and bytes."""

from __future__ import annotations

from gancodec.codec import Codec
from gancodec.evaluation.complexity import complexity
from gancodec.registry import shipped_folder

MIB = 1 << 20


def test_shipped_codec_decodes_within_150_kmac_a_pixel(photo_codec: Codec) -> None:
    found = complexity("photo")
    assert 1 < found.decode_kmac <= 150
    assert found.parameters <= 14_000_000


def test_shipped_weights_stay_within_their_bytes(photo_codec: Codec) -> None:
    assert photo_codec.entry.size_bytes == photo_codec.entry.path.stat().st_size <= 28 * MIB
    folder = shipped_folder()
    assert folder is not None
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 40 * MIB
