"""What a run over many files came to."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from gancodec.cli.failures import INTERNAL, Failure
from gancodec.cli.inputs import PassedBy
from gancodec.cli.operation import Converted

_KINDS: Final = {
    INTERNAL: "not written",
    2: "refused",
    3: "unreadable or unsupported",
    4: "damaged or too new",
    5: "without a model",
    6: "above a limit",
}
"""By exit code, for the table."""


@dataclass(kw_only=True, slots=True)
class Totals:
    """Counts, and the sums over the files that were converted."""

    files: int = 0
    skipped: int = 0
    left_alone: int = 0
    """Whose .gnc file would not have been smaller."""
    failures: list[Failure] = field(default_factory=list)
    end: Failure | None = None
    """The one that no other input would have survived, either."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Kinds of metadata that results have no place for, by the files that had them."""
    left_out_files: int = 0
    passed: PassedBy = field(default_factory=PassedBy)
    """What the search for inputs met besides them."""
    bytes_before: int = 0
    bytes_after: int = 0
    pixels: int = 0
    bpp_sum: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    def add(self, converted: Converted, bytes_before: int) -> None:
        """Count a file that was converted."""
        self.files += 1
        self.bytes_before += bytes_before
        self.bytes_after += len(converted.data)
        self.pixels += converted.pixels
        self.bpp_sum += converted.bpp
        self.left_out.update(converted.left_out)
        self.left_out_files += bool(converted.left_out)

    @property
    def bpp(self) -> float | None:
        """Mean of the files' bits per pixel."""
        return self.bpp_sum / self.files if self.files else None

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.perf_counter() - self.started

    def as_row(self, inputs: int) -> dict[str, Any]:
        """For --json; `inputs` there were in all."""
        return {
            "files": self.files,
            "skipped": self.skipped,
            "left_alone": self.left_alone,
            "failed": len(self.failures),
            "not_tried": inputs - self._tried,
            "bytes_before": self.bytes_before,
            "bytes_after": self.bytes_after,
            "bpp": self.bpp,
            "pixels": self.pixels,
            "metadata_left_out": dict(self.left_out),
            "passed_by": self.passed.as_row(),
            "seconds": round(self.seconds, 4),
        }

    def as_lines(self, inputs: int, *, interrupted: bool = False) -> list[str]:
        """A line for one file; for several a table with a row for each way in which they ended."""
        rows = self._counts()
        if inputs == 1:
            rows |= {name: f"{name} {text}" for name, text in self._asides().items()}
            return ["; ".join([*rows.values(), f"{self.seconds:.1f} s"])]
        if rest := inputs - self._tried:
            rows["not tried"] = f"{_files(rest)} {self._why_not_tried(interrupted)}"
        rows |= self._asides()
        speed = f", {self.pixels / 1e6 / self.seconds:.1f} Mpixel/s" if self.files else ""
        rows |= {"time": f"{self.seconds:.1f} s{speed}"}
        width = max(map(len, rows))
        return [f"{name:<{width}}  {text}" for name, text in rows.items()]

    def _why_not_tried(self, interrupted: bool) -> str:
        if interrupted:
            return "when it was interrupted; --skip-existing goes on"
        then = "--keep-going goes on" if self.end is None else self.end.text
        return f"behind the failure; {then}"

    @property
    def _tried(self) -> int:
        return self.files + self.skipped + self.left_alone + len(self.failures)

    def _asides(self) -> dict[str, str]:
        """What is lost or missed without being an error."""
        rows = {}
        if self.left_out_files:
            kinds = ", ".join(f"{kind} {count:,}" for kind, count in self.left_out.most_common())
            rows["metadata left out"] = f"{_files(self.left_out_files)} ({kinds})"
        if self.passed.text:
            rows["passed by"] = self.passed.text
        return rows

    def _counts(self) -> dict[str, str]:
        rows = {}
        if self.files:
            percent = f" ({100 * self.bytes_after / self.bytes_before:.1f} %)" if self.bytes_before else ""
            rows["done"] = (
                f"{_files(self.files)}; {self.bytes_before:,} -> {self.bytes_after:,} bytes{percent}; "
                f"mean {self.bpp:.3f} bpp"
            )
        if self.skipped:
            rows["skipped"] = f"{_files(self.skipped)} done before"
        if self.left_alone:
            rows["left alone"] = f"{_files(self.left_alone)} that would not have become smaller"
        if self.failures:
            kinds = Counter(_KINDS.get(failure.exit_code, "failed") for failure in self.failures)
            told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
            rows["failed"] = f"{_files(len(self.failures))}: {told}"
        return rows


def _files(count: int) -> str:
    return f"{count:,} file{'' if count == 1 else 's'}"
