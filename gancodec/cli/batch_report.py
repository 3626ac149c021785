"""What a run over many files says: a line or a row for each, and a summary whose counts add up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gancodec.cli import report
from gancodec.cli.failures import explain
from gancodec.cli.inputs import PassedBy
from gancodec.cli.item import Item
from gancodec.cli.totals import Totals

AnyItem = Item[Any, Any]


class BatchReport:
    """Counts items that are over, and says what became of them."""

    def __init__(self, *, json: bool, passed: PassedBy) -> None:
        self._json = json
        self.totals = Totals(passed=passed)
        self.done: Callable[[str], None] = lambda label: None
        """Called with the name of each input: the progress bar."""

    def count(self, item: AnyItem) -> None:
        """To be called before anything is printed, which takes time and may be interrupted."""
        totals = self.totals
        if item.error is not None:
            failure = explain(item.error)
            totals.failures.append(failure)
            if item.ends_run and totals.end is None:
                totals.end = failure
        elif item.skipped:
            totals.skipped += 1
        elif item.is_left_alone:
            totals.left_alone += 1
        else:
            assert item.converted is not None
            totals.add(item.converted, item.bytes_before)

    def tell(self, item: AnyItem) -> None:
        """Say what became of it."""
        label = item.job.source.label
        self.done(label)
        for message in item.warnings:
            report.warn(label, message)
        if item.error is not None:
            failure = report.error(label, item.error)
            self._row(item, None, {"error": failure.text, "exit_code": failure.exit_code})
        elif item.skipped:
            self._row(item, item.job.output_name, {"skipped": True})
        else:
            self._tell_success(item)

    def _tell_success(self, item: AnyItem) -> None:
        assert item.converted is not None
        converted, header = item.converted, item.converted.header
        left_alone = item.is_left_alone
        if item.was_cut_short:
            report.warn(item.job.source.label, "Ctrl-C cut its refinement short; the file is whole")
        if item.is_larger:
            sizes = f"{len(converted.data):,} bytes, the input {item.bytes_before:,}"
            then = "left alone" if left_alone else "--fallback keep would leave it alone"
            if item.removed is not None:
                then += f", and {item.removed} of an earlier run removed"
            elif item.stale is not None:
                then += f", but {item.stale} of an earlier run is still there: look at it, or remove it with -f"
            report.warn(item.job.source.label, f"its .gnc file is not smaller: {sizes}; {then}")
        more: dict[str, object] = {"left_alone": True} if left_alone else {}
        if item.was_cut_short:
            more["cut_short"] = True
        if item.removed is not None:
            more["removed"] = str(item.removed)
        if item.stale is not None:
            more["stale"] = str(item.stale)
        self._row(
            item,
            None if left_alone else item.job.output_name,
            {
                "bytes_before": item.bytes_before,
                "bytes_after": len(converted.data),
                "bpp": converted.bpp,
                "width": header.width,
                "height": header.height,
                "quality": header.quality,
                "seconds": round(item.seconds, 4),
                **more,
            },
        )

    def _row(self, item: AnyItem, output: str | None, row: Mapping[str, object]) -> None:
        """output: where the result lies; None where there is none."""
        if self._json:
            report.json_line({"input": item.job.source.name, "output": output, **row})

    def summarise(self, inputs: int, *, interrupted: bool = False) -> None:
        """The last lines.  A single failure has said all already."""
        if self._json:
            report.json_line({"summary": self.totals.as_row(inputs)})
        elif inputs > 1 or not self.totals.failures:
            for line in self.totals.as_lines(inputs, interrupted=interrupted):
                report.say(line)
