"""SIGTERM and Ctrl-C: not ready at once, then what is in work is answered, then the server ends in its own way.

The server alone stops listening first: new clients would see a refused connection where a 503 says more, and whoever
asks /readyz would learn of it too late.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)
POLL_S = 0.05


class Closing:
    """Knows whether the service is closing, and how many requests are in work."""

    def __init__(self, *, grace_s: float) -> None:
        """grace_s: how long requests in work are waited for, at most."""
        self.begun = False
        self._told = False
        """Whether the server knows."""
        self._grace_s = grace_s
        self._in_work = 0
        self._servers: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count a request for the time of the block; on the event loop only."""
        self._in_work += 1
        try:
            yield
        finally:
            self._in_work -= 1

    def listen(self) -> None:
        """Come before the server's own handlers, from the event loop; in the main thread, where there are any."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._loop = asyncio.get_running_loop()
        for number in SIGNALS:
            servers = signal.getsignal(number)
            if callable(servers):
                self._servers[number] = servers
                signal.signal(number, self._heard)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        assert self._loop is not None
        if self.begun:  # somebody is in a hurry
            self._tell(number, frame)
            return
        self.begun = True
        self._loop.call_soon_threadsafe(self._begin, number)

    def _begin(self, number: int) -> None:
        self._task = asyncio.ensure_future(self._end(number))

    async def _end(self, number: int) -> None:
        try:
            async with asyncio.timeout(self._grace_s):
                while self._in_work:
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            pass  # the server waits for its connections once more
        if not self._told:  # twice would mean to it that answers are to be cut off
            self._tell(number, None)

    def _tell(self, number: int, frame: FrameType | None) -> None:
        self._told = True
        self._servers[number](number, frame)
