"""What a sweep found: rows (picture and quality), curves (means over pictures), comparisons (BD-rates)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gancodec.errors import ConfigError
from gancodec.evaluation.bjontegaard import BdRate, bd_rate
from gancodec.evaluation.metrics import ms_ssim_db

MetricName = Literal["PSNR", "MS-SSIM"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One picture, encoded at one quality to a real file and decoded from it."""

    codec: str
    """Name of the curve, which may say the realism."""
    quality: float | None
    """In the codec's own scale; None if it has one rate only."""
    picture: str
    """The file's name, without its folder."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    size_bytes: int
    """Of the whole file."""
    bpp: float
    """Of the whole file, in bits per pixel."""
    psnr: float
    """dB, 8-bit RGB; inf if the decoded picture equals the original."""
    ms_ssim: float | None
    """0..1, linear; None for sides under 161 pixels."""
    realism: float | None = None
    """0..1; None for codecs that have no such choice."""
    lpips: float | None = None
    """Perceptual distance, lower is better (`SweepResult.perceptual` says which); None if not asked for, and for
    sides that are too short."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """Means over all pictures of each picture's value, for one codec at one quality."""

    quality: float | None
    """None for published points, whose settings are not ours to repeat, and for codecs of one rate."""
    bpp: float
    """Mean of the pictures' rates, in bits per pixel; not all bits by all pixels."""
    psnr: float
    """Mean of the pictures' PSNR in dB; not the PSNR of the mean MSE.  inf if one picture came back unchanged."""
    ms_ssim: float | None
    """Mean of the pictures' linear MS-SSIM; None unless every picture has one."""
    lpips: float | None = None
    """Mean of the pictures' perceptual distances; None unless every picture has one."""

    @property
    def ms_ssim_db(self) -> float | None:
        """The mean on the scale in dB, as in published tables; the mean of the pictures' dB would be higher."""
        return None if self.ms_ssim is None else ms_ssim_db(self.ms_ssim)


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """One codec's points, from its lowest setting to its highest, and how they came about."""

    codec: str
    settings: str
    points: tuple[Point, ...]
    source: str = ""
    """Where published points come from; empty for those measured in this run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RatePoint:
    """A curve at a rate that was asked for; None wherever the curve has no value there."""

    codec: str
    bpp: float
    psnr: float | None
    ms_ssim_db: float | None
    lpips: float | None
    is_own_rate: bool = False
    """Whether the codec has this one point only: the rate is its own, nothing is interpolated."""

    @property
    def ms_ssim(self) -> float | None:
        """Linear, 0..1."""
        return None if self.ms_ssim_db is None else 1 - 10 ** (-self.ms_ssim_db / 10)


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """BD-rate of `codec` against `anchor`, or the reason why there is none."""

    codec: str
    anchor: Curve
    metric: MetricName
    bd: BdRate | None
    """Range in dB."""
    reason: str = ""
    """Why `bd` is None."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """A picture that is in no mean, because it could not be read or one of the codecs refused it."""

    picture: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepResult:
    """Everything that a sweep found; the first curve is that of the codec under test."""

    pictures: tuple[str, ...]
    """Names of the pictures in the means."""
    rows: tuple[Row, ...]
    curves: tuple[Curve, ...]
    references: tuple[Curve, ...]
    """Published curves on the same pictures."""
    comparisons: tuple[Comparison, ...]
    """Those of curves with two points or more."""
    skipped: tuple[Skipped, ...]
    perceptual: str = ""
    """What the numbers called `lpips` are, such as LPIPS (alex); empty if they were not asked for."""
    at_rates: tuple[RatePoint, ...] = ()
    """Every curve at the rates that were asked for, rate by rate, and codecs of one point at the end."""


def mean_point(rows: Sequence[Row]) -> Point:
    """The point of one codec at one quality; `rows` has one row a picture and is not empty."""
    return Point(
        quality=rows[0].quality,
        bpp=_mean([row.bpp for row in rows]),
        psnr=_mean([row.psnr for row in rows]),
        ms_ssim=_mean_of_all([row.ms_ssim for row in rows]),
        lpips=_mean_of_all([row.lpips for row in rows]),
    )


def compare(curve: Curve, anchor: Curve, metric: MetricName) -> Comparison:
    """BD-rate of `curve` against `anchor` over their shared range of PSNR or MS-SSIM, both in dB."""
    try:
        bd = bd_rate(*_rates_and_qualities(curve, metric), *_rates_and_qualities(anchor, metric))
    except ConfigError as exc:
        # One pair without a shared range is an entry in the table, not the end of a long run.
        return Comparison(codec=curve.codec, anchor=anchor, metric=metric, bd=None, reason=exc.message)
    return Comparison(codec=curve.codec, anchor=anchor, metric=metric, bd=bd)


def _rates_and_qualities(curve: Curve, metric: MetricName) -> tuple[list[float], list[float]]:
    pairs = [(point.bpp, point.psnr if metric == "PSNR" else point.ms_ssim_db) for point in curve.points]
    # Points with a picture that came back unchanged have no finite mean; pictures under 161 pixels no MS-SSIM.
    finite = [(rate, quality) for rate, quality in pairs if quality is not None and math.isfinite(quality)]
    return [rate for rate, _ in finite], [quality for _, quality in finite]


def _mean_of_all(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    # A mean over fewer pictures than the other columns' would look comparable without being it.
    return _mean(known) if len(known) == len(values) else None


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
