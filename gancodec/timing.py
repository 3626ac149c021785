"""Where the seconds go: what a pipeline spends in its networks and in entropy coding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Final

NETWORK: Final = "network"
"""Networks and the steps between them, results waited for."""
ENTROPY: Final = "entropy coding"
"""Range coder and tables, on the CPU."""


class Stopwatch:
    """Adds up seconds by name.  Parts do not nest.  For one thread at a time, as pipelines are."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What happens inside counts for ``name``, failed or not."""
        start = perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + perf_counter() - start

    def take(self) -> dict[str, float]:
        """Seconds of each part since they were last taken."""
        taken, self._seconds = self._seconds, {}
        return taken
