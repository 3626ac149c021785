"""Work of other threads, in order and not too far ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future
from typing import TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def ahead(
    executor: Executor, work: Callable[[ItemT], ResultT], items: Iterable[ItemT], *, depth: int,
    here: Callable[[ItemT], bool] = lambda item: False,
) -> Generator[ResultT, None, None]:  # fmt: skip
    """``work`` of each item, in the items' order; at most ``depth`` items are in work or waiting to be taken.

    here: of the items that are worked in the caller's thread, when it is their turn.  Closing the iterator drops what
    has not begun.
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
            yield work(item) if future is None else future.result()
    finally:
        for _, future in waiting:
            if future is not None:
                future.cancel()
