"""Searching a quality for a size: with files that are nothing but long."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from gancodec.errors import LimitError
from gancodec.rate_search import Searched, refine, search, target_bytes

HIGHEST = 25_600


def plain(quality_256: int) -> bytes:
    return bytes(round(500 * math.exp(quality_256 / 6000)))


def smaller(share: float) -> Callable[[int], bytes]:
    return lambda quality_256: bytes(round(share * len(plain(quality_256))))


def counted(file_at: Callable[[int], bytes]) -> tuple[Callable[[int], bytes], list[int]]:
    tried: list[int] = []

    def at(quality_256: int) -> bytes:
        tried.append(quality_256)
        return file_at(quality_256)

    return at, tried


@pytest.mark.parametrize("target", [700, 3_333, 20_000])
def test_a_search_ends_within_1_percent(target: int) -> None:
    at, tried = counted(plain)
    found = search(at, target, HIGHEST)
    assert found.best is not None and 0.99 * target <= len(found.best) <= target
    assert found.sizes == {quality: len(plain(quality)) for quality in tried} and len(tried) <= 14


@pytest.mark.parametrize("share", [0.98, 0.93, 0.8, 1.02])
@pytest.mark.parametrize("target", [700, 3_333, 20_000])
def test_refined_files_use_the_room_that_they_make(target: int, share: float) -> None:
    at, tried = counted(smaller(share))
    data = refine(at, target, search(plain, target, HIGHEST), goes_on=lambda: True)
    assert 0.99 * target <= len(data) <= target and len(tried) <= 3
    assert len(data) == len(smaller(share)(tried[-1]))


def test_the_highest_quality_is_enough() -> None:
    found = search(plain, 10**9, HIGHEST)
    assert found.quality_256 == HIGHEST
    data = refine(smaller(0.9), 10**9, found, goes_on=lambda: True)
    assert len(data) == len(smaller(0.9)(HIGHEST))


def test_what_no_plain_file_reaches_may_be_in_reach_of_a_refined_one() -> None:
    found = search(plain, 480, HIGHEST)
    assert found.best is None
    assert len(refine(smaller(0.95), 480, found, goes_on=lambda: True)) == 475
    with pytest.raises(LimitError, match="450 bytes is out of reach: at quality 0 it has 500"):
        refine(smaller(0.95), 450, found, goes_on=lambda: True)


def test_no_file_is_smaller_than_a_byte() -> None:
    with pytest.raises(LimitError, match="0 bytes is out of reach"):
        refine(smaller(0.9), 0, search(plain, 0, HIGHEST), goes_on=lambda: True)


def test_told_to_stop_it_makes_no_further_file() -> None:
    at, tried = counted(smaller(0.8))
    data = refine(at, 5_000, search(plain, 5_000, HIGHEST), goes_on=lambda: False)
    assert len(tried) == 1 and len(data) == len(smaller(0.8)(tried[0]))


def test_a_refined_file_that_is_too_large_is_no_answer() -> None:
    found = search(plain, 5_000, HIGHEST)
    data = refine(smaller(3.0), 5_000, found, goes_on=lambda: False)
    assert data == found.best


def test_a_refined_file_of_a_lower_quality_must_be_larger_than_the_plain_one() -> None:
    found = search(plain, 5_000, HIGHEST)
    assert found.best is not None
    sizes = {found.quality_256: 5_050}
    asked: list[bool] = []

    def goes_on() -> bool:
        asked.append(not asked)
        return asked[-1]

    data = refine(lambda quality: bytes(sizes.get(quality, 4_250)), 5_000, found, goes_on=goes_on)
    assert data == found.best and asked == [True, False]


@pytest.mark.parametrize("share", [0.98, 0.8, 1.02])
def test_it_asks_whether_to_go_on_only_before_another_file(share: float) -> None:
    at, tried = counted(smaller(share))
    asked: list[int] = []
    refine(at, 3_333, search(plain, 3_333, HIGHEST), goes_on=lambda: not asked.append(len(tried)))  # type: ignore[func-returns-value]
    assert asked == list(range(1, len(tried)))


def test_sizes_that_fall_now_and_then_do_no_harm() -> None:
    def bumpy(quality_256: int) -> bytes:
        return bytes(len(plain(quality_256)) + (40 if quality_256 % 512 < 256 else 0))

    found = search(bumpy, 2_000, HIGHEST)
    assert found.best is not None and len(found.best) <= 2_000
    assert len(refine(bumpy, 2_000, found, goes_on=lambda: True)) <= 2_000


def test_a_share_that_leaps_with_quality_is_closed_in_on() -> None:
    def leaping(quality_256: int) -> bytes:
        return smaller(0.8 if quality_256 % 3000 < 1500 else 1.1)(quality_256)

    for target in (1_500, 3_333, 9_000, 20_000):
        at, tried = counted(leaping)
        data = refine(at, target, search(plain, target, HIGHEST), goes_on=lambda: True)
        assert 0.8 * target <= len(data) <= target and len(tried) == len(set(tried)) <= 6


def test_nothing_is_tried_twice() -> None:
    at, tried = counted(lambda quality_256: bytes(600))
    refine(at, 5_000, Searched(best=bytes(4_000), quality_256=12_000, sizes={0: 500, 12_000: 4_000, HIGHEST: 9_000}),
           goes_on=lambda: True)  # fmt: skip
    assert len(tried) == len(set(tried))


def test_bits_per_pixel_are_bytes_of_the_file() -> None:
    assert target_bytes(0.5, 100, 33) == 206
    assert target_bytes(1e9, 10, 10) == 1_600
