"""What a sweep measures: anything that turns a picture into the bytes of a file and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from PIL import Image

from gancodec.errors import ConfigError


class Coder(Protocol):
    """A codec with its settings fixed, all but quality."""

    @property
    def name(self) -> str:
        """What tables call it."""

    @property
    def settings(self) -> str:
        """All that somebody needs in order to repeat its curve, but the qualities."""

    @property
    def qualities(self) -> tuple[float, ...]:
        """The qualities to measure, in its own scale, rising."""

    def encode(self, picture: Image.Image, quality: float) -> bytes:
        """The bytes of a whole file for a picture of mode RGB; raises GancodecError if it refuses the picture."""

    def decode(self, data: bytes) -> Image.Image:
        """The 8-bit picture in such a file."""


class _Entry(Protocol):
    @property
    def name(self) -> str: ...


class Facade(Protocol):
    """The part of `gancodec.Codec` that is measured; tests have their own."""

    @property
    def entry(self) -> _Entry:
        """What is known of its weights."""

    def compress(self, picture: Image.Image, /, *, quality: float) -> bytes:
        """The bytes of a .gnc file; quality 0..100."""

    def decompress(self, data: bytes, /, *, realism: float) -> Image.Image:
        """The picture; realism 0..1."""


class GancodecCoder:
    """`gancodec.Codec` as a Coder, at one realism."""

    def __init__(self, codec: Facade, *, qualities: Sequence[float], realism: float = 0.0) -> None:
        """qualities: 0..100, sorted here; realism: 0 (faithful) to 1.  Raises ConfigError outside of these."""
        if not qualities or not all(0 <= quality <= 100 for quality in qualities):
            raise ConfigError(f"qualities are {list(qualities)}", hint="give at least one number in 0..100")
        if not 0 <= realism <= 1:
            raise ConfigError(f"realism is {realism}", hint="give a number in 0..1")
        self._codec = codec
        self._realism = realism
        self.name = codec.entry.name
        self.settings = f"realism {realism:g}"
        self.qualities = tuple(sorted(set(qualities)))

    def encode(self, picture: Image.Image, quality: float) -> bytes:
        """The .gnc file."""
        return self._codec.compress(picture, quality=quality)

    def decode(self, data: bytes) -> Image.Image:
        """The picture, at the realism given to the constructor."""
        return self._codec.decompress(data, realism=self._realism)
