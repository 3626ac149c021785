"""The same picture by another codec: never above the limit, near it, and in few slow steps."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from gancodec.evaluation.classical import ClassicalCodec
from gancodec.evaluation.coders import encode_within
from service import others
from service.others import TRIES, best_within, classical
from tests.tiny import made_picture

PHOTO = Image.fromarray(made_picture(8, 80, 112))


@pytest.mark.parametrize("name", ["avif", "webp", "jpeg"])
def test_the_file_is_within_the_limit_and_close_to_the_best(name: str) -> None:
    largest = len(classical(name).encode(PHOTO, 95.0))
    for limit in (largest // 8, largest // 2, 10 * largest):
        data, quality = best_within(name, PHOTO, limit)
        best, highest = encode_within(classical(name), PHOTO, limit)
        assert len(data) <= limit or quality <= 5
        assert highest is not None and quality >= highest - 4 and len(data) >= 0.9 * len(best)


def test_a_limit_below_all_files_gives_the_smallest() -> None:
    for name in ("avif", "webp"):
        assert best_within(name, PHOTO, 10) == (classical(name).encode(PHOTO, 0.0), 0.0)


def test_few_files_are_made_with_the_slow_options(monkeypatch: pytest.MonkeyPatch) -> None:
    speeds: list[Any] = []
    encode = ClassicalCodec.encode

    def counted(self: ClassicalCodec, picture: Image.Image, quality: float | None) -> bytes:
        speeds.append(self.options["speed"])
        return encode(self, picture, quality)

    monkeypatch.setattr(ClassicalCodec, "encode", counted)
    for limit in (10, 900, 2500, 6000, 10**6):
        speeds.clear()
        best_within("avif", PHOTO, limit)
        assert 1 <= speeds.count(4) <= TRIES


def test_drafts_that_mislead_still_give_a_file_within_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here they are far smaller than the files that they stand for."""
    monkeypatch.setattr(others, "FAST", {"webp": {"method": 6, "alpha_quality": 1}})
    encode = ClassicalCodec.encode

    def padded(self: ClassicalCodec, picture: Image.Image, quality: float | None) -> bytes:
        data = encode(self, picture, quality)
        slow = "alpha_quality" not in self.options
        return data + bytes(len(data) * int(quality or 0) if slow else 0)

    monkeypatch.setattr(ClassicalCodec, "encode", padded)
    limit = len(encode(classical("webp"), PHOTO, 50.0))
    data, _ = best_within("webp", PHOTO, limit)
    assert len(data) <= limit


def test_nothing_more_is_made_for_who_went_away() -> None:
    class Gone(Exception):
        pass

    calls = []

    def go_on() -> None:
        calls.append(1)
        if len(calls) > 2:
            raise Gone

    with pytest.raises(Gone):
        best_within("avif", PHOTO, 2000, go_on=go_on)
    assert len(calls) == 3
