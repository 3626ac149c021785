"""A sweep's result as tables, for a terminal or in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gancodec.evaluation.results import TOTAL, Comparison, RatePoint, SweepResult, Values

MIB = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Cells as text; the first column is flush left, and so is the last one if `notes`.  Footnotes stand below.

    In Markdown a table may do without a title.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: bool = False
    footnotes: tuple[str, ...] = ()


def tables(result: SweepResult) -> list[Table]:
    """Curves, curves at given rates, BD-rates, efforts, seconds, what was skipped, if any of them."""
    found = [_means(result)]
    if result.at_rates:
        found.append(_equal_rates(result))
    if result.comparisons:
        found.append(_comparisons(result))
    if result.efforts:
        found.append(_efforts(result))
    found.append(_timings(result))
    if result.unavailable:
        found.append(
            Table(
                title="Metrics that were left out",
                header=("metric", "reason"),
                rows=tuple((each.key, f"skipped: {each.reason}") for each in result.unavailable),
                notes=True,
            )
        )
    if result.skipped:
        count = len(result.pictures) + len(result.skipped)
        found.append(
            Table(
                title=f"Skipped: {len(result.skipped)} of {count} pictures, in no mean above",
                header=("picture", "reason"),
                rows=tuple((skipped.picture, skipped.reason) for skipped in result.skipped),
                notes=True,
            )
        )
    return found


def _means(result: SweepResult) -> Table:
    lower = _lower_is_better(result)
    return Table(
        title=f"Means over {_pictures(result)} of each picture's value",
        header=("codec", "quality", "bpp", *_labels(result)),
        rows=tuple(
            (curve.codec, _cell(point.quality, "g"), f"{point.bpp:.4f}", *_measure_cells(result, point.values))
            for curve in result.curves
            for point in curve.points
        ),
        footnotes=(*lower, *_undefined(result), *(() if result.comparisons else missing_comparisons(result))),
    )


def _undefined(result: SweepResult) -> tuple[str, ...]:
    """A sentence for each metric that some pictures have no value of, so that there is no mean."""
    notes = []
    for metric in result.metrics:
        names = list(dict.fromkeys(row.picture for row in result.rows if row.values.get(metric.key, 0.0) is None))
        if names:
            few = f"{len(names)} of {_pictures(result)}"
            notes.append(f"No {metric.label}: {few} too small for it, such as {names[0]}.")
    return tuple(notes)


def _equal_rates(result: SweepResult) -> Table:
    chosen = ", ".join(metric.scale_label for metric in result.metrics if metric.scale_label)
    return Table(
        title="At equal rates",
        header=("codec", "bpp", *_labels(result)),
        rows=tuple(_rate_cells(result, point) for point in result.at_rates),
        footnotes=(
            f"Interpolated on the mean curves by PCHIP over log rate{f' ({chosen})' if chosen else ''}; "
            "–: no value there, nothing is extrapolated.",
            *_ranges(result),
            *_lower_is_better(result),
        ),
    )


def _comparisons(result: SweepResult) -> Table:
    first = result.curves[0]
    return Table(
        title=f"BD-rate of {first.codec} ({first.settings}); below 0: fewer bits",
        header=("against", "metric", "BD-rate", "shared range", "settings of the other"),
        rows=tuple(_comparison_cells(comparison) for comparison in result.comparisons),
        notes=True,
        footnotes=missing_comparisons(result),
    )


def _efforts(result: SweepResult) -> Table:
    return Table(
        title="Efforts against the first one; below 0: fewer bits",
        header=("codec", "encode time", "against", "metric", "BD-rate", "shared range", "settings of the other"),
        rows=tuple(
            (effort.codec, f"{effort.encode_ratio:.2f} x", *_comparison_cells(comparison, digits=2))
            for effort in result.efforts
            for comparison in effort.comparisons
        ),
        notes=True,
        footnotes=(
            "Encode time: times as long as the same picture took at the same quality and the other effort, median.",
        ),
    )


def _timings(result: SweepResult) -> Table:
    """Seconds of a picture, and what of them is whose, as far as the codec tells."""
    timings = [(curve.codec, curve.timing) for curve in result.curves if curve.timing is not None]
    parts = list(dict.fromkeys(part for _, timing in timings for part in timing.encode_s if part != TOTAL))
    rows = []
    for codec, timing in timings:
        for way, seconds in (("encode", timing.encode_s), ("decode", timing.decode_s)):
            total = seconds[TOTAL]
            speed = f"{timing.megapixels / total:.2f}" if total > 0 else "–"
            rows.append((codec, way, f"{total:.3f}", speed, *(_cell(seconds.get(part), ".3f") for part in parts)))
    loads = ", ".join(f"{codec} {timing.load_s:.2f} s" for codec, timing in timings if timing.load_s is not None)
    peaks = ", ".join(f"{where} {bytes_ / MIB:,.0f} MiB" for where, bytes_ in result.peak_bytes.items())
    return Table(
        title="Seconds a picture, means over pictures and qualities",
        header=("codec", "", "seconds", "Mpixel/s", *parts),
        rows=tuple(rows),
        footnotes=(
            "One picture at a time, each codec with the threads it takes; file: container, metadata and colours. "
            "`gancodec bench` measures more carefully.",
            *((f"Loading the weights: {loads}.",) if loads else ()),
            *((f"Most memory in use, all codecs together: {peaks}.",) if peaks else ()),
        ),
    )


def _pictures(result: SweepResult) -> str:
    count = len(result.pictures)
    return f"{count} picture{'s' if count != 1 else ''}"


def _labels(result: SweepResult) -> tuple[str, ...]:
    """Of the columns: each metric, and behind it its scale if that is another."""
    return tuple(label for metric in result.metrics for label in (metric.label, metric.scale_label) if label)


def _lower_is_better(result: SweepResult) -> tuple[str, ...]:
    return tuple(f"{metric.label}: lower is better." for metric in result.metrics if metric.lower_is_better)


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
    efforts = {effort.codec for effort in result.efforts}  # they have a table of their own, with the reason
    others = [curve for curve in others if curve.codec not in efforts]
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
    return "\n\n".join(markdown(table) for table in tables(result)) + "\n"


def markdown(table: Table) -> str:
    """One table in Markdown."""
    return _render(table, _markdown_lines)


def _rate_cells(result: SweepResult, point: RatePoint) -> tuple[str, ...]:
    measures = _measure_cells(result, point.values)
    if point.is_own_rate:
        return (f"{point.codec} (its own rate)", f"{point.bpp:.4f}", *measures)
    return (point.codec, f"{point.bpp:g}", *measures)


def _measure_cells(result: SweepResult, values: Values) -> tuple[str, ...]:
    cells = []
    for metric in result.metrics:
        value = values.get(metric.key)
        cells.append(_cell(value, f".{metric.digits}f"))
        if metric.to_scale:
            cells.append("–" if value is None else f"{metric.to_scale(value):.2f}")
    return tuple(cells)


def _cell(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _comparison_cells(comparison: Comparison, *, digits: int = 1) -> tuple[str, ...]:
    bd, metric = comparison.bd, comparison.metric
    name = metric.label.removesuffix(" dB")
    if bd is None:
        return (comparison.anchor.codec, name, "–", "–", f"no figure: {comparison.reason}")
    notes = comparison.anchor.settings
    if bd.dropped:
        notes += f" [{bd.dropped} dominated point{'s' if bd.dropped > 1 else ''} left out]"
    low, high = sorted((-bd.low, -bd.high)) if metric.lower_is_better else (bd.low, bd.high)
    in_db = "dB" in (metric.scale_label or metric.label)
    shared = f"{low:.1f}–{high:.1f} dB" if in_db else f"{low:.{metric.digits}f}–{high:.{metric.digits}f}"
    return (comparison.anchor.codec, name, f"{bd.percent:+.{digits}f} %", shared, notes)


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
    above = [f"**{table.title}**", ""] if table.title else []
    return [*above, rows[0], "| " + " | ".join(rule) + " |", *rows[1:], *below]
