"""What the facade and a pipeline hand to each other, and what every pipeline can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gancodec.errors import ChecksumError
from gancodec.timing import Stopwatch
from gancodec.weights import Weights


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


class Pipeline(Protocol):
    """The networks of one codec on one device.  Not thread-safe: one call at a time."""

    tile_px: int
    """Side of a tile's core, in pixels."""
    clock: Stopwatch
    """Seconds of network and entropy coding."""

    @property
    def weights(self) -> Weights:
        """What the codec consists of."""

    @property
    def has_quality(self) -> bool:
        """Whether files differ in quality; if not, there is one rate, and their quality is 0."""

    @property
    def has_realism(self) -> bool:
        """Whether ``synthesise`` can do anything but realism 0."""

    def encode(self, rgb_HWC: NDArray[np.uint8], quality_256: int, *, measure: bool = False) -> Coded:
        """uint8 [H, W, 3] -> payload; ``measure`` adds the ideal code length."""

    def decode(self, streams: Sequence[Stream]) -> Any:
        """The latents of pictures of one padded size, together: a state that only ``synthesise`` looks into.

        Raises CorruptError, ChecksumError when symbols are not those that were written, ConfigError for mixed sizes.
        """

    def synthesise(self, state: Any, width: int, height: int, realism: float) -> NDArray[np.uint8]:
        """The state of one picture -> uint8 [H, W, 3]."""


def check_symbols(seen_crc: int, stream: Stream) -> None:
    """Raise ChecksumError unless the decoded symbols are those that the header promises."""
    if seen_crc != stream.symbol_crc:
        raise ChecksumError(
            f"symbol checksum is {seen_crc:08x}, not {stream.symbol_crc:08x}",
            hint="the file is damaged; if not, please report it with the file",
        )
