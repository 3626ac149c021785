"""Curves at equal rate: what each codec gives for a rate that somebody has in mind."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gancodec.errors import ConfigError
from gancodec.evaluation.results import Curve, RatePoint


def at_rates(curves: Sequence[Curve], rates_bpp: Sequence[float]) -> tuple[RatePoint, ...]:
    """Every curve at every rate, lowest rate first, then each curve of one point at its own rate.

    rates_bpp: bits per pixel, finite and above 0.  Each measure of the mean curve is interpolated by PCHIP over the
    logarithm of the rate, MS-SSIM in dB.  Nothing is extrapolated: None outside of the curve's points.
    Raises ConfigError for rates that are none.
    """
    check_rates(rates_bpp)
    if not rates_bpp:
        return ()
    lines = [curve for curve in curves if len(curve.points) > 1]
    found = [_interpolated(curve, rate) for rate in sorted(set(rates_bpp)) for curve in lines]
    for curve in curves:
        if len(curve.points) == 1:
            (point,) = curve.points
            found.append(
                RatePoint(
                    codec=curve.codec,
                    bpp=point.bpp,
                    psnr=point.psnr,
                    ms_ssim_db=point.ms_ssim_db,
                    lpips=point.lpips,
                    is_own_rate=True,
                )
            )
    return tuple(found)


def check_rates(rates_bpp: Sequence[float]) -> None:
    """Raise ConfigError unless every rate is finite and above 0."""
    if not all(math.isfinite(rate) and rate > 0 for rate in rates_bpp):
        raise ConfigError(f"rates are {list(rates_bpp)}", hint="give bits per pixel, above 0")


def _interpolated(curve: Curve, rate: float) -> RatePoint:
    return RatePoint(
        codec=curve.codec,
        bpp=rate,
        psnr=_value_at(rate, [(point.bpp, point.psnr) for point in curve.points]),
        ms_ssim_db=_value_at(rate, [(point.bpp, point.ms_ssim_db) for point in curve.points]),
        lpips=_value_at(rate, [(point.bpp, point.lpips) for point in curve.points]),
    )


def _value_at(rate: float, points: Sequence[tuple[float, float | None]]) -> float | None:
    from scipy.interpolate import PchipInterpolator  # not needed to import the package

    # One value a rate: where two settings cost the same, the later one.  Lossless points have no finite PSNR.
    known = {bits: value for bits, value in points if value is not None and math.isfinite(value)}
    rates = sorted(known)
    if len(rates) < 2 or not rates[0] <= rate <= rates[-1]:
        return None
    curve = PchipInterpolator(np.log(rates), [known[bits] for bits in rates])
    return float(curve(math.log(rate)))
