"""Rate–distortion curves as SVG, for a page that needs no script to show them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from gancodec.evaluation.columns import Metric
from gancodec.evaluation.plot import COLOURS, drawn_references, looks, rate_window
from gancodec.evaluation.results import Curve, Point, SweepResult, Values

_WIDTH, _HEIGHT = 480, 330
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 470, 10, 284
"""The field inside the axes, in units of the drawing."""
_MARKS: Final = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0Z",
    "M-3.7-3.7H3.7V3.7H-3.7Z",
    "M0-5L5 0L0 5L-5 0Z",
    "M0-4.8L4.8 3.6H-4.8Z",
    "M0 4.8L4.8-3.6H-4.8Z",
    "M-1.6-4.8H1.6V-1.6H4.8V1.6H1.6V4.8H-1.6V1.6H-4.8V-1.6H-1.6Z",
    "M-4.5-2.3L-2.3-4.5L0-2.2L2.3-4.5L4.5-2.3L2.2 0L4.5 2.3L2.3 4.5L0 2.2L-2.3 4.5L-4.5 2.3L-2.2 0Z",
    "M0-5.2L1.5-1.6L5.2-1.6L2.2 0.8L3.3 4.5L0 2.3L-3.3 4.5L-2.2 0.8L-5.2-1.6L-1.5-1.6Z",
)
_PUBLISHED_MARK: Final = "M-2.6 0a2.6 2.6 0 1 0 5.2 0a2.6 2.6 0 1 0-5.2 0Z"
_DASHES: Final = ("7 4", "9 3 2 3", "2 3", "14 4", "5 2 1 2 1 2", "1 4")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownCurve:
    """A curve and its looks."""

    curve: Curve
    number: int
    kind: str
    """Classes in report.css."""
    colour: str
    dash: str
    mark: str
    metrics: frozenset[str]
    """Keys of those in whose charts it is."""

    def group(self, content: str) -> str:
        """SVG in the looks of the curve."""
        return f'<g class="curve-{self.number} {self.kind}" style="--colour: {self.colour}">{content}</g>'

    def line(self, path: str) -> str:
        """SVG of the curve along a path."""
        dash = f' stroke-dasharray="{self.dash}"' if self.dash else ""
        return f'<path class="line" d="{path}"{dash} />'

    def hiding(self) -> str:
        """CSS by which the curve's box in the legend switches it off, without script."""
        return f"body:has(#show-{self.number}:not(:checked)) .plot .curve-{self.number} {{ display: none; }}"


def shown_curves(result: SweepResult) -> list[ShownCurve]:
    """Measured curves in colour, the first one strongest, then published ones grey and dashed."""
    shown = []
    for number, (curve, look) in enumerate(zip(result.curves, looks(result.curves), strict=True)):
        turn, place = divmod(look, len(COLOURS))
        shown.append(
            ShownCurve(
                curve=curve,
                number=number,
                kind="measured first" if number == 0 else "measured",
                colour=COLOURS[place],
                dash="",
                mark=_MARKS[(place + turn) % len(_MARKS)],  # two curves of one colour differ in their marks
                metrics=frozenset(metric.key for metric in result.metrics if _drawable(curve, metric)),
            )
        )
    drawn = {metric.key: drawn_references(result, metric) for metric in result.metrics}
    published = [curve for curve in result.references if any(curve in curves for curves in drawn.values())]
    for place, curve in enumerate(published):
        shown.append(
            ShownCurve(
                curve=curve,
                number=len(shown),
                kind="published",
                colour="gray",
                dash=_DASHES[place % len(_DASHES)],
                mark=_PUBLISHED_MARK,
                metrics=frozenset(key for key, curves in drawn.items() if curve in curves),
            )
        )
    return shown


def charts(result: SweepResult, shown: Sequence[ShownCurve]) -> str:
    """A chart for each metric that has values, under one legend: HTML."""
    window = rate_window(result)
    drawn = [chart for metric in result.metrics if (chart := _chart(metric, shown, window))]
    if not drawn:
        return '<p class="about">None of the metrics has a value that could be drawn.</p>'
    keys = "\n".join(_key(each) for each in shown)
    return (
        f'<div class="legend" role="group" aria-label="Curves to show">\n{keys}\n</div>\n'
        f'<div class="charts">\n{chr(10).join(drawn)}\n</div>'
    )


def _key(each: ShownCurve) -> str:
    sample = each.group(each.line("M0 8H32") + f'<path class="mark" transform="translate(16 8)" d="{each.mark}" />')
    settings = each.curve.settings.split(";")[0]
    return (
        f'<label class="key"><input type="checkbox" id="show-{each.number}" checked autocomplete="off">'
        f'<svg class="swatch" viewBox="0 0 32 16" aria-hidden="true">{sample}</svg>'
        f"<span>{escape(each.curve.codec)} <small>{escape(settings)}</small></span></label>"
    )


def _drawable(curve: Curve, metric: Metric) -> list[tuple[Point, float]]:
    """Points with their finite values on the metric's scale."""
    found = []
    for point in curve.points:
        value = point.value(metric)
        scaled = metric.to_scale(value) if metric.to_scale and value is not None else value
        if scaled is not None and math.isfinite(scaled):
            found.append((point, scaled))
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class _Axes:
    """From bits per pixel and a metric's scale to the drawing."""

    low: float
    high: float
    bottom: float
    top: float

    def x(self, bpp: float) -> float:
        """Logarithmic: equal distances are equal percentages, as in a BD-rate."""
        return _LEFT + (_RIGHT - _LEFT) * math.log(bpp / self.low) / math.log(self.high / self.low)

    def y(self, value: float) -> float:
        """Linear, upwards."""
        return _BOTTOM - (_BOTTOM - _TOP) * (value - self.bottom) / (self.top - self.bottom)


def _chart(metric: Metric, shown: Sequence[ShownCurve], window: tuple[float, float]) -> str:
    """Empty if nothing can be seen in it."""
    low, high = window
    label = metric.scale_label or metric.label
    points = {each.number: _drawable(each.curve, metric) for each in shown if metric.key in each.metrics}
    visible = [value for own in points.values() for point, value in own if low <= point.bpp <= high]
    if not visible:
        return ""
    pad = 0.05 * (max(visible) - min(visible)) or 1.0
    axes = _Axes(low=low, high=high, bottom=min(visible) - pad, top=max(visible) + pad)
    clip = f"field-{metric.key}"
    curves = []
    for number, own in reversed(points.items()):  # the codec under test on top
        each = shown[number]
        path = "M" + "L".join(f"{axes.x(point.bpp):.1f} {axes.y(value):.1f}" for point, value in own)
        line = f'<g clip-path="url(#{escape(clip)})">{each.line(path)}</g>' if len(own) > 1 else ""
        marks = (_mark(each, metric, axes, point, value) for point, value in own if low <= point.bpp <= high)
        curves.append(each.group(line + "".join(marks)))
    sense = "lower is better" if metric.lower_is_better else "higher is better"
    field = f'x="{_LEFT}" y="{_TOP}" width="{_RIGHT - _LEFT}" height="{_BOTTOM - _TOP}"'
    return (
        f'<figure class="chart">\n<figcaption><b>{escape(label)}</b> <small>{sense}</small></figcaption>\n'
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="group" '
        f'aria-label="{escape(label)} over bits per pixel, {sense}; arrow keys go from point to point">\n'
        f'<clipPath id="{escape(clip)}"><rect {field} /></clipPath>\n'
        f"{_scales(axes)}\n{chr(10).join(curves)}\n</svg>\n"
        '<p class="tip" aria-hidden="true" hidden></p>\n</figure>'
    )


def _mark(each: ShownCurve, metric: Metric, axes: _Axes, point: Point, scaled: float) -> str:
    setting = "one rate" if point.quality is None else f"quality {point.quality:g}"
    if each.curve.source:
        setting = "published"
    lines = [each.curve.codec, setting, f"{point.bpp:.4f} bpp", named_value(metric, point.values)]
    if metric.to_scale:
        lines.append(f"{metric.scale_label} {scaled:.2f}")
    place = f"translate({axes.x(point.bpp):.1f} {axes.y(scaled):.1f})"
    title = escape("\n".join(lines))
    return f'<path class="mark" transform="{place}" d="{each.mark}"><title>{title}</title></path>'


def _scales(axes: _Axes) -> str:
    parts = []
    for bpp in _rate_ticks(axes.low, axes.high):
        x = f"{axes.x(bpp):.1f}"
        parts.append(f'<path class="grid" d="M{x} {_TOP}V{_BOTTOM}" />')
        parts.append(f'<text class="tick" x="{x}" y="{_BOTTOM + 18}">{bpp:g}</text>')
    for value, text in _levels(axes.bottom, axes.top):
        y = f"{axes.y(value):.1f}"
        parts.append(f'<path class="grid" d="M{_LEFT} {y}H{_RIGHT}" />')
        parts.append(f'<text class="level" x="{_LEFT - 7}" y="{y}">{text}</text>')
    parts.append(f'<path class="axis" d="M{_LEFT} {_TOP}V{_BOTTOM}H{_RIGHT}" />')
    middle = (_LEFT + _RIGHT) / 2
    parts.append(f'<text class="tick" x="{middle:g}" y="{_HEIGHT - 7}">bits per pixel, logarithmic</text>')
    return "\n".join(parts)


def _rate_ticks(low: float, high: float) -> list[float]:
    """Round rates within the window, few enough to be read."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)):
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) > 2:
            break
    return inside


def _levels(bottom: float, top: float) -> list[tuple[float, str]]:
    """About six round values between, with as many digits as they need."""
    rough = (top - bottom) / 6
    power = math.floor(math.log10(rough))
    step = min((factor * 10.0**power for factor in (1, 2, 5, 10)), key=lambda each: abs(math.log(each / rough)))
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    numbers = range(math.ceil(bottom / step), math.floor(top / step) + 1)
    return [(number * step, f"{number * step:.{digits}f}") for number in numbers]


def named_value(metric: Metric, values: Values) -> str:
    """Label, number, unit."""
    name = metric.label.removesuffix(" dB")
    return f"{name} {value_text(metric, values)}{metric.label.removeprefix(name)}"


def value_text(metric: Metric, values: Values) -> str:
    """The number as tables have it; – where there is none."""
    value = values.get(metric.key)
    if value is None:
        return "–"
    return f"{value:.{metric.digits}f}" if math.isfinite(value) else "∞"
