"""`gancodec bench`: from options to tables, or one JSON object.

Every import here is light: a child's peak of memory is never below the size of this process.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path

from gancodec.cli import report, stdout
from gancodec.cli.bench_options import BenchOptions
from gancodec.cli.failures import SOME_FAILED
from gancodec.evaluation.bench.results import Comparison
from gancodec.evaluation.bench.speed import Bench
from gancodec.evaluation.bench.tables import comparison_lines, setting_lines


def bench(given: BenchOptions, *, as_json: bool) -> int:
    """Measure; returns the exit code, that of "some failed" if a contender did.

    Raises ConfigError for options and device, ModelError for the codec, PictureError and LimitError for pictures.
    """
    request = given.request()
    done: list[Comparison] = []
    with tempfile.TemporaryDirectory(prefix="gancodec-bench-") as folder:
        work = Bench(request, Path(folder), report.say)
        setting, pictures = work.prepare()
        if not as_json:
            _print(setting_lines(setting, request))
        for comparison in work.compare(pictures):
            done.append(comparison)
            if not as_json:
                _print(["", *comparison_lines(comparison, request.runs)])
    if as_json:
        asked = {
            "codec": request.codec, "quality": request.quality, "effort": request.effort, "runs": request.runs,
        }  # fmt: skip
        report.json_line({**asked, "setting": asdict(setting), "comparisons": [asdict(found) for found in done]})
    return SOME_FAILED if any(found.has_failures for found in done) else 0


def _print(lines: list[str]) -> None:
    """At once: the next table may be minutes away."""
    for line in lines:
        report.data(line)
    stdout.flush()
