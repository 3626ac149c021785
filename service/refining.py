"""What effort asks of a device that others wait for: an end in time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from gancodec.pipeline import Symbols


class Refined(NamedTuple):
    """A picture's symbols, and how far their refinement came."""

    symbols: Symbols
    done: int
    of: int
    """Iterations; both are 0 where nothing was refined."""


class Watch:
    """The step of one refinement: it goes on as long as another iteration, and what comes after it, will be in time."""

    def __init__(self, has_time: Callable[[float], bool]) -> None:
        """has_time: whether there are so many seconds."""
        self.done = self.of = 0
        self._has_time = has_time
        self._began = self._last = time.monotonic()
        self._first_s: float | None = None

    def __call__(self, done: int, of: int) -> bool:
        """Told of iterations; returns whether to go on."""
        self.done, self.of = done, of
        now = time.monotonic()
        if self._first_s is None:
            self._first_s = now - self._began
        # Kinds of iterations differ.  What is found has to be measured and coded in the end, which takes no longer than
        # the first one did with all that went before it.
        longest_s = max((now - self._began) / done, now - self._last)
        self._last = now
        return done == of or self._has_time(longest_s + self._first_s)
