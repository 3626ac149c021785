"""The threads in which requests are worked on: a fixed number, and a bounded queue before them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from service.admission import full

T = TypeVar("T")


class Threads:
    """Picture files and entropy coding run here: never more of them at once than there are threads.

    A thread cannot be stopped.  What nobody waits for any more keeps its place until it is done, so that requests
    which are given up one after the other do not add up.
    """

    def __init__(self, threads: int, *, waiting: int) -> None:
        """waiting: how many may wait for a thread."""
        self._pool = ThreadPoolExecutor(threads, "request")
        self._free = asyncio.Semaphore(threads)
        self._waiting, self._most_waiting = 0, waiting

    async def run(self, do: Callable[[], T]) -> T:
        """What ``do`` returns or raises.  Raises QueueFull if too many wait already."""
        if self._free.locked() and self._waiting >= self._most_waiting:
            raise full(f"{self._waiting} requests are waiting")
        self._waiting += 1
        try:
            # Not the pool's own queue: it would keep the bodies of requests that were given up.
            await self._free.acquire()
        finally:
            self._waiting -= 1
        loop = asyncio.get_running_loop()
        future = self._pool.submit(do)
        future.add_done_callback(lambda _: self._leave(loop))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Take nothing more; does not wait for what was given up."""
        self._pool.shutdown(wait=False)

    def _leave(self, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(self._free.release)
