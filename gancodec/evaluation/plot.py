"""Rate–distortion curves as a picture: PSNR, MS-SSIM in dB and a perceptual distance over bits per pixel."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from gancodec.errors import ConfigError
from gancodec.evaluation.columns import Metric
from gancodec.evaluation.results import Curve, Point, SweepResult
from gancodec.writing import write_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which colour-blind readers can tell apart, and two dark ones; the codec under test takes the
# first.
COLOURS: Final = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5b3a8c", "#7a5230")
_MARKERS: Final = "osD^vPX*"
_DRAWN: Final = {
    "psnr": ("VTM", "ELIC", "bmshj2018-hyperprior"),
    "ms-ssim": ("VTM", "ELIC", "bmshj2018-hyperprior"),
    "lpips": ("MS-ILLM", "CRDR, realism 3.84", "HiFiC"),
}
"""Published curves in the panel of each metric: best and worst of the learned ones, and the yardstick; for the distance
the generative ones.  The tables have them all."""
_DASHES: Final = ("--", "-.", ":")
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
    figure = Figure(figsize=(6.4 * max(1, len(panels)), 5.6), dpi=120, layout="constrained")
    if not panels:
        figure.text(0.5, 0.5, "None of the metrics has a value that could be drawn.", ha="center")
    FigureCanvasAgg(figure)
    for index, metric in enumerate(panels):
        _draw_panel(figure.add_subplot(1, len(panels), index + 1), result, metric)
        label = metric.scale_label or metric.label
        figure.axes[index].set_ylabel(f"{label}, lower is better" if metric.lower_is_better else label)
        corner: Literal["upper right", "upper left"] = "upper right" if metric.lower_is_better else "upper left"
        figure.axes[index].legend(loc=corner, fontsize=8.5, framealpha=0.9)
    count = len(result.pictures)
    figure.suptitle(f"Means over {count} picture{'s' if count != 1 else ''}, whole files, 8-bit RGB", fontsize=11)
    buffer = io.BytesIO()
    try:
        figure.savefig(buffer, format=path.suffix.lstrip(".").lower())
    except ValueError as exc:
        raise ConfigError(f"cannot write {path}: {exc}", hint="use a name that ends in .png") from exc
    write_file(path, buffer.getvalue())


def _draw_panel(axes: Axes, result: SweepResult, metric: Metric) -> None:
    quality_of = _value_of(metric)
    for index, curve in enumerate(result.curves):
        rates, qualities = _finite_points(curve, quality_of)
        axes.plot(
            rates,
            qualities,
            color=COLOURS[index % len(COLOURS)],
            marker=_MARKERS[index % len(_MARKERS)],
            markersize=5,
            linewidth=2.4 if index == 0 else 1.5,
            zorder=4 if index == 0 else 3,
            label=f"{curve.codec} ({curve.settings.split(';')[0]})",
        )
    references = drawn_references(result, metric)
    for style, curve in zip(_DASHES, references, strict=False):
        rates, qualities = _finite_points(curve, quality_of)
        axes.plot(rates, qualities, linestyle=style, color="0.3", linewidth=1.3, zorder=2, label=curve.codec)
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
    axes.set_xlabel("bits per pixel")
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
