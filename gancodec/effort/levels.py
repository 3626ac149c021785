"""What the levels of effort are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gancodec.defaults import EFFORT_MAX


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """Each level does what those below it do, and then more; the best that was found on the way is kept.

    So the iterations of annealing begin with those of the level below.
    """

    descents: int = 0
    """Iterations of descent.py from plain rounding."""
    annealing: tuple[int, ...] = ()
    """Iterations of annealing.py, a number for each time that it begins with the encoder's latents; SETTLING descents
    follow each."""

    @property
    def steps(self) -> int:
        """Iterations of both kinds."""
        return self.descents + sum(iterations + SETTLING for iterations in self.annealing)

    @property
    def relative_time(self) -> float:
        """About how many times as long as level 0: what a queue has to expect."""
        if not self.steps:
            return 1.0
        return TIME_OF_FIRST + (TIME_OF_COMPARING if self.steps > 1 else 0) + TIME_OF_STEP * (self.steps - 1)


LEVELS: Final = (
    Level(),
    Level(descents=1),
    Level(descents=2),
    Level(descents=4),
    Level(descents=8),
    Level(descents=8, annealing=(30,)),
    Level(descents=8, annealing=(30, 80)),
    Level(descents=8, annealing=(30, 80, 190)),
    Level(descents=8, annealing=(30, 80, 190, 300)),
    Level(descents=8, annealing=(30, 80, 190, 300, 400)),
)
SETTLING: Final = 4
TIME_OF_FIRST: Final = 2.0
"""Of level 1, in times of level 0 (docs/effort.md)."""
TIME_OF_COMPARING: Final = 1.5
"""Of plain rounding and its picture, which all higher levels measure."""
TIME_OF_STEP: Final = 1.7
"""Of every other iteration."""

assert len(LEVELS) == EFFORT_MAX + 1
