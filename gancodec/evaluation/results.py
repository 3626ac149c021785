"""What a sweep found: rows (picture and quality), curves (means over pictures), comparisons (BD-rates)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gancodec.errors import ConfigError
from gancodec.evaluation.bjontegaard import BdRate, NoSharedQuality, bd_rate
from gancodec.evaluation.columns import Metric, Unavailable

Values = Mapping[str, float | None]
"""By the key of a metric; None where a picture has no such value.  PSNR of equal pictures is infinite."""
Seconds = Mapping[str, float]
"""By part; the whole is called ``total``."""
TOTAL = "total"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One picture, encoded at one quality to a real file and decoded from it."""

    codec: str
    """Name of the curve, which may say the realism."""
    quality: float | None
    """In the codec's own scale; None if it has one rate only."""
    picture: str
    """The file's name; with its folder's where two have one name."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    size_bytes: int
    """Of the whole file."""
    bpp: float
    """Of the whole file, in bits per pixel."""
    values: Values
    encode_s: Seconds
    decode_s: Seconds
    realism: float | None = None
    """0..1; None for codecs that have no such choice."""
    effort: int | None = None
    """0..9; None for codecs that have no such choice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """Means over all pictures of each picture's value, for one codec at one quality."""

    quality: float | None
    """None for published points, whose settings are not ours to repeat, and for codecs of one rate."""
    bpp: float
    """Mean of the pictures' rates, in bits per pixel; not all bits by all pixels."""
    values: Values
    """PSNR is the mean of the pictures' PSNR in dB, not that of the mean MSE; MS-SSIM the linear mean.  None unless
    every picture has a value; infinite PSNR if one picture came back unchanged."""

    def value(self, metric: Metric) -> float | None:
        """The mean of that metric; None where there is none."""
        return self.values.get(metric.key)

    def rising(self, metric: Metric) -> float | None:
        """The mean on the metric's rising scale (`Metric.rising`), None where there is none or it is infinite."""
        value = self.value(metric)
        rising = None if value is None else metric.rising(value)
        return rising if rising is not None and math.isfinite(rising) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Mean seconds of a picture's encoding and decoding, over all pictures and qualities of a curve."""

    encode_s: Seconds
    decode_s: Seconds
    megapixels: float
    """Of a picture, on average."""
    load_s: float | None
    """Of the codec's weights; None for codecs that have none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """One codec's points, from its lowest setting to its highest, and how they came about."""

    codec: str
    settings: str
    points: tuple[Point, ...]
    source: str = ""
    """Where published points come from; empty for those measured in this run."""
    timing: Timing | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RatePoint:
    """A curve at a rate that was asked for; None wherever the curve has no value there."""

    codec: str
    bpp: float
    values: Values
    is_own_rate: bool = False
    """Whether the codec has this one point only: the rate is its own, nothing is interpolated."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """BD-rate of `codec` against `anchor`, or the reason why there is none."""

    codec: str
    anchor: Curve
    metric: Metric
    bd: BdRate | None
    """Range in the metric's rising scale."""
    reason: str = ""
    """Why `bd` is None."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EffortComparison:
    """A codec at one effort against itself at another one."""

    codec: str
    anchor: str
    encode_ratio: float
    """Median over pictures and qualities of a file's encoding time by that of the anchor's file."""
    comparisons: tuple[Comparison, ...]
    """One a metric."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """A picture that is in no mean, because it could not be read or one of the codecs refused it."""

    picture: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepResult:
    """Everything that a sweep found; the first curve is that of the codec under test."""

    metrics: tuple[Metric, ...]
    pictures: tuple[str, ...]
    """Names of the pictures in the means."""
    rows: tuple[Row, ...]
    curves: tuple[Curve, ...]
    references: tuple[Curve, ...]
    """Published curves on the same pictures."""
    comparisons: tuple[Comparison, ...]
    """The first curve against the others with two points or more, but not against a codec's further efforts."""
    skipped: tuple[Skipped, ...]
    efforts: tuple[EffortComparison, ...] = ()
    """Each codec's further efforts against its first one."""
    unavailable: tuple[Unavailable, ...] = ()
    """Metrics that were asked for and could not be had."""
    at_rates: tuple[RatePoint, ...] = ()
    """Every curve at the rates that were asked for, rate by rate, and codecs of one point at the end."""
    peak_bytes: Mapping[str, int] = field(default_factory=dict)
    """Most memory that the process, and a GPU, had in use, over all codecs together."""


def mean_point(rows: Sequence[Row], metrics: Sequence[Metric], whole: Values) -> Point:
    """The point of one codec at one quality.

    rows: one a picture, not empty.  whole: values of the metrics of all pictures together.
    """
    values = {metric.key: mean_of_all([row.values[metric.key] for row in rows]) for metric in metrics if metric.measure}
    return Point(quality=rows[0].quality, bpp=_mean([row.bpp for row in rows]), values={**values, **whole})


def mean_timing(rows: Sequence[Row], load_s: float | None) -> Timing:
    """The timing of one codec; rows: all of its, not empty."""
    return Timing(
        encode_s={part: _mean([row.encode_s.get(part, 0.0) for row in rows]) for part in rows[0].encode_s},
        decode_s={part: _mean([row.decode_s.get(part, 0.0) for row in rows]) for part in rows[0].decode_s},
        megapixels=_mean([row.width * row.height / 1e6 for row in rows]),
        load_s=load_s,
    )


def compare(curve: Curve, anchor: Curve, metric: Metric) -> Comparison:
    """BD-rate of `curve` against `anchor` over their shared range of a metric, on its rising scale."""
    bd, reason = None, ""
    # One pair without a figure is an entry in the table, not the end of a long run.
    try:
        bd = bd_rate(*_rates_and_qualities(curve, metric), *_rates_and_qualities(anchor, metric))
    except NoSharedQuality as exc:
        own, other = (_range(ends, metric) for ends in exc.ranges)
        reason = f"no shared range: {curve.codec} {own}, {anchor.codec} {other}"
    except ConfigError as exc:
        reason = exc.message.replace("curve a", curve.codec).replace("curve b", anchor.codec)
    return Comparison(codec=curve.codec, anchor=anchor, metric=metric, bd=bd, reason=reason)


def _range(ends: tuple[float, float], metric: Metric) -> str:
    """Two values on the metric's rising scale, as people read the metric."""
    low, high = sorted(map(metric.value, ends))
    return f"{low:.{metric.digits}f}–{high:.{metric.digits}f}"


def _rates_and_qualities(curve: Curve, metric: Metric) -> tuple[list[float], list[float]]:
    pairs = [(point.bpp, point.rising(metric)) for point in curve.points]
    finite = [(rate, quality) for rate, quality in pairs if quality is not None]
    return [rate for rate, _ in finite], [quality for _, quality in finite]


def mean_of_all(values: Sequence[float | None]) -> float | None:
    """The mean, or None unless all have a value."""
    known = [value for value in values if value is not None]
    # A mean over fewer pictures than the other columns' would look comparable without being it.
    return _mean(known) if len(known) == len(values) else None


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
