"""How much effort a picture is worth, as the facade takes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gancodec.defaults import DEFAULT_EFFORT, EFFORT_MAX, TUNES
from gancodec.errors import ConfigError

Step = Callable[[int, int], bool]
"""Iterations done, and of how many -> whether to go on."""


def go_on(done: int, of: int) -> bool:
    """Always."""
    return True


@dataclass(frozen=True, kw_only=True, slots=True)
class Effort:
    """Raises ConfigError for values that mean nothing."""

    level: int = DEFAULT_EFFORT
    """0 to 9; docs/effort.md says what each one does."""
    tune: str = "fidelity"
    """``fidelity``: the squared error at realism 0.  ``realism``: that of realism 1, and a distance of features."""
    features: str | None = None
    """The feature network that ``realism`` goes by, as ``load_features`` takes it."""
    step: Step = go_on
    """Called after every iteration, and with 0 before every further file that a target takes; when it says so, the
    best so far is what comes out."""

    def __post_init__(self) -> None:
        if isinstance(self.level, bool) or not isinstance(self.level, int) or not 0 <= self.level <= EFFORT_MAX:
            raise ConfigError(f"effort is {self.level!r}", hint=f"use a whole number from 0 to {EFFORT_MAX}")
        if self.tune not in TUNES:
            raise ConfigError(f"tune is {self.tune!r}", hint=f"use {' or '.join(TUNES)}")
        if (self.tune == "realism") != (self.features is not None):
            raise ConfigError(
                "to tune for realism takes a feature network, and nothing else takes one",
                hint="give tune='realism' together with features='PATH.safetensors[:NET]' or 'vgg19'",
            )
        if self.tune == "realism" and self.level == 0:
            raise ConfigError("effort 0 tunes for nothing", hint="use effort 1 or more")
