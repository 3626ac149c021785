"""Warnings while training.  GAN losses show failure, not quality: they serve here and choose nothing (DESIGN §1)."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from gancodec.training.losses import EQUILIBRIUM

WINDOW = 100
"""Steps that a judgement rests on."""
WON_SHARE = 0.04
"""Of its equilibrium value: a discriminator below it has won."""
FROZEN_SHARE = 0.01
"""A discriminator that stays this close to its equilibrium value from the start has learnt nothing."""
FROZEN_STEPS = 400
COLLAPSED_BPP = 0.004
"""Mean over all qualities of ``photo``, or of ``extreme``: below it the latent says next to nothing."""
COLLAPSED_STEPS = 300
FILE_TOLERANCE = 0.02
SKIPPED_TOLERANCE = 0.01
"""Share of skipped steps that is worth a second warning."""


class Watch:
    """Looks at the numbers of every step and warns, each warning once in a run's life.

    ``memory``: what an interrupted run had seen (``remembered``).
    """

    def __init__(
        self, adversarial: str, warned: Iterable[str] = (), memory: Mapping[str, float] = MappingProxyType({})
    ) -> None:
        self.warned = set(warned)
        self._equilibrium = EQUILIBRIUM.get(adversarial)
        self._discriminator: deque[float] = deque(maxlen=WINDOW)
        self._generator: deque[float] = deque(maxlen=WINDOW)
        self._rate: deque[float] = deque(maxlen=WINDOW)
        self._steps, self._skipped = int(memory.get("steps", 0)), int(memory.get("skipped", 0))
        self._judged = int(memory.get("judged", 0))
        self._generator_at_start: float | None = memory.get("generator_at_start")
        self._ever_moved = bool(memory.get("ever_moved", False))

    @property
    def remembered(self) -> dict[str, float]:
        """What a resumed run must know, so that it judges as if there had been no interruption."""
        numbers: dict[str, float] = {
            "steps": self._steps, "skipped": self._skipped, "judged": self._judged, "ever_moved": self._ever_moved,
        }  # fmt: skip
        return numbers if self._generator_at_start is None else numbers | {
            "generator_at_start": self._generator_at_start
        }

    def look(self, numbers: dict[str, float]) -> list[str]:
        """Warnings that this step brought."""
        found: list[str] = []
        self._steps += 1
        if numbers.get("skipped"):
            self._skipped += 1
            found += self._once("skipped", "gradients were not finite: the step was skipped before the update")
            if self._skipped > 10 and self._skipped > SKIPPED_TOLERANCE * self._steps:
                found += self._once(
                    "many_skipped", "more than 1 % of the steps are skipped: lower the learning rate or the lambdas"
                )
            return found
        if "d_loss" in numbers:
            found += self._look_at_discriminator(numbers)
        if "bpp" in numbers:
            self._rate.append(numbers["bpp"])
            if self._steps >= COLLAPSED_STEPS and _mean(self._rate) < COLLAPSED_BPP:
                found += self._once(
                    "rate_collapse",
                    f"the rate has collapsed to {_mean(self._rate):.4f} bpp: the latent says next to nothing; "
                    "raise --lambda-x",
                )
        return found

    def _look_at_discriminator(self, numbers: dict[str, float]) -> list[str]:
        self._judged += 1
        self._discriminator.append(numbers["d_loss"])
        if "adversarial" in numbers:
            self._generator.append(numbers["adversarial"])
        if self._equilibrium is None or len(self._discriminator) < WINDOW:
            return []
        balanced, _ = self._equilibrium
        loss = _mean(self._discriminator)
        self._ever_moved |= abs(loss - balanced) > FROZEN_SHARE * balanced
        if self._generator_at_start is None and len(self._generator) == WINDOW:
            self._generator_at_start = _mean(self._generator)
        if (
            loss < WON_SHARE * balanced
            and self._generator_at_start is not None
            and _mean(self._generator) > self._generator_at_start
        ):
            return self._once(
                "discriminator_won",
                f"the discriminators have won (loss {loss:.3f}, {balanced:.3f} is balance) and the generator's loss "
                "grows: raise --lambda-x or lower --lambda-adv",
            )
        if not self._ever_moved and self._judged >= FROZEN_STEPS:
            return self._once(
                "discriminator_frozen",
                f"the discriminators have stood at their balance ({loss:.3f}) from the start: they have learnt "
                "nothing, and the generator learns nothing from them",
            )
        return []

    def compare_file(self, file_bits: float, estimated_bits: float) -> list[str]:
        """After the export: real files against the rate that training went by."""
        difference = file_bits / estimated_bits - 1
        if not math.isfinite(difference) or abs(difference) > FILE_TOLERANCE:
            return self._once(
                "file_differs",
                f"files are {100 * difference:+.1f} % off the size that training estimated",
            )
        return []

    def _once(self, name: str, message: str) -> list[str]:
        if name in self.warned:
            return []
        self.warned.add(name)
        return [message]


def _mean(values: deque[float]) -> float:
    return sum(values) / len(values)
