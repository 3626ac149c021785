"""What a sweep measures: anything that turns a picture into the bytes of a file and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from gancodec.defaults import DEFAULT_EFFORT
from gancodec.effort.request import Effort
from gancodec.errors import ConfigError, GancodecError


class Decoder(Protocol):
    """One way to open the files of a coder: it makes one curve."""

    @property
    def name(self) -> str:
        """What tables call the curve."""

    @property
    def settings(self) -> str:
        """All that somebody needs in order to repeat its curve, but the qualities."""

    @property
    def realism(self) -> float | None:
        """0 (faithful) to 1 (realistic); None where there is no such choice."""

    def decode(self, data: bytes) -> Image.Image:
        """The 8-bit picture in such a file."""


class Coder(Protocol):
    """A codec with its settings fixed, all but quality; a picture is encoded once for all of its decoders."""

    @property
    def name(self) -> str:
        """What names of files call it."""

    @property
    def qualities(self) -> tuple[float | None, ...]:
        """The qualities to measure, in its own scale, rising; one None if it has one rate only."""

    @property
    def effort(self) -> int | None:
        """0..9; None where there is no such choice."""

    @property
    def decoders(self) -> Sequence[Decoder]:
        """At least one."""

    @property
    def load_s(self) -> float | None:
        """Seconds it took to load its weights; None for codecs that have none."""

    def encode(self, picture: Image.Image, quality: float | None) -> bytes:
        """The bytes of a whole file for a picture of mode RGB; raises GancodecError if it refuses the picture."""

    def parts_taken(self) -> Mapping[str, float]:
        """Seconds of each part since this was last asked, as far as the codec knows its parts."""


class _Entry(Protocol):
    @property
    def name(self) -> str: ...


class _Clock(Protocol):
    def take(self) -> dict[str, float]: ...


class _Abilities(Protocol):
    @property
    def has_quality(self) -> bool: ...

    @property
    def has_realism(self) -> bool: ...

    @property
    def clock(self) -> _Clock: ...


class Facade(Protocol):
    """The part of `gancodec.Codec` that is measured; tests have their own."""

    @property
    def entry(self) -> _Entry:
        """What is known of its weights."""

    @property
    def pipeline(self) -> _Abilities:
        """What it can do."""

    def compress(self, picture: Image.Image, /, *, quality: float | None = ..., effort: int = ...) -> bytes:
        """The bytes of a .gnc file; quality 0..100 and effort 0..9, neither of them for a codec of one rate."""

    def decompress(self, data: bytes, /, *, realism: float) -> Image.Image:
        """The picture; realism 0..1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RealismDecoder:
    """`gancodec.Codec` as a Decoder, at one realism."""

    codec: Facade
    name: str
    settings: str
    realism: float

    def decode(self, data: bytes) -> Image.Image:
        """The picture of a .gnc file."""
        return self.codec.decompress(data, realism=self.realism)


class GancodecCoder:
    """`gancodec.Codec` as a Coder at one effort, with a decoder for each realism."""

    def __init__(
        self,
        codec: Facade,
        *,
        qualities: Sequence[float],
        realisms: Sequence[float] = (0.0,),
        effort: int = DEFAULT_EFFORT,
        name: str = "",
        load_s: float | None = None,
    ) -> None:
        """qualities: 0..100, sorted here, and of no use to a codec of one rate.  realisms: 0 (faithful) to 1, in the
        order of their curves.  effort: 0..9, of no use to a codec of one rate either.  name: if not that of the
        weights.

        Raises ConfigError outside of these, and for realism that the codec does not have.
        """
        if not qualities or not all(0 <= quality <= 100 for quality in qualities):
            raise ConfigError(f"qualities are {list(qualities)}", hint="give at least one number in 0..100")
        if not realisms or not all(0 <= realism <= 1 for realism in realisms):
            raise ConfigError(f"realisms are {list(realisms)}", hint="give at least one number in 0..1")
        Effort(level=effort)  # refuses what is none
        self.name = name or codec.entry.name
        self.load_s = load_s
        if max(realisms) > 0 and not codec.pipeline.has_realism:
            raise ConfigError(f"codec {self.name!r} has no realism generator", hint="use realism 0")
        has_quality = codec.pipeline.has_quality
        self.qualities: tuple[float | None, ...] = tuple(sorted(set(qualities))) if has_quality else (None,)
        self.effort = effort if has_quality else None
        self.decoders = tuple(
            RealismDecoder(
                codec=codec,
                name=f"{self.name} r={realism:g}" if realism > 0 else self.name,
                settings=f"realism {realism:g}, {f'effort {effort}' if has_quality else 'one rate'}",
                realism=realism,
            )
            for realism in dict.fromkeys(realisms)
        )
        self._codec = codec

    def encode(self, picture: Image.Image, quality: float | None) -> bytes:
        """The .gnc file."""
        if self.effort is None:
            return self._codec.compress(picture)
        return self._codec.compress(picture, quality=quality, effort=self.effort)

    def parts_taken(self) -> Mapping[str, float]:
        """Seconds in networks and in entropy coding since this was last asked."""
        return self._codec.pipeline.clock.take()


def encode_within(coder: Coder, picture: Image.Image, limit_bytes: int) -> tuple[bytes, float | None]:
    """The file of the highest quality that has at most so many bytes, else that of the lowest; and that quality.

    By bisection over whole qualities 0..100: sizes rise with quality, if not at every step.
    """
    settings = [quality for quality in coder.qualities if quality is not None]
    if not settings:
        return coder.encode(picture, None), None
    low, high = 0, 100
    best: tuple[bytes, float | None] | None = None
    while low <= high:
        middle = (low + high) // 2
        try:
            data = coder.encode(picture, float(middle))
        except GancodecError:
            low = middle + 1  # JPEG has no quality 0 that all its libraries take
            continue
        if len(data) <= limit_bytes:
            best, low = (data, float(middle)), middle + 1
        else:
            high = middle - 1
    return best or (coder.encode(picture, min(settings)), min(settings))
