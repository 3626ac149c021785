"""One codec at several efforts: what each of them costs and gives beside the first one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from gancodec.evaluation.columns import Metric
from gancodec.evaluation.results import TOTAL, Curve, EffortComparison, Row, compare


def compare_efforts(
    curves: Sequence[Curve], rows: Sequence[Row], first_efforts: Mapping[str, str], metrics: Sequence[Metric]
) -> tuple[EffortComparison, ...]:
    """Every curve of a further effort against that of its codec's first one, in the order of the curves.

    rows: of all curves, over the same pictures and qualities.  first_efforts: name of a further one -> of its first.
    """
    by_name = {curve.codec: curve for curve in curves}
    found = []
    for curve in curves:
        if curve.codec in first_efforts:
            anchor = by_name[first_efforts[curve.codec]]
            found.append(
                EffortComparison(
                    codec=curve.codec,
                    anchor=anchor.codec,
                    encode_ratio=encode_ratio(rows, curve.codec, anchor.codec),
                    comparisons=tuple(compare(curve, anchor, metric) for metric in metrics),
                )
            )
    return tuple(found)


def encode_ratio(rows: Sequence[Row], codec: str, anchor: str) -> float:
    """Median over pictures and qualities of the encoding time by that of ``anchor``; both have the same ones."""
    own, other = (
        {(row.picture, row.quality): row.encode_s[TOTAL] for row in rows if row.codec == name}
        for name in (codec, anchor)
    )
    # Not the ratio of means: the first files of a run also pay for what libraries put off until then.
    return median(seconds / max(other[file], 1e-9) for file, seconds in own.items())
