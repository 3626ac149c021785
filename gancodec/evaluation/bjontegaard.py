"""Bjøntegaard's rate difference: how many more bits one codec needs than another for the same quality.

Bjøntegaard, "Calculation of average PSNR differences between RD-curves", VCEG-M33, 2001, with two changes that have
become usual: piecewise cubic Hermite interpolation that keeps monotony (PCHIP, Fritsch and Carlson 1980) in place of
one cubic through all points, and any number of points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gancodec.errors import ConfigError


class NoSharedQuality(ConfigError):
    """Two curves without a quality that both reach; ``ranges`` are those of a and of b."""

    def __init__(self, ranges: tuple[tuple[float, float], tuple[float, float]]) -> None:
        told = " and ".join(f"{low:.4g} to {high:.4g}" for low, high in ranges)
        super().__init__(f"the curves share no quality: {told}", hint="measure more settings of either codec")
        self.ranges = ranges


class BdRate(NamedTuple):
    """What `bd_rate` found, and over which range: a percentage without its range says little."""

    percent: float
    """Mean difference in rate of a from b at equal quality: −20 says that a needs 20 % fewer bits than b."""
    low: float
    """Lowest quality that both curves reach, in the unit of the quality given."""
    high: float
    """Highest quality that both curves reach."""
    dropped: int = 0
    """Points of both curves left out because another point of the same curve costs no more and is no worse."""


def bd_rate(
    rate_a: Sequence[float], quality_a: Sequence[float], rate_b: Sequence[float], quality_b: Sequence[float]
) -> BdRate:
    """Return the mean rate of codec a relative to codec b, which is the anchor, at equal quality.

    rate: bits per pixel (any unit, the same for both), > 0.  quality: higher is better (PSNR in dB, MS-SSIM in dB; not
    linear MS-SSIM, whose steps are not alike).  One entry per setting of the codec, in any order.

        percent = 100 · (exp( 1/(high − low) · ∫ ln R_a(q) − ln R_b(q) dq ) − 1),   q from low to high

    ln R is interpolated over q by PCHIP and its polynomials are integrated exactly, over the shared range of quality
    only: nothing is extrapolated.

    Interpolation over quality needs it to rise with the rate.  Points that break this are dominated: another setting
    of the same codec costs no more and is no worse, so nobody would choose them.  They are dropped and counted.

    Raises NoSharedQuality for curves that share no range of quality; ConfigError for fewer than two points that are
    left, and for rates or qualities that are not finite and positive (lossless points have no PSNR).
    """
    from scipy.interpolate import PchipInterpolator  # not needed to import the package

    curve_a, curve_b = _rising(rate_a, quality_a, "a"), _rising(rate_b, quality_b, "b")
    low = max(curve_a[0][1], curve_b[0][1])
    high = min(curve_a[-1][1], curve_b[-1][1])
    if not low < high:
        ranges = (curve_a[0][1], curve_a[-1][1]), (curve_b[0][1], curve_b[-1][1])
        raise NoSharedQuality(ranges)
    mean_log = []
    for curve in (curve_a, curve_b):
        rate, quality = np.array(curve, dtype=np.float64).T
        mean_log.append(float(PchipInterpolator(quality, np.log(rate)).integrate(low, high)) / (high - low))
    dropped = len(rate_a) + len(rate_b) - len(curve_a) - len(curve_b)
    return BdRate(percent=100 * math.expm1(mean_log[0] - mean_log[1]), low=low, high=high, dropped=dropped)


def _rising(rate: Sequence[float], quality: Sequence[float], name: str) -> list[tuple[float, float]]:
    """(rate, quality) of the points that no other point dominates; both rise strictly from one to the next."""
    if len(rate) != len(quality):
        raise ConfigError(f"curve {name} has {len(rate)} rates and {len(quality)} qualities", hint="give pairs")
    for bits, value in zip(rate, quality, strict=True):
        if not (math.isfinite(bits) and bits > 0 and math.isfinite(value)):
            hint = "rates are above 0 and both numbers finite; leave lossless points out"
            raise ConfigError(f"curve {name} has the point {bits}, {value}", hint=hint)
    kept: list[tuple[float, float]] = []
    # From the cheapest up, at equal rate the best first: whoever does not improve on what came before is dominated.
    for point in sorted(zip(rate, quality, strict=True), key=lambda point: (point[0], -point[1])):
        if not kept or point[1] > kept[-1][1]:
            kept.append((float(point[0]), float(point[1])))
    if len(kept) < 2:
        raise ConfigError(f"curve {name} has {len(kept)} of the 2 points it needs", hint="measure more settings")
    return kept
