"""Rate–distortion curves as a picture: PSNR, MS-SSIM in dB and a perceptual distance over bits per pixel."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gancodec.errors import ConfigError
from gancodec.evaluation.columns import Metric
from gancodec.evaluation.results import Curve, Point, SweepResult
from gancodec.writing import write_file

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers can tell apart, and two dark ones; the codec under test takes the
# first.
COLOURS: Final = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5b3a8c", "#7a5230")
_MARKERS: Final = "osD^vPX*"
_OWN_LOOKS: Final = {"JPEG": 3, "WebP": 4, "AVIF": 5, "JPEG XL": 6, "JPEG 4:4:4": 7}
"""Places in COLOURS that these codecs have in every plot; the others take those that are left, from the first on."""
_COLUMNS: Final = 2
_TEXT_PT: Final = 12.0
_DRAWN: Final = {
    "psnr": ("VTM", "ELIC", "bmshj2018-hyperprior"),
    "ms-ssim": ("VTM", "ELIC", "bmshj2018-hyperprior"),
    "lpips": ("MS-ILLM", "CRDR, realism 3.84", "HiFiC"),
}
"""Published curves in the panel of each metric: best and worst of the learned ones, and the yardstick; for the distance
the generative ones.  The tables have them all."""
_DASHES: Final = ((6, 2), (6, 2, 1, 2), (1, 2), (12, 2), (3, 1, 1, 1, 1, 1), (1, 4))
"""Lengths of strokes and gaps, one pattern for each published curve that is drawn anywhere."""
_TICKS: Final = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_MARGIN: Final = 1.35
"""How far the axis goes beyond the rates of the codec under test, as a factor: others are there for comparison."""


def draw(result: SweepResult, path: Path) -> None:
    """Write the curves to `path` (PNG, SVG or PDF by its suffix).

    Rates are on a logarithmic axis, where equal distances are equal percentages, as in a BD-rate.  Measured curves are
    in colour, published ones grey and dashed.  A panel each, without those that have no values (small pictures have no
    MS-SSIM).
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise ConfigError(f"drawing needs {exc.name}", hint="pip install 'gancodec[eval]'") from exc
    panels = [metric for metric in result.metrics if _has_values(result.curves[0], metric)]
    columns, rows = min(_COLUMNS, max(1, len(panels))), -(-max(1, len(panels)) // _COLUMNS)
    figure = Figure(figsize=(6.0 * columns, 4.9 * rows + 0.4), dpi=120, layout="constrained")
    if not panels:
        figure.text(0.5, 0.5, "None of the metrics has a value that could be drawn.", ha="center")
    FigureCanvasAgg(figure)
    for index, metric in enumerate(panels):
        axes = figure.add_subplot(rows, columns, index + 1)
        _draw_panel(axes, result, metric)
        label = metric.scale_label or metric.label
        axes.set_ylabel(f"{label}, lower is better" if metric.lower_is_better else label, fontsize=_TEXT_PT)
    if panels:
        _add_legend(figure, len(panels))
    count = len(result.pictures)
    title = f"Means over {count} picture{'s' if count != 1 else ''}, whole files, 8-bit RGB"
    figure.suptitle(title, fontsize=_TEXT_PT)
    buffer = io.BytesIO()
    try:
        figure.savefig(buffer, format=path.suffix.lstrip(".").lower())
    except ValueError as exc:
        raise ConfigError(f"cannot write {path}: {exc}", hint="use a name that ends in .png") from exc
    write_file(path, buffer.getvalue())


def looks(curves: Sequence[Curve]) -> list[int]:
    """For each curve its number in COLOURS; beyond the last it goes on counting."""
    taken = {_OWN_LOOKS[curve.codec] for curve in curves if curve.codec in _OWN_LOOKS}
    free = (number for number in itertools.count() if number not in taken)
    return [_OWN_LOOKS[curve.codec] if curve.codec in _OWN_LOOKS else next(free) for curve in curves]


def _add_legend(figure: Figure, panels: int) -> None:
    """One for all panels, in the place that they leave free, else below them."""
    handles: dict[str, Artist] = {}
    for axes in figure.axes:
        drawn, names = axes.get_legend_handles_labels()
        handles |= dict(zip(names, drawn, strict=True))
    if panels > 1 and panels % _COLUMNS:
        place = figure.add_subplot(-(-panels // _COLUMNS), _COLUMNS, panels + 1)
        place.set_axis_off()
        place.legend(list(handles.values()), list(handles), loc="center left", fontsize=_TEXT_PT, frameon=False)
    else:
        columns = min(_COLUMNS, panels)
        figure.legend(
            list(handles.values()), list(handles), loc="outside lower center", ncols=columns, fontsize=_TEXT_PT - 1.5
        )


def _draw_panel(axes: Axes, result: SweepResult, metric: Metric) -> None:
    quality_of = _value_of(metric)
    for index, (curve, look) in enumerate(zip(result.curves, looks(result.curves), strict=True)):
        rates, qualities = _finite_points(curve, quality_of)
        axes.plot(
            rates,
            qualities,
            color=COLOURS[look % len(COLOURS)],
            marker=_MARKERS[(look + look // len(COLOURS)) % len(_MARKERS)],  # two of one colour differ in their marks
            markersize=5,
            linewidth=2.4 if index == 0 else 1.5,
            zorder=4 if index == 0 else 3,
            label=f"{curve.codec} ({curve.settings.split(';')[0]})",
        )
    references = drawn_references(result, metric)
    names = [name for drawn in _DRAWN.values() for name in drawn]
    for curve in references:
        rates, qualities = _finite_points(curve, quality_of)
        pattern = _DASHES[list(dict.fromkeys(names)).index(_drawn_name(curve)) % len(_DASHES)]
        axes.plot(rates, qualities, linestyle=(0, pattern), color="0.3", linewidth=1.3, zorder=2, label=curve.codec)
    low, high = rate_window(result)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_xticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
    axes.set_xticks([], minor=True)
    axes.set_xlim(low, high)
    visible = [
        quality
        for curve in (*result.curves, *references)
        for rate, quality in zip(*_finite_points(curve, quality_of), strict=True)
        if low <= rate <= high
    ]
    if visible:
        pad = 0.04 * (max(visible) - min(visible)) or 1.0
        axes.set_ylim(min(visible) - pad, max(visible) + pad)
    axes.set_xlabel("bits per pixel", fontsize=_TEXT_PT)
    axes.tick_params(labelsize=_TEXT_PT - 1)
    in_db = bool(visible) and max(visible) - min(visible) > 2
    axes.locator_params(axis="y", nbins=10, integer=in_db)
    axes.grid(visible=True, color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _value_of(metric: Metric) -> Callable[[Point], float | None]:
    """What is drawn of a point: the metric's value, in dB where it has such a scale."""

    def value(point: Point) -> float | None:
        found = point.value(metric)
        return found if found is None or metric.to_scale is None else metric.to_scale(found)

    return value


def _has_values(curve: Curve, metric: Metric) -> bool:
    return any(point.value(metric) is not None for point in curve.points)


def drawn_references(result: SweepResult, metric: Metric) -> list[Curve]:
    """The published curves of a metric's panel."""
    names = _DRAWN.get(metric.key, ())
    known = [curve for curve in result.references if _has_values(curve, metric)]
    return [curve for name in names for curve in known if curve.codec.startswith(name)]


def _drawn_name(curve: Curve) -> str:
    """Of those in _DRAWN."""
    return next(name for names in _DRAWN.values() for name in names if curve.codec.startswith(name))


def rate_window(result: SweepResult) -> tuple[float, float]:
    """Ends of the rate axis, in bits per pixel: the first curve and every codec of one point are inside."""
    first = result.curves[0]
    shown = [curve for curve in result.curves if len(curve.points) == 1 or curve is first or len(first.points) == 1]
    rates = [point.bpp for curve in shown for point in curve.points]
    return min(rates) / _MARGIN, max(rates) * _MARGIN


def _finite_points(curve: Curve, quality_of: Callable[[Point], float | None]) -> tuple[list[float], list[float]]:
    pairs = [(point.bpp, quality_of(point)) for point in curve.points]
    kept = [(rate, quality) for rate, quality in pairs if quality is not None and math.isfinite(quality)]
    return [rate for rate, _ in kept], [quality for _, quality in kept]
