"""What `compress` and `decompress` do to one file, in steps that run in different threads."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from gancodec.container import Header
from gancodec.errors import GancodecError

OpenedT = TypeVar("OpenedT")
StateT = TypeVar("StateT")


class Group(NamedTuple):
    """Inputs with one key may go through the networks together."""

    key: Hashable
    pixels: int
    """Of this input."""
    limit_pixels: int
    """Of all that go together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Converted:
    """The result for one input."""

    data: bytes
    """What is written."""
    header: Header
    """Of the .gnc file: the output of `compress`, the input of `decompress`."""
    gnc_bytes: int
    """Size of that file."""
    left_out: tuple[str, ...] = ()
    """Kinds of metadata of the input for which the result has no place."""

    @property
    def pixels(self) -> int:
        """Of the picture."""
        return self.header.width * self.header.height

    @property
    def bpp(self) -> float:
        """Bits of the .gnc file per pixel."""
        return 8 * self.gnc_bytes / self.pixels


class Operation(Protocol[OpenedT, StateT]):
    """One kind of conversion; its steps stand in the order of their cost.

    What can go wrong without the networks goes wrong before they are loaded.
    """

    def pixels(self, data: bytes, label: str) -> int:
        """Of the input's picture: what working on it costs.  In any thread; raises what open() would."""

    def is_done(self, source: Path | None, data: bytes, output: Path) -> bool:
        """Whether the file `output` is what this operation made, or would make, of the input `data` from `source`.

        In any thread, when pixels() of the input are granted.  As far as that can be told without doing it again.
        False where it may be made anew; raises ConfigError where it may be somebody's only copy of something else.
        """

    def open(self, data: bytes, label: str) -> OpenedT:
        """Check the input as far as that is cheap.  In any thread."""

    def load(self) -> None:
        """Get ready what all inputs need.  Called before each group(); a failure ends the whole run."""

    def group(self, opened: OpenedT) -> Group | None:
        """With what the input can go together; None: alone."""

    def compute(self, batch: Sequence[OpenedT]) -> list[StateT | GancodecError]:
        """Inputs of one group through the networks; what is wrong with single ones is in their place."""

    def finish(self, opened: OpenedT, state: StateT) -> Converted:
        """The rest of the work.  In any thread."""
