"""How torch's threads wait for one another, set by commands that own their process."""

from __future__ import annotations

import os
from typing import Final

SPINS: Final = "1000"
"""A three-hundredth of what GNU's OpenMP takes by itself."""


def wait_briefly() -> None:
    """Let threads sleep soon where they wait: to be called before torch is imported, which reads this once.

    By default they spin for milliseconds.  Where another program keeps a processor busy, the thread that all others
    wait for does not run, and they burn its time: compressing took three times as long so.  Whoever has set
    GOMP_SPINCOUNT or OMP_WAIT_POLICY has decided otherwise.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
