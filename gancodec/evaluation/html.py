"""A sweep's result as one HTML file: curves, tables, and pictures to look at, two versions of each side by side.

The file asks nobody for anything, and its Content-Security-Policy forbids it: style, script and pictures are inside.
Curves are drawn here and not by the script, so that they are there on paper too.  The script (report.js) only moves,
shows and hides what is in the page: it gets no data, and each picture is in the file once.
"""

from __future__ import annotations

import math
import re
from base64 import b64encode
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template
from typing import Final

from gancodec import __version__
from gancodec.evaluation.columns import Metric
from gancodec.evaluation.plot import COLOURS, drawn_references
from gancodec.evaluation.plot import _window as rate_window
from gancodec.evaluation.results import Curve, Point, SweepResult, Values
from gancodec.evaluation.strips import Strip, Version
from gancodec.evaluation.tables import Table, tables

ORIGINAL: Final = "original"
_ZOOMS: Final = {"0": "fit", "1": "1×", "2": "2×", "4": "4×"}
"""Pixels of the screen (CSS) for one of the picture, as report.js takes them; 0: all of it is seen."""
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
)
_PUBLISHED_MARK: Final = "M-2.6 0a2.6 2.6 0 1 0 5.2 0a2.6 2.6 0 1 0-5.2 0Z"
_DASHES: Final = ("7 4", "9 3 2 3", "2 3", "14 4", "5 2 1 2 1 2", "1 4")


def as_html(result: SweepResult, strips: Sequence[Strip]) -> str:
    """The whole page, the same text for the same result.

    strips: pictures with their versions, the first one's being that of the first curve; none if there is nothing to
    look at.
    """
    first, *others = result.curves
    title = f"{first.codec} against {', '.join(curve.codec for curve in others)}" if others else first.codec
    count = len(result.pictures)
    shown = _shown(result)
    return Template(_part("report.html")).substitute(
        title=escape(title),
        measured=f"Measured on {count} picture{'s' if count != 1 else ''}: the rate is that of whole files, distortion "
        f"is that of the decoded 8-bit RGB pictures, and every curve is a mean over the pictures (gancodec "
        f"{escape(__version__)}).",
        style=_part("report.css") + "\n".join(each.hiding() for each in shown),
        script=_part("report.js"),
        curves=_charts(result, shown),
        tables="\n".join(_table(table) for table in tables(result)),
        pictures_link=' <a href="#pictures">Pictures</a>' if strips else "",
        pictures=_pictures(result, strips) if strips else "",
    )


def _part(name: str) -> str:
    return files("gancodec.evaluation").joinpath(name).read_text(encoding="utf-8").strip()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shown:
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


def _shown(result: SweepResult) -> list[_Shown]:
    """Measured curves in colour, the first one strongest, then published ones grey and dashed."""
    shown = []
    for number, curve in enumerate(result.curves):
        turn, place = divmod(number, len(COLOURS))
        shown.append(
            _Shown(
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
            _Shown(
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


def _charts(result: SweepResult, shown: Sequence[_Shown]) -> str:
    window = rate_window(result)
    charts = [chart for metric in result.metrics if (chart := _chart(metric, shown, window))]
    if not charts:
        return '<p class="about">None of the metrics has a value that could be drawn.</p>'
    keys = "\n".join(_key(each) for each in shown)
    return (
        f'<div class="legend" role="group" aria-label="Curves to show">\n{keys}\n</div>\n'
        f'<div class="charts">\n{chr(10).join(charts)}\n</div>'
    )


def _key(each: _Shown) -> str:
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


def _chart(metric: Metric, shown: Sequence[_Shown], window: tuple[float, float]) -> str:
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


def _mark(each: _Shown, metric: Metric, axes: _Axes, point: Point, scaled: float) -> str:
    setting = "one rate" if point.quality is None else f"quality {point.quality:g}"
    if each.curve.source:
        setting = "published"
    lines = [each.curve.codec, setting, f"{point.bpp:.4f} bpp", _named(metric, point.values)]
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


def _table(table: Table, *classes: str) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.header)
    rows = []
    before = None
    for first, *rest in table.rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in rest)
        starts = ' class="starts"' if first != before else ""
        rows.append(f'<tr{starts}><th scope="row">{escape(first)}</th>{cells}</tr>')
        before = first
    below = "".join(f"\n<p>{_with_code(footnote)}</p>" for footnote in table.footnotes)
    kinds = " ".join([*classes, *(["notes"] if table.notes else [])])
    return (
        f'<div class="block">\n<h3>{escape(table.title)}</h3>\n'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.title)}">\n'
        f'<table class="{kinds}">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{chr(10).join(rows)}\n</tbody>\n</table>\n'
        f"</div>{below}\n</div>"
    )


def _with_code(text: str) -> str:
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def _pictures(result: SweepResult, strips: Sequence[Strip]) -> str:
    inks = {each.curve.codec: each.colour for each in _shown(result) if not each.curve.source}
    generated = {row.codec for row in result.rows if row.realism}
    target = strips[0].versions[0]
    at = "" if target.quality is None else f" at quality {target.quality:g}"
    views = "\n".join(_strip(number, strip, result, inks, generated) for number, strip in enumerate(strips))
    return (
        '<section id="pictures" aria-labelledby="pictures-title">\n<h2 id="pictures-title">Pictures</h2>\n'
        f'<p class="about">The target is the size of {escape(target.codec)}{at}. Each other codec is at its highest '
        "quality whose file is not larger, or at its lowest.</p>\n"
        f"{views}\n</section>"
    )


def _strip(number: int, strip: Strip, result: SweepResult, inks: Mapping[str, str], generated: Container[str]) -> str:
    size = f"{strip.width} × {strip.height} pixels"
    shots = [_shot(strip, ORIGINAL, f"<span>{size}</span>", strip.mime, strip.original)]
    for version in strip.versions:
        facts = [_kilobytes(version.size_bytes), f"{version.bpp:.3f} bpp"]
        facts += [_named(metric, version.values) for metric in result.metrics if metric.measure]
        spans = "".join(f"<span>{escape(fact)}</span>" for fact in facts)
        invented = ' <span class="invented">detail is generated</span>' if version.codec in generated else ""
        shots.append(_shot(strip, version.codec, spans, version.mime, version.data, invented))
    names = [(ORIGINAL, ""), *((version.codec, inks.get(version.codec, "")) for version in strip.versions)]
    labels = {str(place): _dot(ink) + escape(name) for place, (name, ink) in enumerate(names)}
    sides = "\n".join(
        _choices(f"{side.capitalize()} side", f"{side}-{number}", f'data-side="{side}"', labels, chosen)
        for side, chosen in (("left", "0"), ("right", "1"))
    )
    return f"""<section class="strip" aria-labelledby="strip-{number}">
<h3 id="strip-{number}">{escape(strip.picture)} <small>{size}</small></h3>
<div class="bench">
<div class="view" style="--width: {strip.width}; --height: {strip.height}">
<div class="captions needs-script"><div class="left"></div><div class="right"></div></div>
<div class="stage" data-width="{strip.width}" data-height="{strip.height}" role="group" \
aria-label="{escape(strip.picture)}; when magnified, arrow keys move it">
<div class="layer">
{chr(10).join(shots)}
</div>
<div class="split needs-script" role="slider" tabindex="0" aria-label="Line between left and right" \
aria-valuemin="0" aria-valuemax="100" aria-valuenow="50"></div>
</div>
</div>
<div class="controls needs-script">
{sides}
{_choices("Zoom", f"zoom-{number}", "data-zoom", _ZOOMS, "0")}
<p>Move the line with the pointer or the arrow keys. Magnified, drag the picture.</p>
</div>
</div>
{_versions(strip, result, generated)}
</section>"""


def _shot(strip: Strip, name: str, facts: str, mime: str, data: bytes, more: str = "") -> str:
    """One picture with its caption.  name: as text.  facts, more: as HTML."""
    # Not loading="lazy": browsers decode only what they paint anyway, and paper would get grey boxes.
    return (
        f'<figure class="shot"><img src="data:{escape(mime)};base64,{b64encode(data).decode("ascii")}" '
        f'width="{strip.width}" height="{strip.height}" alt="{escape(f"{strip.picture}, {name}")}" '
        f'decoding="async" draggable="false">'
        f'<figcaption><b>{escape(name)}</b>{more} <span class="facts">{facts}</span></figcaption></figure>'
    )


def _choices(legend: str, name: str, kind: str, labels: Mapping[str, str], chosen: str) -> str:
    """A group of radio buttons.  kind: the attribute by which report.js finds them.  labels: HTML by value."""
    options = "".join(
        f'<label class="option"><input type="radio" name="{name}" {kind} value="{value}" autocomplete="off"'
        f"{' checked' if value == chosen else ''}><span>{label}</span></label>"
        for value, label in labels.items()
    )
    return f'<fieldset><legend>{legend}</legend><div class="options">{options}</div></fieldset>'


def _dot(ink: str) -> str:
    return f'<i style="--ink: {ink}"></i>' if ink else "<i></i>"


def _versions(strip: Strip, result: SweepResult, generated: Container[str]) -> str:
    target = strip.versions[0]
    metrics = [metric for metric in result.metrics if metric.measure]
    senses = [" ↓" if metric.lower_is_better else "" for metric in metrics]
    table = Table(
        title=f"Versions of {strip.picture}",
        header=(
            *("codec", "quality", "bytes", "to target", "bpp"),
            *(metric.label + sense for metric, sense in zip(metrics, senses, strict=True)),
            "note",
        ),
        rows=tuple(
            (
                version.codec,
                "–" if version.quality is None else f"{version.quality:g}",
                f"{version.size_bytes:,}",
                "–" if version is target else _difference(version.size_bytes, target.size_bytes),
                f"{version.bpp:.4f}",
                *(_number(metric, version.values) for metric in metrics),
                _note(version, target, generated),
            )
            for version in strip.versions
        ),
        notes=True,
        footnotes=("↓: lower is better.",) if any(senses) else (),
    )
    return _table(table, "versions")


def _difference(size_bytes: int, target_bytes: int) -> str:
    return "same" if size_bytes == target_bytes else f"{(size_bytes / target_bytes - 1) * 100:+.1f} %"


def _note(version: Version, target: Version, generated: Container[str]) -> str:
    """What a reader must know before comparing a version with the first one."""
    notes = []
    if version.quality is None:
        notes.append("has one rate only")
    if version.size_bytes > target.size_bytes:
        notes.append("larger than the target" if version.quality is None else "its smallest file is above the target")
    if version.codec in generated:
        notes.append("detail is generated")
    return "; ".join(notes)


def _named(metric: Metric, values: Values) -> str:
    """Label, number, unit."""
    name = metric.label.removesuffix(" dB")
    return f"{name} {_number(metric, values)}{metric.label.removeprefix(name)}"


def _number(metric: Metric, values: Values) -> str:
    value = values.get(metric.key)
    if value is None:
        return "–"
    return f"{value:.{metric.digits}f}" if math.isfinite(value) else "∞"


def _kilobytes(size_bytes: int) -> str:
    return f"{size_bytes / 1000:.1f} kB"
