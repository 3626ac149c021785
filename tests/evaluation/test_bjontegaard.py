"""BD-rates against closed forms and against what published curves give."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gancodec.errors import ConfigError
from gancodec.evaluation.bjontegaard import NoSharedQuality, bd_rate
from gancodec.evaluation.published import kodak_curves

RATES = [0.1, 0.2, 0.45, 0.9, 1.7]
QUALITIES = [26.0, 29.0, 32.5, 36.0, 40.0]


@pytest.mark.parametrize(
    ("name", "percent"), [("bmshj2018-hyperprior", 30.5), ("mbt2018-mean", 21.3), ("mbt2018", 11.0)]
)
def test_published_models_against_published_vtm(name: str, percent: float) -> None:
    curves = kodak_curves()
    found = bd_rate(*pairs(curves[name].points), *pairs(curves["vtm"].points))
    assert found.percent == pytest.approx(percent, abs=0.05)
    assert found.dropped == 0


def test_the_shared_range_is_that_of_both_curves() -> None:
    curves = kodak_curves()
    found = bd_rate(*pairs(curves["bmshj2018-hyperprior"].points), *pairs(curves["vtm"].points))
    assert (found.low, found.high) == (27.5815, 40.5569)


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.3, 3.0])
def test_a_constant_factor_in_rate_is_found_exactly(factor: float) -> None:
    found = bd_rate([factor * rate for rate in RATES], QUALITIES, RATES, QUALITIES)
    assert found.percent == pytest.approx(100 * (factor - 1), abs=1e-9)


def test_straight_lines_of_log_rate_give_the_mean_of_their_difference() -> None:
    """ln R_a = q/4 and ln R_b = q/5 on 0..8 and 4..12: the mean of q/20 over 4..8 is 0.3."""
    a, b = np.linspace(0, 8, 5), np.linspace(4, 12, 3)
    found = bd_rate(list(np.exp(a / 4)), list(a), list(np.exp(b / 5)), list(b))
    assert found.percent == pytest.approx(100 * math.expm1(0.3))
    assert (found.low, found.high) == (4, 8)


def test_swapping_the_codecs_inverts_the_factor() -> None:
    other = [1.1 * rate**1.1 for rate in RATES]
    there, back = bd_rate(other, QUALITIES, RATES, QUALITIES), bd_rate(RATES, QUALITIES, other, QUALITIES)
    assert (1 + there.percent / 100) * (1 + back.percent / 100) == pytest.approx(1)


def test_the_order_of_points_does_not_matter() -> None:
    found = bd_rate(RATES[::-1], QUALITIES[::-1], RATES, QUALITIES)
    assert found.percent == pytest.approx(0, abs=1e-12)


def test_points_outside_the_shared_range_do_not_extrapolate() -> None:
    """Beyond the shared range a curve's points shape it at most by the slope at the end."""
    far = bd_rate([*RATES, 1000.0], [*QUALITIES, 41.0], RATES, QUALITIES)
    assert far.high == 40.0
    assert abs(far.percent) < 5


@pytest.mark.parametrize(
    ("rate", "quality"),
    [(1.8, 39.0), (0.5, 32.5), (0.45, 31.0), (1.7, 40.0)],
    ids=["dearer and worse", "dearer and equal", "equally dear and worse", "the same twice"],
)
def test_dominated_points_are_left_out_and_counted(rate: float, quality: float) -> None:
    found = bd_rate([*RATES, rate], [*QUALITIES, quality], RATES, QUALITIES)
    assert found.percent == pytest.approx(0, abs=1e-12)
    assert found.dropped == 1


@pytest.mark.parametrize(
    ("rates", "qualities"),
    [
        ([0.1, 0.2], [10.0, 20.0]),
        ([0.1, 0.2], [10.0, 26.0]),
        ([0.1], [30.0]),
        ([], []),
        ([0.1, 0.2], [35.0, 30.0]),
        ([0.1, 0.2, 0.3], [30.0, 31.0]),
        ([0.0, 0.2], [30.0, 31.0]),
        ([-0.1, 0.2], [30.0, 31.0]),
        ([0.1, math.nan], [30.0, 31.0]),
        ([0.1, 0.2], [30.0, math.inf]),
    ],
    ids=[
        "no overlap", "ranges touch only", "one point", "no point", "one point left", "lengths differ", "rate 0",
        "rate below 0", "nan", "lossless point",
    ],
)  # fmt: skip
def test_curves_without_an_answer_are_refused(rates: list[float], qualities: list[float]) -> None:
    with pytest.raises(ConfigError) as first:
        bd_rate(rates, qualities, RATES, QUALITIES)
    with pytest.raises(ConfigError):
        bd_rate(RATES, QUALITIES, rates, qualities)
    assert first.value.hint


@pytest.mark.parametrize("qualities", [[10.0, 20.0], [10.0, 26.0]], ids=["no overlap", "ranges touch only"])
def test_curves_that_share_no_quality_have_an_error_of_their_own(qualities: list[float]) -> None:
    with pytest.raises(NoSharedQuality, match=f"10 to {qualities[1]:g} and 26 to 40"):
        bd_rate([0.1, 0.2], qualities, RATES, QUALITIES)


def test_a_curve_with_too_few_points_is_named_and_is_no_lack_of_shared_quality() -> None:
    with pytest.raises(ConfigError, match="curve a has 1 of the 2 points") as first:
        bd_rate([0.1], [30.0], RATES, QUALITIES)
    with pytest.raises(ConfigError, match="curve b has 1 of the 2 points") as second:
        bd_rate(RATES, QUALITIES, [0.1], [30.0])
    assert NoSharedQuality not in (first.type, second.type)


def pairs(points) -> tuple[list[float], list[float]]:
    return [point.bpp for point in points], [point.values["psnr"] for point in points]
