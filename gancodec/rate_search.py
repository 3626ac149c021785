"""Files of a given size: which quality makes them.  Knows no networks.

Size grows with quality, but not at every step; so the best file that fits is kept, not the last one.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gancodec.errors import LimitError

FileAt = Callable[[int], bytes]
"""Quality in 1/256 -> the whole file."""

TRIES: Final = 12
REFINEMENTS: Final = 6
"""Files made with effort: the first shows how much smaller they are, the next ones use the room."""
TOLERANCE: Final = 0.01
"""A search ends at a file of 99 to 100 % of its target."""
MOST_BPP: Final = 128.0
"""Nobody's file is larger than four bytes a sample; beyond that any target is the same."""


def target_bytes(target_bpp: float, width: int, height: int) -> int:
    """The size of a whole file of so many bits per pixel at most."""
    return math.floor(min(target_bpp, MOST_BPP) * width * height / 8)


@dataclass(slots=True)
class Searched:
    """What a search has found."""

    best: bytes | None
    """The largest file that is not larger than the target; None: there is none."""
    quality_256: int
    """Of that, else the lowest."""
    sizes: dict[int, int] = field(default_factory=dict)
    """Bytes by quality."""


def search(file_at: FileAt, target: int, highest: int) -> Searched:
    """By false position on the logarithm of the size, between qualities 0 and ``highest``."""
    found = Searched(best=None, quality_256=0)

    def attempt(quality_256: int) -> int:
        data = file_at(quality_256)
        found.sizes[quality_256] = len(data)
        if len(data) <= target and (found.best is None or len(data) > len(found.best)):
            found.best, found.quality_256 = data, quality_256
        return len(data)

    low, high = 0, highest
    low_log = math.log(attempt(low))
    if found.best is None or attempt(high) <= target:
        return found
    high_log = math.log(found.sizes[high])
    for _ in range(TRIES):
        if len(found.best) >= (1 - TOLERANCE) * target or high - low <= 1:
            break
        # Aimed a little under the target, and kept off the ends, where false position creeps.
        share = (_aim(target) - low_log) / (high_log - low_log)
        middle = low + max(1, min(high - low - 1, round(min(max(share, 0.05), 0.95) * (high - low))))
        size = attempt(middle)
        if size <= target:
            low, low_log = middle, math.log(size)
        else:
            high, high_log = middle, math.log(size)
    return found


def refine(file_at: FileAt, target: int, plain: Searched, *, goes_on: Callable[[], bool]) -> bytes:
    """The largest file of a costlier kind that is not larger than ``target`` bytes.

    Such files are smaller than plain ones by a share that hardly depends on quality: each shows the share, and so where
    the next one has to be.  plain: what ``search`` found among the others.  goes_on: whether another one may be made.
    Raises LimitError if none fits.
    """
    if target < 1:
        raise out_of_reach(target, plain.sizes[0])
    best, quality_256, sizes = plain.best, plain.quality_256, dict[int, int]()
    is_refined = False

    def is_rather(refined: bytes, other: bytes) -> bool:
        """Whether it is better than a plain file: at the same quality, or at about the same size."""
        return quality_256 >= plain.quality_256 or len(refined) >= (1 - TOLERANCE) * len(other)

    for number in range(REFINEMENTS):
        if number > 0 and not goes_on():
            break
        data = file_at(quality_256)
        sizes[quality_256] = len(data)
        is_better = best is None or len(data) > len(best) or (not is_refined and is_rather(data, best))
        if len(data) <= target and is_better:
            best, is_refined = data, True
        if (1 - TOLERANCE) * target <= len(data) <= target:
            break
        share = math.log(len(data)) - _plain_log(plain, quality_256)
        quality_256 = _quality_at(plain, _aim(target) - share)
        low = max((quality for quality, size in sizes.items() if size <= target), default=-1)
        high = min((quality for quality, size in sizes.items() if size > target), default=max(plain.sizes) + 1)
        if high - low <= 1:
            break
        if not low < quality_256 < high:
            quality_256 = (low + high) // 2
    if best is None:
        raise out_of_reach(target, plain.sizes[0])
    return best


def out_of_reach(target: int, smallest: int) -> LimitError:
    """No file is small enough."""
    return LimitError(
        f"a file of {target} bytes is out of reach: at quality 0 it has {smallest}", hint="make the picture smaller"
    )


def _plain_log(plain: Searched, quality_256: int) -> float:
    """Logarithm of the plain size at any quality between those that were tried."""
    return _between(*_sorted(plain), quality_256)


def _quality_at(plain: Searched, size_log: float) -> int:
    """The quality of a plain file of that size, within those that were tried."""
    qualities, logs = _sorted(plain)
    for place in range(1, len(logs)):  # where sizes fall, larger ones count as if they had come before
        logs[place] = max(logs[place], logs[place - 1] + 1e-9)
    return round(_between(logs, [float(quality) for quality in qualities], size_log))


def _sorted(plain: Searched) -> tuple[list[float], list[float]]:
    qualities = sorted(plain.sizes)
    return [float(quality) for quality in qualities], [math.log(plain.sizes[quality]) for quality in qualities]


def _between(xs: list[float], ys: list[float], x: float) -> float:
    """Linear, and constant beyond the ends."""
    place = bisect_left(xs, x)
    if place in (0, len(xs)):
        return ys[min(place, len(xs) - 1)]
    share = (x - xs[place - 1]) / (xs[place] - xs[place - 1])
    return ys[place - 1] + share * (ys[place] - ys[place - 1])


def _aim(target: int) -> float:
    return math.log(target * (1 - TOLERANCE / 2))
