"""What was measured.  A row of a contender that failed, or was not there, holds the reason in place of figures."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Final

SKIPPED: Final = "skipped: needs compressai; pip install 'gancodec[eval]'"
FAILED: Final = "failed: "


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Seconds a picture of every run, in one direction."""

    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]
    """Of all threads."""
    parts: dict[str, float]
    """Mean seconds of network and entropy coding over the runs; empty where they are not known."""

    @property
    def best(self) -> float:
        """Seconds of the fastest run."""
        return min(self.seconds)

    @property
    def median(self) -> float:
        """Seconds of the median run."""
        return statistics.median(self.seconds)

    @property
    def mean(self) -> float:
        """Mean seconds of the runs."""
        return statistics.fmean(self.seconds)

    @property
    def best_cpu(self) -> float:
        """CPU seconds of the run with the fewest."""
        return min(self.cpu_seconds)


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeRow:
    """One contender's times."""

    contender: str
    problem: str | None = None
    size_bytes: int | None = None
    """Of the file of one picture."""
    load_seconds: float | None = None
    """Of the weights, and what a first load brings with it."""
    encode: Timing | None = None
    """None for batches, too."""
    decode: Timing | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryRow:
    """One contender's peaks, in bytes."""

    contender: str
    problem: str | None = None
    import_bytes: int | None = None
    """Resident size of a process that only imports; the next two are above it."""
    encode_bytes: int | None = None
    """None for batches, too."""
    decode_bytes: int | None = None
    cuda_encode_bytes: int | None = None
    """What torch had allocated on the GPU at its peak; None on the CPU."""
    cuda_decode_bytes: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """All contenders on one picture and batch; ours comes first."""

    picture: str
    width: int
    height: int
    batch: int
    times: tuple[TimeRow, ...]
    memory: tuple[MemoryRow, ...]
    """Empty if it was not asked for."""

    @property
    def has_failures(self) -> bool:
        """Whether a contender failed; one that was skipped did not."""
        problems = [row.problem for row in self.times] + [row.problem for row in self.memory]
        return any(problem is not None and problem.startswith(FAILED) for problem in problems)


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What the figures depend on."""

    gancodec: str
    """Versions, as are the next two."""
    torch: str
    python: str
    cpu: str
    cores: int
    load: float
    """Processes that wanted to run during the last minute, when the measuring began."""
    device: str
    """``cpu`` or ``cuda``."""
    device_name: str
    threads: int
    """Of torch."""
