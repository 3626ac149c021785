"""What the facade and a pipeline hand to each other, and what every pipeline can do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from gancodec.entropy import CodingTables
from gancodec.errors import ChecksumError, ConfigError, FormatError
from gancodec.timing import Stopwatch
from gancodec.weights import Weights

Pictures = list[NDArray[np.uint8]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Coded:
    """What the entropy coder made of a picture."""

    payload: bytes
    symbol_crc: int
    uniform_tables: bool = False
    """Whether the payload was coded with uniform tables, since these are shorter."""
    ideal_bits: float | None
    """−Σ log2 p under the tables, what an ideal coder would have needed; None unless asked for."""
    hyper_bits: float | None
    """The share of the hyper-latent in ``ideal_bits``; 0 where there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
    """What of a file the decoder of symbols needs."""

    payload: bytes
    width: int
    """Pixels, as are heights."""
    height: int
    quality_256: int
    symbol_crc: int
    uniform_tables: bool = False


class Group(NamedTuple):
    """Symbols that are coded in a row, and how."""

    coding: CodingTables
    tables_N: NDArray[np.uint8]
    symbols_N: NDArray[np.int16]


class Symbols(NamedTuple):
    """A picture after the networks and before the entropy coder."""

    groups: tuple[Group, ...]
    """In the order of the payload; the first one is the hyper-latent where there is one."""
    crc: int
    plane: NDArray[np.int16] | None = None
    """All symbols as they lie in the latent, where other ways to code them are tried."""


class Decoded(NamedTuple):
    """The latents of several pictures."""

    state: Any
    """Only ``synthesise`` looks into it."""
    errors: tuple[FormatError | None, ...]
    """What is wrong with each stream; the state of such a picture means nothing."""

    def whole(self) -> Any:
        """The state, where nothing is wrong.  Raises the first error."""
        for error in self.errors:
            if error is not None:
                raise error
        return self.state


def nothing() -> None:
    """Does nothing."""


class Pipeline(Protocol):
    """The networks of one codec on one device.  Not thread-safe: one call at a time, but for ``code``."""

    tile_px: int
    """Side of a tile's core, in pixels."""
    clock: Stopwatch
    """Seconds of network and entropy coding."""
    between: Callable[[], None]
    """Called between tiles, and between bands and steps of the prior: what a large picture lets pass.  May raise."""

    @property
    def weights(self) -> Weights:
        """What the codec consists of."""

    @property
    def has_quality(self) -> bool:
        """Whether files differ in quality; if not, there is one rate, and their quality is 0."""

    @property
    def has_realism(self) -> bool:
        """Whether ``synthesise`` can do anything but realism 0."""

    def padded_size(self, width: int, height: int) -> tuple[int, int]:
        """Pixels, both ways: pictures of one padded size can be worked on together."""

    def quantise(self, pictures: Sequence[NDArray[np.uint8]], qualities_256: Sequence[int]) -> list[Symbols]:
        """Pictures of one padded size, uint8 [H, W, 3], through the networks together.  Raises ConfigError for mixed
        sizes."""

    def code(self, symbols: Symbols, *, measure: bool = False) -> Coded:
        """Symbols -> payload, on the CPU and in any thread; ``measure`` adds the ideal code length."""

    def encode(self, rgb_HWC: NDArray[np.uint8], quality_256: int, *, measure: bool = False) -> Coded:
        """``quantise`` and ``code`` of one picture."""

    def decode(self, streams: Sequence[Stream]) -> Decoded:
        """The latents of pictures of one padded size, together.  Raises ConfigError for mixed sizes."""

    def synthesise(self, state: Any, sizes: Sequence[tuple[int, int]], realisms: Sequence[float]) -> Pictures:
        """The state -> uint8 [H, W, 3] of each picture; sizes: widths and heights in pixels."""


def same_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The one padded size of all pictures.  Raises ConfigError for several, or none."""
    if len(set(sizes)) != 1:
        raise ConfigError("pictures of different padded sizes cannot go through together", hint="group them first")
    return sizes[0]


def check_symbols(seen_crc: int, stream: Stream) -> None:
    """Raise ChecksumError unless the decoded symbols are those that the header promises."""
    if seen_crc != stream.symbol_crc:
        raise ChecksumError(
            f"symbol checksum is {seen_crc:08x}, not {stream.symbol_crc:08x}",
            hint="the file is damaged; if not, please report it with the file",
        )
