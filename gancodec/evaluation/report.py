"""A sweep's result as text, Markdown or JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gancodec import __version__
from gancodec.evaluation.results import Comparison, Curve, Point, RatePoint, Row, SweepResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Cells as text; the first column is flush left, and so is the last one if `notes`.  Footnotes stand below."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: bool = False
    footnotes: tuple[str, ...] = ()


def tables(result: SweepResult) -> list[Table]:
    """Curves, curves at given rates, BD-rates, and the pictures that were skipped, if any of them."""
    count = len(result.pictures)
    perceptual = (result.perceptual,) if result.perceptual else ()
    lower = tuple(f"{name}: lower is better." for name in perceptual)
    missing = missing_comparisons(result)
    found = [
        Table(
            title=f"Means over {count} picture{'s' if count != 1 else ''} of each picture's value",
            header=("codec", "quality", "bpp", "PSNR dB", "MS-SSIM", "MS-SSIM dB", *perceptual),
            rows=tuple(_point_cells(result, curve, point) for curve in result.curves for point in curve.points),
            footnotes=lower if result.comparisons else lower + missing,
        )
    ]
    if result.at_rates:
        found.append(
            Table(
                title="At equal rates",
                header=("codec", "bpp", "PSNR dB", "MS-SSIM", "MS-SSIM dB", *perceptual),
                rows=tuple(_rate_cells(result, point) for point in result.at_rates),
                footnotes=(
                    "Interpolated on the mean curves by PCHIP over log rate (MS-SSIM in dB); –: no value there, "
                    "nothing is extrapolated.",
                    *_ranges(result),
                    *lower,
                ),
            )
        )
    if result.comparisons:
        found.append(
            Table(
                title=f"BD-rate of {result.curves[0].codec} ({result.curves[0].settings}); below 0: fewer bits",
                header=("against", "metric", "BD-rate", "shared range", "settings of the other"),
                rows=tuple(_comparison_cells(comparison) for comparison in result.comparisons),
                notes=True,
                footnotes=missing,
            )
        )
    if result.skipped:
        found.append(
            Table(
                title=f"Skipped: {len(result.skipped)} of {count + len(result.skipped)} pictures, in no mean above",
                header=("picture", "reason"),
                rows=tuple((skipped.picture, skipped.reason) for skipped in result.skipped),
                notes=True,
            )
        )
    return found


def _ranges(result: SweepResult) -> tuple[str, ...]:
    """A sentence with the rates of the curves that do not reach all that were asked for; none if all do."""
    wanted = [point.bpp for point in result.at_rates if not point.is_own_rate]
    short = []
    for curve in (*result.curves, *result.references):
        low, high = min(point.bpp for point in curve.points), max(point.bpp for point in curve.points)
        if len(curve.points) > 1 and not low <= min(wanted) <= max(wanted) <= high:
            short.append(f"{curve.codec} {low:.4f}–{high:.4f}")
    return (f"Not all of these rates are within what was measured: {', '.join(short)} bpp.",) if short else ()


def missing_comparisons(result: SweepResult) -> tuple[str, ...]:
    """A sentence on the BD-rates that are left out because a curve has one point; none if all are there."""
    first, *others = (*result.curves, *result.references)
    if not others:
        return ()
    if len(first.points) < 2:
        return (f"No BD-rates: {first.codec} comes first, and has one point; a curve needs two.",)
    single = [curve.codec for curve in others if len(curve.points) < 2]
    return (f"No BD-rate against {', '.join(single)}: one point is no curve.",) if single else ()


def as_text(result: SweepResult) -> str:
    """Tables for a terminal, columns aligned."""
    return "\n\n".join(_render(table, _text_lines) for table in tables(result))


def as_markdown(result: SweepResult) -> str:
    """The same tables in Markdown."""
    return "\n\n".join(_render(table, _markdown_lines) for table in tables(result)) + "\n"


def as_json(result: SweepResult) -> str:
    """Rows, curves, comparisons and skipped pictures.  PSNR of equal pictures, which is infinite, becomes null.

    What is called lpips is the measure that `perceptual` names; without features there is neither.
    """
    curves = [_curve_dict(result, curve) for curve in (*result.curves, *result.references)]
    summary = {
        "gancodec": __version__,
        "pictures": list(result.pictures),
        "skipped": [asdict(skipped) for skipped in result.skipped],
        **({"perceptual": result.perceptual} if result.perceptual else {}),
        "curves": curves,
        "at_rates": [{**_fields(result, point), "ms_ssim": point.ms_ssim} for point in result.at_rates],
        "bd_rates": [_comparison_dict(comparison) for comparison in result.comparisons],
        "notes": missing_comparisons(result),
    }
    everything = {"summary": summary, "rows": [_fields(result, row) for row in result.rows]}
    return json.dumps(_finite(everything), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _point_cells(result: SweepResult, curve: Curve, point: Point) -> tuple[str, ...]:
    return (curve.codec, _cell(point.quality, "g"), f"{point.bpp:.4f}", *_measure_cells(result, point))


def _rate_cells(result: SweepResult, point: RatePoint) -> tuple[str, ...]:
    measures = _measure_cells(result, point)
    if point.is_own_rate:
        return (f"{point.codec} (its own rate)", f"{point.bpp:.4f}", *measures)
    return (point.codec, f"{point.bpp:g}", *measures)


def _measure_cells(result: SweepResult, point: Point | RatePoint) -> tuple[str, ...]:
    cells = (_cell(point.psnr, ".2f"), _cell(point.ms_ssim, ".4f"), _cell(point.ms_ssim_db, ".2f"))
    return (*cells, _cell(point.lpips, ".4f")) if result.perceptual else cells


def _cell(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _comparison_cells(comparison: Comparison) -> tuple[str, ...]:
    bd = comparison.bd
    if bd is None:
        return (comparison.anchor.codec, comparison.metric, "–", "–", f"no figure: {comparison.reason}")
    notes = comparison.anchor.settings
    if bd.dropped:
        notes += f" [{bd.dropped} dominated point{'s' if bd.dropped > 1 else ''} left out]"
    return (comparison.anchor.codec, comparison.metric, f"{bd.percent:+.1f} %", f"{bd.low:.1f}–{bd.high:.1f} dB", notes)


def _fields(result: SweepResult, item: Row | Point | RatePoint) -> dict[str, Any]:
    """The fields, without `lpips` if it was not asked for."""
    return {key: value for key, value in asdict(item).items() if key != "lpips" or result.perceptual}


def _curve_dict(result: SweepResult, curve: Curve) -> dict[str, Any]:
    points = [{**_fields(result, point), "ms_ssim_db": point.ms_ssim_db} for point in curve.points]
    return {"codec": curve.codec, "settings": curve.settings, "source": curve.source or "measured", "points": points}


def _comparison_dict(comparison: Comparison) -> dict[str, Any]:
    bd = comparison.bd
    return {
        "codec": comparison.codec,
        "against": comparison.anchor.codec,
        "settings": comparison.anchor.settings,
        "metric": comparison.metric,
        "percent": bd.percent if bd else None,
        "low_db": bd.low if bd else None,
        "high_db": bd.high if bd else None,
        "dropped_points": bd.dropped if bd else None,
        "reason": comparison.reason,
    }


def _finite(value: Any) -> Any:
    """`value` with infinite numbers, which JSON lacks, replaced by None."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _render(table: Table, lines: Callable[[Table, Sequence[int]], list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(table.header, *table.rows, strict=True)]
    return "\n".join(lines(table, widths))


def _aligned(table: Table, cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    last = len(cells) - 1
    left = [column == 0 or (table.notes and column == last) for column in range(len(cells))]
    return [
        cell.ljust(width) if flush else cell.rjust(width)
        for cell, width, flush in zip(cells, widths, left, strict=True)
    ]


def _text_lines(table: Table, widths: Sequence[int]) -> list[str]:
    rows = ["  ".join(_aligned(table, cells, widths)).rstrip() for cells in (table.header, *table.rows)]
    return [table.title, rows[0], "-" * max(map(len, rows)), *rows[1:], *table.footnotes]


def _markdown_lines(table: Table, widths: Sequence[int]) -> list[str]:
    left = [column == 0 or (table.notes and column == len(widths) - 1) for column in range(len(widths))]
    rule = ["-" * width if flush else "-" * (width - 1) + ":" for width, flush in zip(widths, left, strict=True)]
    escaped = [tuple(cell.replace("|", "\\|") for cell in cells) for cells in (table.header, *table.rows)]
    rows = ["| " + " | ".join(_aligned(table, cells, widths)) + " |" for cells in escaped]
    below = [line for footnote in table.footnotes for line in ("", footnote)]
    return [f"**{table.title}**", "", rows[0], "| " + " | ".join(rule) + " |", *rows[1:], *below]
