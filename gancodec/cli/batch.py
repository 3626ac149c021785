"""Many files, one after the other: what `compress` and `decompress` have in common.

An Operation turns one input into one output.  The order of its steps is that of their cost: what can go wrong
without the networks goes wrong before they are loaded.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from gancodec.cli import report, stdout
from gancodec.cli.failures import Failure, exit_code
from gancodec.cli.inputs import read
from gancodec.cli.outputs import Job, is_file, refuse_existing, write_output
from gancodec.cli.progress import progress
from gancodec.container import Header
from gancodec.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What to do about outputs that exist and inputs that fail."""

    force: bool = False
    """Overwrite."""
    skip_existing: bool = False
    """Pass over inputs whose output exists."""
    keep_going: bool = False
    """Go on with the next input after a failure."""
    json: bool = False
    """Report each file as a JSON object on stdout."""
    make_folders: bool = False
    """Make the folders of outputs."""

    def __post_init__(self) -> None:
        if self.force and self.skip_existing:
            raise ConfigError("--force and --skip-existing exclude each other", hint="give one of them; Try --help")


@dataclass(frozen=True, kw_only=True, slots=True)
class Converted:
    """The result for one input."""

    data: bytes
    """What is written."""
    header: Header
    """Of the .gnc file: the output of `compress`, the input of `decompress`."""
    gnc_bytes: int
    """Size of that file."""

    @property
    def bpp(self) -> float:
        """Bits of the .gnc file per pixel."""
        return 8 * self.gnc_bytes / (self.header.width * self.header.height)


class Operation(Protocol[T]):
    """One kind of conversion."""

    def open(self, data: bytes, label: str) -> T:
        """Check the input as far as that is cheap."""

    def load(self) -> None:
        """Get ready what all inputs need.  Called before each convert(); a failure ends the whole run."""

    def convert(self, opened: T) -> Converted:
        """Do the work."""


@dataclass(kw_only=True, slots=True)
class _Totals:
    files: int = 0
    skipped: int = 0
    failures: list[Failure] = field(default_factory=list)
    bytes_before: int = 0
    bytes_after: int = 0
    bpp_sum: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    @property
    def bpp(self) -> float | None:
        """Mean of the files' bits per pixel."""
        return self.bpp_sum / self.files if self.files else None

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started


class _LoadingError(Exception):
    """Carries the failure of Operation.load(), which would be the same for every other file."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Batch(Generic[T]):
    """Runs an operation over jobs and reports."""

    def __init__(self, operation: Operation[T], policy: Policy) -> None:
        self._operation, self._policy = operation, policy
        self._totals = _Totals()
        self._stopped_by_loading = False

    def run(self, jobs: Sequence[Job]) -> int:
        """Do all jobs and return the exit code of the command."""
        with progress(len(jobs), shown=not self._policy.json) as begin:
            for job in jobs:
                begin(job.source.label)
                if not self._try(job):
                    break
        self._summarise(len(jobs))
        kept_going = self._policy.keep_going and not self._stopped_by_loading
        return exit_code(self._totals.failures, inputs=len(jobs), kept_going=kept_going)

    def _try(self, job: Job) -> bool:
        """Do one job and report on it; False if the run ends here."""
        try:
            self._do(job)
        except BrokenPipeError:
            raise
        except _LoadingError as exc:
            self._stopped_by_loading = True
            self._fail(job, exc.error)
            return False
        except Exception as exc:
            self._fail(job, exc)
            return self._policy.keep_going
        return True

    def _do(self, job: Job) -> None:
        source, output, policy = job.source, job.output, self._policy
        if output is not None and source.problem is None:
            if policy.skip_existing and is_file(output):
                self._skip(job)
                return
            refuse_existing(output, force=policy.force)
        with report.warnings_about(source.label):
            started = time.perf_counter()
            data = read(source)
            opened = self._operation.open(data, source.label)
            opened_in = time.perf_counter() - started
            try:
                self._operation.load()
            except Exception as exc:
                raise _LoadingError(exc) from exc
            started = time.perf_counter()
            converted = self._operation.convert(opened)
            if output is None:
                stdout.write_bytes(converted.data)
            else:
                write_output(output, converted.data, make_folders=policy.make_folders)
        self._succeed(job, converted, bytes_before=len(data), seconds=opened_in + time.perf_counter() - started)

    def _succeed(self, job: Job, converted: Converted, *, bytes_before: int, seconds: float) -> None:
        totals, header = self._totals, converted.header
        totals.files += 1
        totals.bytes_before += bytes_before
        totals.bytes_after += len(converted.data)
        totals.bpp_sum += converted.bpp
        if self._policy.json:
            report.json_line(
                {
                    "input": job.source.name,
                    "output": job.output_name,
                    "bytes_before": bytes_before,
                    "bytes_after": len(converted.data),
                    "bpp": converted.bpp,
                    "width": header.width,
                    "height": header.height,
                    "quality": header.quality,
                    "seconds": round(seconds, 4),
                }
            )

    def _skip(self, job: Job) -> None:
        self._totals.skipped += 1
        if self._policy.json:
            report.json_line({"input": job.source.name, "output": job.output_name, "skipped": True})

    def _fail(self, job: Job, error: Exception) -> None:
        failure = report.error(job.source.label, error)
        self._totals.failures.append(failure)
        if self._policy.json:
            report.json_line({"input": job.source.name, "error": failure.text, "exit_code": failure.exit_code})

    def _summarise(self, inputs: int) -> None:
        """The last line.  A single failure has said all already."""
        totals = self._totals
        failed = len(totals.failures)
        if self._policy.json:
            summary = {
                "files": totals.files,
                "skipped": totals.skipped,
                "failed": failed,
                "bytes_before": totals.bytes_before,
                "bytes_after": totals.bytes_after,
                "bpp": totals.bpp,
                "seconds": round(totals.seconds, 4),
            }
            report.json_line({"summary": summary})
        elif inputs > 1 or not failed:
            report.say(_summary_text(totals))


def _summary_text(totals: _Totals) -> str:
    parts = [f"{totals.files} file{'' if totals.files == 1 else 's'}"]
    if totals.files:
        percent = f" ({100 * totals.bytes_after / totals.bytes_before:.1f} %)" if totals.bytes_before else ""
        parts.append(f"{totals.bytes_before:,} -> {totals.bytes_after:,} bytes{percent}")
        parts.append(f"mean {totals.bpp:.3f} bpp")
    if totals.skipped:
        parts.append(f"{totals.skipped} skipped")
    if totals.failures:
        parts.append(f"{len(totals.failures)} failed")
    return "; ".join([*parts, f"{totals.seconds:.1f} s"])
