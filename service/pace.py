"""How fast the device is, so that no more is let in than it can do in time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from service.batcher import Job

TELLING_COST: Final = 200_000.0
"""A cheaper batch says more about its fixed costs than about the device."""
NEWEST_SHARE: Final = 0.3
"""Of the last batch in the mean."""


class Pace:
    """A moving mean over batches."""

    def __init__(self) -> None:
        self.pixels_per_s = math.inf
        """Coded without effort.  Infinity until a batch has told."""

    def batch(self, jobs: Sequence[Job]) -> None:
        """Jobs that went through together."""
        cost, seconds = sum(job.cost for job in jobs), max(job.ran_s for job in jobs)
        # What ended early took less than it was to cost.
        if cost < TELLING_COST or seconds <= 0 or not all(job.is_done for job in jobs):
            return
        found = cost / seconds
        known = math.isfinite(self.pixels_per_s)
        self.pixels_per_s = self.pixels_per_s + NEWEST_SHARE * (found - self.pixels_per_s) if known else found
