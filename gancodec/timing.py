"""Where the seconds go: what a pipeline spends in its networks and in entropy coding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, local
from time import perf_counter
from typing import Final

NETWORK: Final = "network"
"""Networks and the steps between them, results waited for."""
ENTROPY: Final = "entropy coding"
"""Range coder and tables, on the CPU."""
FILE: Final = "file"
"""Container, metadata and colours, or a picture file: what is left of a conversion's time."""


class Stopwatch:
    """Adds up seconds by name, of all threads.  Time of a part within another one counts for the inner one alone."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._lock = Lock()
        self._within = local()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What happens inside counts for ``name``, failed or not."""
        outer: list[float] | None = getattr(self._within, "inner", None)
        inner = self._within.inner = [0.0]
        start = perf_counter()
        try:
            yield
        finally:
            taken = perf_counter() - start
            self._within.inner = outer
            if outer is not None:
                outer[0] += taken
            with self._lock:
                self._seconds[name] = self._seconds.get(name, 0.0) + taken - inner[0]

    def take(self) -> dict[str, float]:
        """Seconds of each part since they were last taken."""
        with self._lock:
            taken, self._seconds = self._seconds, {}
        return taken
