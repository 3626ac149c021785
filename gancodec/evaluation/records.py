"""A sweep's result for programs: JSON, which CompressAI's plot command draws too, and CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from typing import Any, Final

from gancodec import __version__
from gancodec.evaluation.results import TOTAL, Comparison, Curve, EffortComparison, Row, SweepResult, Values
from gancodec.evaluation.tables import missing_comparisons

COMPRESSAI_NAMES: Final = {"psnr": "psnr-rgb", "ms-ssim": "ms-ssim-rgb"}
"""What `compressai.utils.eval_model` calls our metrics; others keep their names."""


def as_json(result: SweepResult) -> str:
    """Everything.  Infinite numbers, such as the PSNR of equal pictures, become null.

    ``name``, ``description`` and ``results`` are the first curve as `compressai.utils.eval_model` writes its results;
    ``summary`` holds all curves and comparisons, ``rows`` every single measurement.
    """
    summary = {
        "gancodec": __version__,
        "metrics": [
            {"key": each.key, "label": each.label, "lower_is_better": each.lower_is_better} for each in result.metrics
        ],
        "unavailable": {each.key: each.reason for each in result.unavailable},
        "pictures": list(result.pictures),
        "skipped": [{"picture": each.picture, "reason": each.reason} for each in result.skipped],
        "curves": [_curve_dict(curve) for curve in (*result.curves, *result.references)],
        "at_rates": [
            {"codec": each.codec, "bpp": each.bpp, "is_own_rate": each.is_own_rate, **each.values}
            for each in result.at_rates
        ],
        "bd_rates": [_comparison_dict(comparison) for comparison in result.comparisons],
        "efforts": [_effort_dict(effort) for effort in result.efforts],
        "notes": missing_comparisons(result),
        "peak_bytes": result.peak_bytes,
    }
    return _written({**curve_results(result, result.curves[0]), "summary": summary, "rows": _rows(result)})


def curve_results(result: SweepResult, curve: Curve) -> dict[str, Any]:
    """One measured curve in the shape of `compressai.utils.eval_model`: a list a metric, seconds a picture."""
    points = curve.points
    results: dict[str, list[float | None]] = {"bpp": [point.bpp for point in points]}
    for metric in result.metrics:
        results[COMPRESSAI_NAMES.get(metric.key, metric.key)] = [point.value(metric) for point in points]
    for name, seconds in (("encoding_time", "encode_s"), ("decoding_time", "decode_s")):
        results[name] = []
        for point in points:
            own = [row for row in result.rows if row.codec == curve.codec and row.quality == point.quality]
            results[name].append(math.fsum(getattr(row, seconds)[TOTAL] for row in own) / len(own))
    return {"name": curve.codec, "description": curve.settings, "results": results}


def as_curve_json(result: SweepResult, curve: Curve) -> str:
    """`curve_results` as a file."""
    return _written(curve_results(result, curve))


def as_csv(result: SweepResult) -> str:
    """A line a measurement; seconds are those of the whole."""
    buffer = io.StringIO()
    keys = [metric.key for metric in result.metrics if metric.measure]
    fields = ["codec", "quality", "realism", "effort", "picture", "width", "height", "size_bytes", "bpp", *keys]
    writer = csv.DictWriter(buffer, [*fields, "encode_s", "decode_s"], lineterminator="\n")
    writer.writeheader()
    for row in result.rows:
        seconds = {"encode_s": row.encode_s[TOTAL], "decode_s": row.decode_s[TOTAL]}
        writer.writerow(_row_dict(row, row.values) | seconds)
    return buffer.getvalue()


def _rows(result: SweepResult) -> list[dict[str, Any]]:
    return [{**_row_dict(row, row.values), "encode_s": row.encode_s, "decode_s": row.decode_s} for row in result.rows]


def _row_dict(row: Row, values: Values) -> dict[str, Any]:
    return {
        "codec": row.codec,
        "quality": row.quality,
        "realism": row.realism,
        "effort": row.effort,
        "picture": row.picture,
        "width": row.width,
        "height": row.height,
        "size_bytes": row.size_bytes,
        "bpp": row.bpp,
        **values,
    }


def _curve_dict(curve: Curve) -> dict[str, Any]:
    timing = curve.timing
    return {
        "codec": curve.codec,
        "settings": curve.settings,
        "source": curve.source or "measured",
        "points": [{"quality": point.quality, "bpp": point.bpp, **point.values} for point in curve.points],
        "timing": timing
        and {
            "load_s": timing.load_s,
            "encode_s": timing.encode_s,
            "decode_s": timing.decode_s,
            "megapixels": timing.megapixels,
        },
    }


def _comparison_dict(comparison: Comparison) -> dict[str, Any]:
    bd, metric = comparison.bd, comparison.metric
    low, high = (None, None) if bd is None else (bd.low, bd.high)
    if bd is not None and metric.lower_is_better:
        low, high = -bd.high, -bd.low
    return {
        "codec": comparison.codec,
        "against": comparison.anchor.codec,
        "settings": comparison.anchor.settings,
        "metric": metric.key,
        "scale": metric.scale_label or metric.label,
        "percent": bd.percent if bd else None,
        "low": low,
        "high": high,
        "dropped_points": bd.dropped if bd else None,
        "reason": comparison.reason,
    }


def _effort_dict(effort: EffortComparison) -> dict[str, Any]:
    return {
        "codec": effort.codec,
        "against": effort.anchor,
        "encode_ratio": effort.encode_ratio,
        "bd_rates": [_comparison_dict(comparison) for comparison in effort.comparisons],
    }


def _written(value: Any) -> str:
    return json.dumps(_finite(value), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _finite(value: Any) -> Any:
    """`value` with infinite numbers, which JSON lacks, replaced by None."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
