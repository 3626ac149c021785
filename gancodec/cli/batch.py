"""Many files: what `compress` and `decompress` have in common.

    reader threads: read, check, open ─► this thread: networks, alike ones together ─► writer threads: finish, write

Outcomes are reported in the order of the inputs.  Whatever happens, a file has its final name only when it is whole.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from typing import Final, Generic

from gancodec.cli import report, stdout
from gancodec.cli.ahead import Budget, ahead
from gancodec.cli.batch_report import BatchReport
from gancodec.cli.failures import exit_code
from gancodec.cli.inputs import PassedBy, is_folder, read
from gancodec.cli.item import Item, Policy
from gancodec.cli.operation import Group, OpenedT, Operation, StateT
from gancodec.cli.outputs import Job, is_file, refuse_existing, remove_gnc, write_output
from gancodec.cli.progress import Progress, progress
from gancodec.cli.refinement import Refinement
from gancodec.writing import identity, remove_stale_temporaries

THREADS: Final = min(4, os.cpu_count() or 1)
"""Readers, and writers."""
DEPTH: Final = THREADS + 2
"""Inputs that are open before the networks take them, and results on their way to the disk."""
BUDGET_PIXELS: Final = 64_000_000
"""Of all inputs from their opening to their result's end on the disk: what bounds memory."""
BATCH_MOST: Final = 32


class Batch(Generic[OpenedT, StateT]):
    """Runs an operation over jobs and reports."""

    def __init__(
        self,
        operation: Operation[OpenedT, StateT],
        policy: Policy,
        passed: PassedBy | None = None,
        refinement: Refinement | None = None,
    ) -> None:
        """refinement: what the operation's compute() tells of its iterations."""
        self._operation, self._policy = operation, policy
        self._report = BatchReport(json=policy.json, passed=passed or PassedBy())
        self._refinement = refinement or Refinement()
        self._progress = Progress()
        self._writers: Executor
        self._pending: list[Item[OpenedT, StateT]] = []
        """Open, of one group, not yet computed."""
        self._group: Group | None = None
        self._finishing: deque[tuple[Item[OpenedT, StateT], Future[None] | None]] = deque()
        self._budget = Budget(BUDGET_PIXELS)
        self._ended = False
        """Whether something happened that no other input would survive."""
        self._failed = False

    def run(self, jobs: Sequence[Job]) -> int:
        """Do all jobs and return the exit code of the command."""
        try:
            self._run(jobs)
        except KeyboardInterrupt:
            # What the writers had in hand is on the disk by now, and counts.
            self._report_finished()
            if len(jobs) > 1:
                self._report.summarise(len(jobs), interrupted=True)
            raise
        if self._refinement.is_ended:
            self._report.summarise(len(jobs), interrupted=True)
            raise KeyboardInterrupt
        self._report.summarise(len(jobs))
        totals = self._report.totals
        if totals.end is not None:
            return totals.end.exit_code
        return exit_code(totals.failures, inputs=len(jobs), kept_going=self._policy.keep_going)

    def _run(self, jobs: Sequence[Job]) -> None:
        """Read, compute, write and report."""
        _clean_up(jobs)
        with (
            _closing(ThreadPoolExecutor(THREADS)) as self._writers,
            _closing(ThreadPoolExecutor(THREADS)) as readers,
            closing(self._budget),
            progress(len(jobs), shown=not self._policy.json, refines=self._refinement.is_long) as self._progress,
            report.collected_warnings(),
            closing(
                # Whoever waits for the next input has what came before computed: the device is free, and the next
                # input may be waiting for what that holds of the budget.
                ahead(readers, self._read, list(enumerate(jobs)), depth=DEPTH, here=_blocks, idle=self._compute)
            ) as items,
        ):
            self._report.done = self._progress.done
            with suppress(_EndedByUserError):
                for item in items:
                    self._take(item)
                    if not self._goes_on:
                        break
                else:
                    self._compute()
            while self._finishing:
                self._report_next()

    @property
    def _goes_on(self) -> bool:
        return not self._ended and (self._policy.keep_going or not self._failed)

    def _read(self, numbered: tuple[int, Job]) -> Item[OpenedT, StateT]:
        """The first steps, in any thread."""
        number, job = numbered
        item: Item[OpenedT, StateT] = Item(job=job, warnings=[])
        data = None
        with report.listening(item.warnings):
            try:
                data = self._check(item)
                item.pixels = self._operation.pixels(data, job.source.label)
            except Exception as exc:
                item.fail(exc)
            self._budget.take(number, item.pixels)
            started = time.perf_counter()
            if data is not None and item.error is None:
                try:
                    # Looking whether the output is whole may decode it: that is in the budget, as it has our size.
                    if not self._is_done(item, data):
                        item.opened = self._operation.open(data, job.source.label)
                except Exception as exc:
                    item.fail(exc)
        item.seconds += time.perf_counter() - started
        return item

    def _check(self, item: Item[OpenedT, StateT]) -> bytes:
        """The bytes of an input.  Raises InputError, and ConfigError for an output that is neither new nor wanted."""
        source, output, policy = item.job.source, item.job.output, self._policy
        started = time.perf_counter()
        if output is not None and source.problem is None:
            item.found = identity(output)
            item.had_output = policy.skip_existing and is_file(output)
            if not item.had_output:
                refuse_existing(output, force=policy.force, gnc=policy.writes_gnc)
                item.may_replace = policy.force
        data = read(source)
        item.bytes_before = len(data)
        item.seconds = time.perf_counter() - started
        return data

    def _is_done(self, item: Item[OpenedT, StateT], data: bytes) -> bool:
        """Whether an input may be passed over; else what is there may be replaced.  Raises ConfigError."""
        if item.had_output and item.job.output is not None:
            item.skipped = self._operation.is_done(item.job.source.path, data, item.job.output)
            item.may_replace = not item.skipped
        return item.skipped

    def _take(self, item: Item[OpenedT, StateT]) -> None:
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
        """The pending items through the networks, and on to the writers.

        Raises _EndedByUserError behind that if nothing else is to be computed.
        """
        batch, self._pending = self._pending, []
        if not batch:
            return
        started = time.perf_counter()
        with report.listening(batch[0].warnings), self._progress.refining(_label(batch)) as self._refinement.show:
            self._compute_all(batch)
        share = (time.perf_counter() - started) / len(batch)
        for item in batch:
            item.seconds += share
            item.was_cut_short = self._refinement.was_cut_short
            self._send(item)
        if self._refinement.is_ended:
            raise _EndedByUserError

    def _compute_all(self, batch: list[Item[OpenedT, StateT]]) -> None:
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

    def _send(self, item: Item[OpenedT, StateT]) -> None:
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

    def _notice(self, item: Item[OpenedT, StateT]) -> None:
        """Failures of reading and computing end the run before it is their turn to be reported."""
        self._failed = self._failed or item.error is not None
        self._ended = self._ended or item.ends_run

    def _finish(self, item: Item[OpenedT, StateT]) -> None:
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

    def _release(self, item: Item[OpenedT, StateT]) -> None:
        item.opened = item.state = None
        self._budget.give(item.pixels)

    def _write(self, item: Item[OpenedT, StateT]) -> None:
        assert item.opened is not None and item.state is not None
        converted = self._operation.finish(item.opened, item.state)
        item.is_larger = self._policy.warn_larger and len(converted.data) >= item.bytes_before
        output = item.job.output
        if output is None:
            stdout.write_bytes(converted.data)
        elif not (item.is_larger and self._policy.keep_larger):
            write_output(
                output,
                converted.data,
                make_folders=self._policy.make_folders,
                replaces=item.found if item.may_replace else None,
                source=item.job.source.path,
            )
        else:
            item.is_left_alone = True
            if is_file(output):  # it must not look like the result
                removed = self._policy.force and remove_gnc(output)
                item.removed, item.stale = (output, None) if removed else (None, output)
        item.converted = converted

    def _report_next(self) -> None:
        item, future = self._finishing[0]
        if future is not None:
            if self._ended and future.cancel():
                self._finishing.popleft()
                return
            future.result()  # Ctrl-C comes here more often than elsewhere: so the item still stands in the queue
        self._finishing.popleft()
        self._notice(item)
        self._report.count(item)
        self._report.tell(item)

    def _report_finished(self) -> None:
        """After Ctrl-C: what was finished all the same."""
        for item, future in self._finishing:
            if future is None or (future.done() and not future.cancelled() and future.exception() is None):
                self._report.count(item)
                self._report.tell(item)
        self._finishing.clear()


class _EndedByUserError(Exception):
    """Ctrl-C ended a refinement whose result is kept: out of wherever the next inputs are waited for."""


def _label(batch: Sequence[Item[OpenedT, StateT]]) -> str:
    return batch[0].job.source.label if len(batch) == 1 else f"{len(batch)} pictures"


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
