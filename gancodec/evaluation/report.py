"""A sweep's result as text, Markdown or JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gancodec import __version__
from gancodec.evaluation.results import Comparison, Curve, Point, SweepResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Cells as text; the first column is flush left, and so is the last one if `notes`."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: bool = False


def tables(result: SweepResult) -> list[Table]:
    """Curves, BD-rates, and the pictures that were skipped, if any."""
    count = len(result.pictures)
    found = [
        Table(
            title=f"Means over {count} picture{'s' if count != 1 else ''} of each picture's value",
            header=("codec", "quality", "bpp", "PSNR dB", "MS-SSIM", "MS-SSIM dB"),
            rows=tuple(_point_cells(curve, point) for curve in result.curves for point in curve.points),
        )
    ]
    if result.comparisons:
        found.append(
            Table(
                title=f"BD-rate of {result.curves[0].codec} ({result.curves[0].settings}); below 0: fewer bits",
                header=("against", "metric", "BD-rate", "shared range", "settings of the other"),
                rows=tuple(_comparison_cells(comparison) for comparison in result.comparisons),
                notes=True,
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


def as_text(result: SweepResult) -> str:
    """Tables for a terminal, columns aligned."""
    return "\n\n".join(_render(table, _text_lines) for table in tables(result))


def as_markdown(result: SweepResult) -> str:
    """The same tables in Markdown."""
    return "\n\n".join(_render(table, _markdown_lines) for table in tables(result)) + "\n"


def as_json(result: SweepResult) -> str:
    """Rows, curves, comparisons and skipped pictures.  PSNR of equal pictures, which is infinite, becomes null."""
    curves = [_curve_dict(curve) for curve in (*result.curves, *result.references)]
    summary = {
        "gancodec": __version__,
        "pictures": list(result.pictures),
        "skipped": [asdict(skipped) for skipped in result.skipped],
        "curves": curves,
        "bd_rates": [_comparison_dict(comparison) for comparison in result.comparisons],
    }
    everything = {"summary": summary, "rows": [asdict(row) for row in result.rows]}
    return json.dumps(_finite(everything), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _point_cells(curve: Curve, point: Point) -> tuple[str, ...]:
    quality = "" if point.quality is None else f"{point.quality:g}"
    similarity = ("–", "–") if point.ms_ssim is None else (f"{point.ms_ssim:.4f}", f"{point.ms_ssim_db:.2f}")
    return (curve.codec, quality, f"{point.bpp:.4f}", f"{point.psnr:.2f}", *similarity)


def _comparison_cells(comparison: Comparison) -> tuple[str, ...]:
    bd = comparison.bd
    if bd is None:
        return (comparison.anchor.codec, comparison.metric, "–", "–", f"no figure: {comparison.reason}")
    notes = comparison.anchor.settings
    if bd.dropped:
        notes += f" [{bd.dropped} dominated point{'s' if bd.dropped > 1 else ''} left out]"
    return (comparison.anchor.codec, comparison.metric, f"{bd.percent:+.1f} %", f"{bd.low:.1f}–{bd.high:.1f} dB", notes)


def _curve_dict(curve: Curve) -> dict[str, Any]:
    points = [{**asdict(point), "ms_ssim_db": point.ms_ssim_db} for point in curve.points]
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
    return [table.title, rows[0], "-" * max(map(len, rows)), *rows[1:]]


def _markdown_lines(table: Table, widths: Sequence[int]) -> list[str]:
    left = [column == 0 or (table.notes and column == len(widths) - 1) for column in range(len(widths))]
    rule = ["-" * width if flush else "-" * (width - 1) + ":" for width, flush in zip(widths, left, strict=True)]
    escaped = [tuple(cell.replace("|", "\\|") for cell in cells) for cells in (table.header, *table.rows)]
    rows = ["| " + " | ".join(_aligned(table, cells, widths)) + " |" for cells in escaped]
    return [f"**{table.title}**", "", rows[0], "| " + " | ".join(rule) + " |", *rows[1:]]
