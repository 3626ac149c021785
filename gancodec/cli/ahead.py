"""Work of other threads, in order and not too far ahead."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future
from typing import TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def ahead(
    executor: Executor, work: Callable[[ItemT], ResultT], items: Iterable[ItemT], *, depth: int,
    here: Callable[[ItemT], bool] = lambda item: False,
    idle: Callable[[], None] = lambda: None,
) -> Generator[ResultT, None, None]:  # fmt: skip
    """``work`` of each item, in the items' order; at most ``depth`` items are in work or waiting to be taken.

    here: of the items that are worked in the caller's thread, when it is their turn.  idle: called before the caller
    has to wait.  Closing the iterator drops what has not begun.
    """
    waiting: deque[tuple[ItemT, Future[ResultT] | None]] = deque()
    rest = iter(items)
    try:
        while True:
            while len(waiting) < depth:
                try:
                    item = next(rest)
                except StopIteration:
                    break
                waiting.append((item, None if here(item) else executor.submit(work, item)))
            if not waiting:
                return
            item, future = waiting.popleft()
            if future is None or not future.done():
                idle()
            yield work(item) if future is None else future.result()
    finally:
        for _, future in waiting:
            if future is not None:
                future.cancel()


class Budget:
    """What may be held at once, granted in the order of numbers 0, 1, 2, …: nobody is passed for ever.

    A share that is larger than the budget is granted when nothing else is held.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._next = 0
        self._over = False
        self._changed = threading.Condition()

    def take(self, number: int, share: int) -> None:
        """Wait for the turn of ``number``, and for its share.  Every number takes once, if only 0."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._over or (self._next == number and (self._held + share <= self._most or self._held == 0))
            )
            self._held += share
            self._next = max(self._next, number + 1)
            self._changed.notify_all()

    def give(self, share: int) -> None:
        """Return a share."""
        with self._changed:
            self._held -= share
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody waits any more."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
