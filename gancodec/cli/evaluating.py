"""`gancodec eval` and `compare`: what the user gave -> a request to the evaluation; what it found -> tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gancodec.cli import report, stdout
from gancodec.cli.eval_options import STDOUT, EvalOptions, names
from gancodec.cli.failures import SOME_FAILED

if TYPE_CHECKING:
    from gancodec.evaluation.columns import Unavailable
    from gancodec.evaluation.results import SweepResult


def evaluate(given: EvalOptions) -> int:
    """Measure and print; returns 0, or SOME_FAILED if some of the pictures are not in the figures.

    Raises ConfigError for options, pictures and outputs that do not fit, ModelError for codecs and features.
    """
    from gancodec.evaluation import request
    from gancodec.evaluation.records import as_json
    from gancodec.evaluation.tables import as_text

    def show(result: SweepResult) -> None:
        if given.json == STDOUT:
            stdout.write_text(as_json(result))
        else:
            for line in as_text(result).splitlines():
                report.data(line)
        stdout.flush()

    with report.warnings_about("eval"):
        result = request.evaluate(given.request(), report.say, show)
    _say_unavailable(result.unavailable)
    if result.skipped:
        report.say(f"{len(result.skipped)} of {len(result.pictures) + len(result.skipped)} pictures were left out")
        return SOME_FAILED
    return 0


def compare(
    a: str,
    b: str,
    *,
    metrics: str,
    features: str | None,
    difference: Path | None,
    gain: float,
    realism: float | None,
    device: str,
    as_json: bool,
) -> int:
    """Say how far two pictures are apart; returns 0.

    Raises PictureError, FormatError for the pictures, ConfigError for two sizes, ModelError for features.
    """
    from gancodec.evaluation import pair

    if difference is not None:
        pair.check_difference(difference, (Path(a), Path(b)))
    with report.warnings_about("compare"):
        found = pair.compare_files(
            Path(a), Path(b), metrics=names("--metrics", metrics), features=features, realism=realism, device=device
        )
    if as_json:
        report.json_line(pair.as_row(found))
    else:
        for line in pair.as_lines(found):
            report.data(line)
    if difference is not None:
        pair.write_difference(found, difference, gain=gain)
    _say_unavailable(found.unavailable)
    return 0


def _say_unavailable(metrics: Sequence[Unavailable]) -> None:
    for each in metrics:
        report.say(f"warning: {each.key} skipped: {each.reason}")
