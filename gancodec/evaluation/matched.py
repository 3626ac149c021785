"""Curves at equal rate: what each codec gives for a rate that somebody has in mind."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gancodec.errors import ConfigError
from gancodec.evaluation.columns import Metric
from gancodec.evaluation.results import Curve, RatePoint


def at_rates(curves: Sequence[Curve], metrics: Sequence[Metric], rates_bpp: Sequence[float]) -> tuple[RatePoint, ...]:
    """Every curve at every rate, lowest rate first, then each curve of one point at its own rate.

    rates_bpp: bits per pixel, finite and above 0.  Each metric of the mean curve is interpolated by PCHIP over the
    logarithm of the rate, on its rising scale (MS-SSIM in dB).  Nothing is extrapolated: None outside of the curve's
    points.  Raises ConfigError for rates that are none.
    """
    check_rates(rates_bpp)
    if not rates_bpp:
        return ()
    lines = [curve for curve in curves if len(curve.points) > 1]
    found = [
        RatePoint(codec=curve.codec, bpp=rate, values={each.key: _value_at(rate, curve, each) for each in metrics})
        for rate in sorted(set(rates_bpp))
        for curve in lines
    ]
    for curve in curves:
        if len(curve.points) == 1:
            (point,) = curve.points
            found.append(RatePoint(codec=curve.codec, bpp=point.bpp, values=point.values, is_own_rate=True))
    return tuple(found)


def check_rates(rates_bpp: Sequence[float]) -> None:
    """Raise ConfigError unless every rate is finite and above 0."""
    if not all(math.isfinite(rate) and rate > 0 for rate in rates_bpp):
        raise ConfigError(f"rates are {list(rates_bpp)}", hint="give bits per pixel, above 0")


def _value_at(rate: float, curve: Curve, metric: Metric) -> float | None:
    from scipy.interpolate import PchipInterpolator  # not needed to import the package

    # One value a rate: where two settings cost the same, the later one.  Lossless points have no finite PSNR.
    rising = {point.bpp: point.rising(metric) for point in curve.points}
    known = {bits: value for bits, value in rising.items() if value is not None}
    rates = sorted(known)
    if len(rates) < 2 or not rates[0] <= rate <= rates[-1]:
        return None
    line = PchipInterpolator(np.log(rates), [known[bits] for bits in rates])
    return metric.value(float(line(math.log(rate))))
