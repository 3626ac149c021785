"""Many files: what `compress` and `decompress` have in common.

    reader threads: read, check, open ─► this thread: networks, alike ones together ─► writer threads: finish, write

Outcomes are reported in the order of the inputs.  Whatever happens, a file has its final name only when it is whole.
"""

from __future__ import annotations

import errno
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final, Generic

from gancodec.cli import report, stdout
from gancodec.cli.ahead import Budget, ahead
from gancodec.cli.failures import exit_code
from gancodec.cli.inputs import is_folder, read
from gancodec.cli.operation import Converted, Group, OpenedT, Operation, StateT
from gancodec.cli.outputs import Job, is_file, refuse_existing, write_output
from gancodec.cli.progress import progress
from gancodec.cli.totals import Totals
from gancodec.errors import ConfigError, OutputError
from gancodec.writing import remove_stale_temporaries

THREADS: Final = min(4, os.cpu_count() or 1)
"""Readers, and writers."""
DEPTH: Final = THREADS + 2
"""Inputs that are open before the networks take them, and results on their way to the disk."""
BUDGET_PIXELS: Final = 64_000_000
"""Of all inputs from their opening to their result's end on the disk: what bounds memory."""
BATCH_MOST: Final = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What to do about outputs that exist, inputs that fail, and results that are no gain."""

    force: bool = False
    """Overwrite."""
    skip_existing: bool = False
    """Pass over inputs whose output is there, whole and up to date."""
    keep_going: bool = False
    """Go on with the next input after a failure."""
    json: bool = False
    """Report each file as a JSON object on stdout."""
    make_folders: bool = False
    """Make the folders of outputs."""
    warn_larger: bool = False
    """Say which results are not smaller than their inputs."""
    keep_larger: bool = False
    """Write no such results."""

    def __post_init__(self) -> None:
        if self.force and self.skip_existing:
            raise ConfigError("--force and --skip-existing exclude each other", hint="give one of them; Try --help")


@dataclass(kw_only=True, slots=True, eq=False)
class _Item(Generic[OpenedT, StateT]):
    """A job on its way, and what became of it."""

    job: Job
    pixels: int = 0
    """Of the budget."""
    opened: OpenedT | None = None
    state: StateT | None = None
    converted: Converted | None = None
    skipped: bool = False
    is_larger: bool = False
    error: Exception | None = None
    ends_run: bool = False
    """Whether the error would be that of every other input."""
    may_replace: bool = False
    """Whether what was there at the beginning may be overwritten."""
    bytes_before: int = 0
    seconds: float = 0.0
    """Of work on it, waiting left out; of a group, its share."""
    warnings: list[str]

    @property
    def is_over(self) -> bool:
        return self.skipped or self.error is not None or self.converted is not None

    def fail(self, error: Exception) -> None:
        # Nothing else can be written either where the disk is full.
        cause = error.__cause__
        full = isinstance(error, OutputError) and isinstance(cause, OSError) and cause.errno in _FULL
        self.error, self.ends_run = error, self.ends_run or full


_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


class Batch(Generic[OpenedT, StateT]):
    """Runs an operation over jobs and reports."""

    def __init__(self, operation: Operation[OpenedT, StateT], policy: Policy) -> None:
        self._operation, self._policy = operation, policy
        self._totals = Totals()
        self._writers: Executor
        self._done: Callable[[str], None]
        self._pending: list[_Item[OpenedT, StateT]] = []
        """Open, of one group, not yet computed."""
        self._group: Group | None = None
        self._finishing: deque[tuple[_Item[OpenedT, StateT], Future[None] | None]] = deque()
        self._budget = Budget(BUDGET_PIXELS)
        self._ended = False
        """Whether something happened that no other input would survive."""
        self._failed = False

    def run(self, jobs: Sequence[Job]) -> int:
        """Do all jobs and return the exit code of the command."""
        policy = self._policy
        _clean_up(jobs)
        with (
            _closing(ThreadPoolExecutor(THREADS)) as self._writers,
            _closing(ThreadPoolExecutor(THREADS)) as readers,
            closing(self._budget),
            progress(len(jobs), shown=not policy.json) as self._done,
            report.collected_warnings(),
            closing(
                # Whoever waits for the next input has what came before computed: the device is free, and the next
                # input may be waiting for what that holds of the budget.
                ahead(readers, self._read, list(enumerate(jobs)), depth=DEPTH, here=_blocks, idle=self._compute)
            ) as items,
        ):
            for item in items:
                self._take(item)
                if not self._goes_on:
                    break
            else:
                self._compute()
            while self._finishing:
                self._report_next()
        self._summarise(len(jobs))
        if self._totals.end is not None:
            return self._totals.end.exit_code
        return exit_code(self._totals.failures, inputs=len(jobs), kept_going=policy.keep_going)

    @property
    def _goes_on(self) -> bool:
        return not self._ended and (self._policy.keep_going or not self._failed)

    def _read(self, numbered: tuple[int, Job]) -> _Item[OpenedT, StateT]:
        """The first steps, in any thread."""
        number, job = numbered
        item: _Item[OpenedT, StateT] = _Item(job=job, warnings=[])
        with report.listening(item.warnings):
            try:
                data = self._check(item)
                item.pixels = 0 if data is None else self._operation.pixels(data, job.source.label)
            except Exception as exc:
                data = None
                item.fail(exc)
            self._budget.take(number, item.pixels)
            started = time.perf_counter()
            if data is not None:
                try:
                    item.opened = self._operation.open(data, job.source.label)
                except Exception as exc:
                    item.fail(exc)
        item.seconds += time.perf_counter() - started
        return item

    def _check(self, item: _Item[OpenedT, StateT]) -> bytes | None:
        """The bytes of an input that is to be converted; None for one that is skipped."""
        source, output, policy = item.job.source, item.job.output, self._policy
        data = None
        started = time.perf_counter()
        if output is not None and source.problem is None:
            if policy.skip_existing and is_file(output):
                data = read(source)
                if self._operation.is_done(source.path, data, output):
                    item.skipped = True
                    return None
                item.may_replace = True
            else:
                refuse_existing(output, force=policy.force)
                item.may_replace = policy.force
        data = read(source) if data is None else data
        item.bytes_before = len(data)
        item.seconds = time.perf_counter() - started
        return data

    def _take(self, item: _Item[OpenedT, StateT]) -> None:
        """An item in its turn: collect it to its group, or compute the group that it is not of."""
        group = None
        if not item.is_over:
            assert item.opened is not None
            try:
                self._operation.load()
            except Exception as exc:
                item.ends_run = True
                item.fail(exc)
            else:
                try:
                    group = self._operation.group(item.opened)
                except Exception as exc:
                    item.fail(exc)
        if self._pending and not self._fits(group):
            self._compute()
        if item.is_over:
            self._send(item)
        elif self._goes_on:
            self._pending.append(item)
            self._group = group
            if group is None:
                self._compute()

    def _fits(self, group: Group | None) -> bool:
        own = self._group
        if own is None or group is None or group.key != own.key or len(self._pending) >= BATCH_MOST:
            return False
        return (len(self._pending) + 1) * group.pixels <= group.limit_pixels

    def _compute(self) -> None:
        """The pending items through the networks, and on to the writers."""
        batch, self._pending = self._pending, []
        if not batch:
            return
        started = time.perf_counter()
        with report.listening(batch[0].warnings):
            self._compute_all(batch)
        share = (time.perf_counter() - started) / len(batch)
        for item in batch:
            item.seconds += share
            self._send(item)

    def _compute_all(self, batch: list[_Item[OpenedT, StateT]]) -> None:
        """Together; where that fails, in halves, so that one input's failure, or too little memory, is not all's."""
        states = None
        try:
            states = self._operation.compute([item.opened for item in batch if item.opened is not None])
        except Exception as exc:
            if len(batch) == 1:
                batch[0].fail(exc)
                return
        if states is None:  # outside of the handler, which would hold on to the memory of the attempt
            middle = len(batch) // 2
            self._compute_all(batch[:middle])
            self._compute_all(batch[middle:])
            return
        for item, state in zip(batch, states, strict=True):
            if isinstance(state, Exception):
                item.fail(state)
            else:
                item.state = state

    def _send(self, item: _Item[OpenedT, StateT]) -> None:
        """To the writers, unless it is over; report those that are."""
        self._notice(item)
        if item.is_over:
            self._release(item)
        if self._ended and item.error is None:
            return
        if item.is_over:
            self._finishing.append((item, None))
        elif item.job.output is None:
            self._finish(item)  # standard output is this thread's
            self._finishing.append((item, None))
        else:
            self._finishing.append((item, self._writers.submit(self._finish, item)))
        while self._finishing and (len(self._finishing) > DEPTH or _is_done(self._finishing[0][1])):
            self._report_next()

    def _notice(self, item: _Item[OpenedT, StateT]) -> None:
        """Failures of reading and computing end the run before it is their turn to be reported."""
        self._failed = self._failed or item.error is not None
        self._ended = self._ended or item.ends_run

    def _finish(self, item: _Item[OpenedT, StateT]) -> None:
        """The last steps; for files, in any thread."""
        started = time.perf_counter()
        with report.listening(item.warnings):
            try:
                self._write(item)
            except BrokenPipeError:
                raise
            except Exception as exc:
                item.converted = None
                item.fail(exc)
        item.seconds += time.perf_counter() - started
        self._release(item)

    def _release(self, item: _Item[OpenedT, StateT]) -> None:
        item.opened = item.state = None
        self._budget.give(item.pixels)

    def _write(self, item: _Item[OpenedT, StateT]) -> None:
        assert item.opened is not None and item.state is not None
        converted = self._operation.finish(item.opened, item.state)
        item.is_larger = self._policy.warn_larger and len(converted.data) >= item.bytes_before
        output = item.job.output
        if output is None:
            stdout.write_bytes(converted.data)
        elif not (item.is_larger and self._policy.keep_larger):
            write_output(
                output, converted.data, make_folders=self._policy.make_folders, replace=item.may_replace
            )
        item.converted = converted

    def _report_next(self) -> None:
        item, future = self._finishing.popleft()
        if future is not None:
            if self._ended and future.cancel():
                return
            future.result()
        self._notice(item)
        label = item.job.source.label
        self._done(label)
        for message in item.warnings:
            report.warn(label, message)
        if item.error is not None:
            self._report_failure(item, item.error)
        elif item.skipped:
            self._totals.skipped += 1
            self._report_row(item, {"skipped": True})
        else:
            self._report_success(item)

    def _report_failure(self, item: _Item[OpenedT, StateT], error: Exception) -> None:
        failure = report.error(item.job.source.label, error)
        self._totals.failures.append(failure)
        if item.ends_run and self._totals.end is None:
            self._totals.end = failure
        if self._policy.json:
            report.json_line({"input": item.job.source.name, "error": failure.text, "exit_code": failure.exit_code})

    def _report_success(self, item: _Item[OpenedT, StateT]) -> None:
        assert item.converted is not None
        converted, header = item.converted, item.converted.header
        left_alone = item.is_larger and self._policy.keep_larger
        if item.is_larger:
            sizes = f"{len(converted.data):,} bytes, the input {item.bytes_before:,}"
            then = "left alone" if left_alone else "--fallback keep would leave it alone"
            report.warn(item.job.source.label, f"its .gnc file is not smaller: {sizes}; {then}")
        if left_alone:
            self._totals.left_alone += 1
        else:
            self._totals.add(converted, item.bytes_before)
        self._report_row(
            item,
            {
                "bytes_before": item.bytes_before,
                "bytes_after": len(converted.data),
                "bpp": converted.bpp,
                "width": header.width,
                "height": header.height,
                "quality": header.quality,
                "seconds": round(item.seconds, 4),
                **({"left_alone": True} if left_alone else {}),
            },
        )

    def _report_row(self, item: _Item[OpenedT, StateT], row: Mapping[str, object]) -> None:
        if self._policy.json:
            report.json_line({"input": item.job.source.name, "output": item.job.output_name, **row})

    def _summarise(self, inputs: int) -> None:
        """The last lines.  A single failure has said all already."""
        if self._policy.json:
            report.json_line({"summary": self._totals.as_row(inputs)})
        elif inputs > 1 or not self._totals.failures:
            for line in self._totals.as_lines(inputs):
                report.say(line)


@contextmanager
def _closing(executor: ThreadPoolExecutor) -> Iterator[ThreadPoolExecutor]:
    """At the end, however it comes, wait for what is running and drop the rest."""
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


def _blocks(numbered: tuple[int, Job]) -> bool:
    """Whether reading may take for ever, as pipes do: a thread that waits for one could not be interrupted."""
    path = numbered[1].source.path
    return path is None or not (is_file(path) or is_folder(path))


def _is_done(future: Future[None] | None) -> bool:
    return future is None or future.done()


def _clean_up(jobs: Sequence[Job]) -> None:
    """Remove what a killed run over many files left where this one writes."""
    if len(jobs) > 1:
        for folder in {job.output.parent for job in jobs if job.output is not None}:
            remove_stale_temporaries(folder)
