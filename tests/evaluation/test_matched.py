"""Curves at equal rate, against values worked by hand."""

from __future__ import annotations

import math

import pytest

from gancodec.errors import ConfigError
from gancodec.evaluation import matched
from gancodec.evaluation.columns import MS_SSIM, PSNR, Metric
from gancodec.evaluation.results import Curve, Point, RatePoint

LPIPS = Metric(key="lpips", label="LPIPS", digits=4, lower_is_better=True, measure=lambda a, b: 0.0)


def at_rates(curves: list[Curve], rates: list[float]) -> tuple[RatePoint, ...]:
    return matched.at_rates(curves, [PSNR, MS_SSIM, LPIPS], rates)


def curve(*points: Point, name: str = "c") -> Curve:
    return Curve(codec=name, settings="", points=points)


def point(bpp: float, psnr: float, ms_ssim: float | None = None, lpips: float | None = None) -> Point:
    return Point(quality=None, bpp=bpp, values={"psnr": psnr, "ms-ssim": ms_ssim, "lpips": lpips})


def test_between_two_points_every_measure_is_linear_in_log_rate() -> None:
    """0.2 is half-way from 0.1 to 0.4 on a logarithmic axis; MS-SSIM of 10 and 20 dB has 15 dB there."""
    (found,) = at_rates([curve(point(0.1, 30, 0.9, 0.5), point(0.4, 34, 0.99, 0.2))], [0.2])
    assert (found.bpp, found.is_own_rate) == (0.2, False)
    assert found.values["psnr"] == pytest.approx(32)
    assert found.values["ms-ssim"] == pytest.approx(1 - 10**-1.5)
    assert found.values["lpips"] == pytest.approx(0.35)


def test_at_its_points_a_curve_has_its_values() -> None:
    points = [point(0.1, 30), point(0.3, 32.5), point(0.7, 32), point(1.1, 38)]
    found = at_rates([curve(*points)], [point.bpp for point in points])
    assert [value.values["psnr"] for value in found] == pytest.approx([point.values["psnr"] for point in points])


def test_between_points_pchip_does_not_overshoot() -> None:
    step = curve(point(0.1, 30), point(0.2, 30), point(0.4, 40), point(0.8, 40))
    values = [found.values["psnr"] for found in at_rates([step], [0.1 * 1.1**index for index in range(21)])]
    assert all(30 <= value <= 40 for value in values)
    assert values == sorted(values)


@pytest.mark.parametrize("rate", [0.0999, 0.4001])
def test_nothing_is_extrapolated(rate: float) -> None:
    (found,) = at_rates([curve(point(0.1, 30, 0.9, 0.5), point(0.4, 34, 0.99, 0.2))], [rate])
    assert dict(found.values) == {"psnr": None, "ms-ssim": None, "lpips": None}


def test_rates_rise_and_codecs_of_one_point_come_last_at_their_own() -> None:
    two = (point(0.1, 30), point(0.4, 34))
    found = at_rates([curve(*two, name="a"), curve(point(0.03, 22, 0.9), name="x"), curve(*two, name="b")], [0.3, 0.1])
    assert [(value.codec, value.bpp, value.is_own_rate) for value in found] == [
        ("a", 0.1, False), ("b", 0.1, False), ("a", 0.3, False), ("b", 0.3, False), ("x", 0.03, True),
    ]  # fmt: skip
    assert (found[-1].values["psnr"], found[-1].values["ms-ssim"]) == (22, pytest.approx(0.9))


def test_values_that_are_missing_or_infinite_leave_the_other_measures_alone() -> None:
    points = [point(0.1, 30, 0.9), point(0.4, 34), point(0.9, math.inf, 0.99)]
    (found,) = at_rates([curve(*points)], [0.3])
    assert found.values["psnr"] is not None
    assert found.values["ms-ssim"] is not None
    assert found.values["lpips"] is None
    (beyond,) = at_rates([curve(*points)], [0.5])
    assert beyond.values["psnr"] is None


def test_two_settings_of_one_rate_are_no_error() -> None:
    (found,) = at_rates([curve(point(0.1, 30), point(0.1, 31), point(0.4, 35))], [0.2])
    assert found.values["psnr"] == pytest.approx(33)


@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf])
def test_impossible_rates_are_refused(rate: float) -> None:
    with pytest.raises(ConfigError, match="rates"):
        at_rates([], [0.2, rate])


def test_without_rates_there_is_nothing() -> None:
    assert at_rates([curve(point(0.1, 30))], []) == ()
