"""Work for one device: jobs of one kind and shape go through together, large ones let small ones pass.

Plain threads and queues; knows neither HTTP nor networks.  Every future is answered exactly once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from service.refining import Refined

Run = Callable[[Hashable, Sequence[Any]], Sequence[Any]]
"""Key and items of a batch -> for each item a result, or an exception, in the same order."""
MERCY_S: Final = 10.0
"""For one piece of a job to come to its end."""
log = logging.getLogger("gancodec.service")


class DeadlineError(Exception):
    """The job's time was over before its turn came."""


class ClosedError(Exception):
    """The batcher takes no more jobs, or did not finish this one while it closed."""


class GivenUpError(Exception):
    """Nobody waits for the job any more."""


@dataclass(slots=True, eq=False)
class Job:
    """One picture's way through a network."""

    key: Hashable
    """Jobs of one key may go through together."""
    item: Any
    pixels: int
    """What it has of memory."""
    deadline: float
    """By time.monotonic()."""
    relative_time: float = 1.0
    """What a pixel of it takes, in times of one that is coded without effort."""
    arrived: float = field(default_factory=time.monotonic)
    future: Future[Any] = field(default_factory=Future)
    batch: int = 0
    """How many went through together with it, itself included; known once it is done."""
    waited_s: float = 0.0
    ran_s: float = 0.0
    given_up: bool = False
    is_done: bool = False
    """Whether all that it costs was spent on it."""

    @property
    def cost(self) -> float:
        """Its time on the device, in pixels that are coded without effort."""
        return self.pixels * self.relative_time

    def give_up(self) -> None:
        """Nobody waits for it any more: it shall not begin, and if it is under way, end as soon as may be."""
        self.given_up = True
        self.future.cancel()


Observe = Callable[[Sequence[Job]], None]
"""Told of each batch before its jobs are answered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """When a batch is full."""

    pictures: int
    pixels: int
    """A single job may have more."""
    delay_s: float
    """How long the first job of a batch waits for others."""
    small_cost: float
    """Jobs up to this cost may pass larger ones that are under way."""


class Batcher:
    """One thread that runs batches, the oldest job's first.

    ``run`` calls ``between`` between the pieces of what it works on, and lets through what that raises.
    """

    def __init__(self, run: Run, limits: Limits, *, observe: Observe = lambda jobs: None) -> None:
        self._run, self._limits, self._observe = run, limits, observe
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._begun: set[Job] = set()
        """All that are in ``run``, the small ones that pass included."""
        self._running: list[Sequence[Job]] = []
        """The batch that is under way, and the one that passes it."""
        self._passed_s = 0.0
        """How long batches have passed others, all in all."""
        self._resumed = 0.0
        """When the large job that is under way began, or went on."""
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Jobs whose turn has not come."""
        with self._changed:
            return len(self._jobs)

    def submit(self, job: Job) -> Future[Any]:
        """Queue a job; its future may be cancelled until its turn has come.  Raises ClosedError after ``close``."""
        with self._changed:
            if self._closing:
                raise ClosedError
            self._jobs.append(job)
            self._changed.notify()
        job.future.add_done_callback(lambda _: self._forget(job))
        return job.future

    def close(self, *, mercy_s: float = MERCY_S) -> None:
        """Take no more jobs and end; every job that is not done fails with ClosedError.

        What is under way ends as soon as ``run`` comes between two pieces, which is waited for up to ``mercy_s``.
        """
        with self._changed:
            self._closing = True
            left, self._jobs = self._jobs, deque()
            self._changed.notify()
        for job in left:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(ClosedError())
        self._thread.join(mercy_s)
        for job in list(self._begun):
            _answer(job, ClosedError())

    def between(self) -> None:
        """End what nobody waits for, or whose time is over; else let small jobs pass.

        Called by ``run``, from the batcher's own thread; does nothing elsewhere.  Raises GivenUpError, DeadlineError or
        ClosedError if that is so for all jobs under way.
        """
        if threading.current_thread() is not self._thread:
            return
        self._end_what_is_over()
        if len(self._running) == 1:
            self._let_small_pass()

    def has_time(self, seconds: float) -> bool:
        """Whether there are so many seconds for what is running before one of those who wait for it had to be refused.

        Called by ``run``, from the batcher's own thread.  Raises as ``between``.
        """
        self._end_what_is_over()
        now = time.monotonic()
        waiting = [job for job in self._running[-1] if not job.given_up and now <= job.deadline]
        return all(now + seconds <= job.deadline for job in waiting)

    def _end_what_is_over(self) -> None:
        if self._closing:
            raise ClosedError
        jobs, now = self._running[-1], time.monotonic()
        if all(job.given_up for job in jobs):
            raise GivenUpError
        if all(job.given_up or now > job.deadline for job in jobs):
            raise DeadlineError

    def _forget(self, job: Job) -> None:
        """What is answered, or was given up before its turn, holds nothing any more."""
        with self._changed, suppress(ValueError):
            self._jobs.remove(job)
        job.item = None

    def _let_small_pass(self) -> None:
        """Run small jobs, if there are any, for about as long as the large one has run since the last time.

        So either kind has half of the device where both wait.
        """
        began = time.monotonic()
        until = began + (began - self._resumed)
        while jobs := self._next_small():
            self._do(jobs)
            if time.monotonic() >= until:
                break
        self._resumed = time.monotonic()
        self._passed_s += self._resumed - began

    def _next_small(self) -> list[Job]:
        """The next batch of small jobs; empty if none waits.  Those that were given up take no turn."""
        with self._changed:
            while True:
                first = next((job for job in self._jobs if job.cost <= self._limits.small_cost), None)
                if first is None:
                    return []
                if jobs := self._take(first):
                    return jobs

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._jobs and not self._closing:
                    self._changed.wait()
                if not self._jobs:
                    return
                self._gather()
                jobs = self._take(self._jobs[0]) if self._jobs else []
            if jobs:
                self._resumed = time.monotonic()
                self._do(jobs)

    def _gather(self) -> None:
        """Wait until the oldest job's batch is full, or it has waited long enough."""
        while self._jobs and not self._closing:
            first = self._jobs[0]
            left = first.arrived + self._limits.delay_s - time.monotonic()
            if left <= 0 or len(self._alike(first)) >= self._limits.pictures:
                return
            self._changed.wait(left)

    def _alike(self, first: Job) -> list[Job]:
        """The jobs that would go through with ``first``, in their order."""
        chosen, pixels = [first], first.pixels
        for job in self._jobs:
            if job is first or job.key != first.key:
                continue
            if len(chosen) >= self._limits.pictures or pixels + job.pixels > self._limits.pixels:
                break
            chosen.append(job)
            pixels += job.pixels
        return chosen

    def _take(self, first: Job) -> list[Job]:
        """Remove a batch from the queue; those that were cancelled or are too late are answered here."""
        chosen = self._alike(first)
        for job in chosen:
            self._jobs.remove(job)
        now = time.monotonic()
        taken = []
        for job in chosen:
            if not job.future.set_running_or_notify_cancel():
                continue
            if now > job.deadline:
                job.future.set_exception(DeadlineError())
                continue
            job.waited_s = now - job.arrived
            taken.append(job)
        return taken

    def _do(self, jobs: list[Job]) -> None:
        started, passed_s = time.monotonic(), self._passed_s
        self._begun.update(jobs)
        self._running.append(jobs)
        results: Sequence[Any]
        try:
            results = self._run(jobs[0].key, [job.item for job in jobs])
            if len(results) != len(jobs):
                raise RuntimeError(f"{len(results)} results for {len(jobs)} jobs")
        except Exception as exc:
            results = [exc] * len(jobs)
        self._running.pop()
        ran_s = time.monotonic() - started - (self._passed_s - passed_s)
        for job in jobs:
            job.batch, job.ran_s = len(jobs), ran_s
        for job, result in zip(jobs, results, strict=True):
            cut_short = isinstance(result, Refined) and result.done < result.of
            job.is_done = not (cut_short or isinstance(result, Exception))
        try:
            self._observe(jobs)
        except Exception:
            log.exception("a batch could not be counted")
        for job, result in zip(jobs, results, strict=True):
            _answer(job, result)
        self._begun.difference_update(jobs)


def _answer(job: Job, result: Any) -> None:
    """Once: what comes after the job was answered is nobody's."""
    with suppress(InvalidStateError):
        if isinstance(result, Exception):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)
