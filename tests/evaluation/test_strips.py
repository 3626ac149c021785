"""The same picture by several codecs at about the same size."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gancodec.evaluation import strips
from gancodec.evaluation.classical import classical
from gancodec.evaluation.coders import GancodecCoder, encode_within
from gancodec.evaluation.results import SweepResult
from gancodec.evaluation.strips import make_strips
from gancodec.evaluation.sweep import run_sweep


@pytest.fixture
def coders(fake_codec) -> list:
    return [GancodecCoder(fake_codec, qualities=[10, 40, 90], realisms=[0, 1]), classical("webp"), classical("avif")]


@pytest.fixture
def result(folder: Path, coders) -> SweepResult:
    return run_sweep([folder], coders)


def test_the_best_file_that_fits_is_found(photo: Image.Image) -> None:
    webp = classical("webp")
    limit = len(webp.encode(photo, 50))
    data, quality = encode_within(webp, photo, limit)
    assert len(data) <= limit < len(webp.encode(photo, quality + 1))
    assert quality >= 50


def test_where_nothing_fits_the_smallest_file_is_taken(photo: Image.Image, one_rate_codec) -> None:
    data, quality = encode_within(classical("jpeg"), photo, 10)
    assert quality == 5 and len(data) > 10
    assert encode_within(GancodecCoder(one_rate_codec, qualities=[0]), photo, 10)[1] is None


def test_versions_are_no_larger_than_the_first_and_show_what_was_decoded(
    folder: Path, coders, result: SweepResult
) -> None:
    made = make_strips([folder], result, coders, count=5)
    assert [strip.picture for strip in made] == ["photo0.png", "photo1.png"]
    for strip in made:
        first, lighter, webp, avif = strip.versions
        assert (first.codec, lighter.codec, webp.codec, avif.codec) == ("fake", "fake r=1", "WebP", "AVIF")
        assert first.size_bytes == lighter.size_bytes >= max(webp.size_bytes, avif.size_bytes)
        assert (webp.mime, len(webp.data)) == ("image/webp", webp.size_bytes)
        assert first.values["psnr"] > lighter.values["psnr"]
        with Image.open(folder / strip.picture) as picture, Image.open(io.BytesIO(strip.original)) as shown:
            assert np.array_equal(np.asarray(picture), np.asarray(shown.convert("RGB")))


def test_few_pictures_are_spread_over_all(folder: Path, coders, result: SweepResult) -> None:
    assert [strip.picture for strip in make_strips([folder], result, coders, count=1)] == ["photo0.png"]
    assert make_strips([folder], result, coders, count=0) == []
    without = replace(result, pictures=("photo1.png",))
    assert [strip.picture for strip in make_strips([folder], without, coders, count=8)] == ["photo1.png"]


def test_of_large_pictures_the_middle_is_shown(
    folder: Path, coders, result: SweepResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strips, "SHOWN_SIDE_PX", 64)
    (strip, _) = make_strips([folder], result, coders, count=2)
    assert (strip.width, strip.height) == (64, 64)
    with Image.open(folder / "photo0.png") as picture, Image.open(io.BytesIO(strip.original)) as shown:
        assert np.array_equal(np.asarray(picture)[52:116, 64:128], np.asarray(shown.convert("RGB")))
