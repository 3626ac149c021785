"""What a request comes to: bytes in, bytes out.  Runs in a thread; knows no HTTP but its problems."""

from __future__ import annotations

import io
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image

from gancodec.container import ColourMode, Header, read_header
from gancodec.defaults import GNC_MEDIA_TYPE
from gancodec.description import describe
from gancodec.effort.levels import LEVELS
from gancodec.effort.request import Effort
from gancodec.errors import ConfigError, GancodecError, LimitError, PictureError
from gancodec.evaluation.classical import classical
from gancodec.picture import (
    Metadata,
    OutputFormat,
    Picture,
    read_picture,
    read_size,
    to_pillow,
    upright,
    write_picture,
)
from gancodec.picture.depth import is_deep
from gancodec.picture.modes import MAX_SIDE_PX
from gancodec.picture.pillow_guard import pillow_errors, pixel_limit
from gancodec.timing import FILE
from service.admission import Budget
from service.engine import Engine, Ticket
from service.measures import Measures
from service.others import MEDIA_TYPES, best_within
from service.problems import BadParameter, NotAcceptable, OutOfReach, TooManyPixels, UnsupportedType
from service.settings import Settings

TYPES: Final[Mapping[str, OutputFormat]] = {
    "image/png": "png", "image/webp": "webp", "image/avif": "avif", "image/jpeg": "jpeg",
}  # fmt: skip
"""By preference, where the client does not care."""
CONVERTED: Final = ("CMYK", "LAB")
"""Modes of which no value stays what it was."""
NOTICE_MOST: Final = 200
"""Characters."""
SEARCHES: Final = 5
"""Files without effort that a target usually takes."""
REFINEMENTS: Final = 2
"""Files with effort after them."""
CUT_SHORT: Final = "effort ended early, for time was short"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What goes back."""

    body: bytes
    media_type: str
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """At most one of the three."""

    quality: float | None = None
    target_bpp: float | None = None
    target_size: int | None = None

    @property
    def is_target(self) -> bool:
        """Whether it has to be searched for."""
        return self.target_bpp is not None or self.target_size is not None


class Work:
    """Compressing, decompressing and describing, within the limits of the settings."""

    def __init__(
        self, settings: Settings, engine: Engine, budget: Budget, load: Budget, measures: Measures
    ) -> None:
        """budget: of pixels, which need memory.  load: of what they cost, which needs time."""
        self._settings, self._engine, self._measures = settings, engine, measures
        self._budget, self._load = budget, load

    def compress(self, data: bytes, rate: Rate, effort: int, codec_name: str | None, ticket: Ticket) -> Answer:
        """Raises Problem, or GancodecError for options and pictures that do not serve."""
        codec = self._engine.for_request(self._engine.codec(codec_name), ticket)
        width, height = self._size(data)
        level = codec.spent(effort)
        is_searched = rate.is_target and codec.pipeline.has_quality
        with self._hold(width * height, passes(level, is_searched=is_searched)):
            started = time.perf_counter()
            picture, notices = self._read(data)
            self._measures.parts({FILE: time.perf_counter() - started})
            try:
                made = codec.compress(
                    picture,
                    quality=rate.quality,
                    target_bpp=rate.target_bpp,
                    target_size=rate.target_size,
                    effort=Effort(level=level, step=ticket.step),
                )
            except LimitError as exc:
                raise OutOfReach(exc.message, hint=exc.hint) from exc
        header = read_header(made)
        self._measures.bpp.observe(_bpp(made, header))
        self._measures.files.labels(str(level)).inc()
        if ticket.is_cut_short:
            self._measures.cut_short.inc()
            notices = [*notices, CUT_SHORT]
        headers = _facts(made, header, codec.entry.name, ticket) | {"Gancodec-Effort": str(level)} | noticed(notices)
        return Answer(body=made, media_type=GNC_MEDIA_TYPE, headers=headers)

    def decompress(self, data: bytes, realism: float, accept: str | None, ticket: Ticket) -> Answer:
        """Raises Problem, or GancodecError for files that cannot be opened."""
        header = read_header(data)
        self._check(header.width, header.height)
        codec = self._engine.for_request(self._engine.codec_of(header.model_id), ticket)
        liked = liked_types(accept, has_alpha=header.mode in (ColourMode.LA, ColourMode.RGBA))
        with self._hold(header.width * header.height):
            opened = codec.open(data, realism=realism)
            (picture,) = codec.decode([opened])
            if isinstance(picture, GancodecError):
                raise picture
            started = time.perf_counter()
            body, media_type = _written(picture, liked)
            self._measures.parts({FILE: time.perf_counter() - started})
        headers = _facts(data, header, codec.entry.name, ticket)
        if opened.container.damaged:
            headers["Gancodec-Warning"] = "damaged metadata was left out"
        return Answer(body=body, media_type=media_type, headers=headers)

    def other(self, data: bytes, name: str, target_size: int, ticket: Ticket) -> Answer:
        """The picture as another codec's file of at most so many bytes, or its smallest: for comparison.

        Raises Problem, or PictureError.
        """
        width, height = self._size(data)
        with self._hold(width * height):
            picture, notices = self._read(data)
            made, quality = best_within(name, on_white(upright(picture)), target_size, go_on=ticket.go_on)
        headers = {"Gancodec-Codec": classical(name).name, "Gancodec-Quality": f"{quality:g}"} | noticed(notices)
        return Answer(body=made, media_type=MEDIA_TYPES[name], headers=headers)

    def info(self, data: bytes) -> dict[str, Any]:
        """Raises FormatError."""
        known = {codec.entry.model_id: codec.entry for codec in self._engine.codecs.values()}
        return describe(data, known)

    @contextmanager
    def _hold(self, pixels: int, passes: float = 1.0) -> Iterator[None]:
        """Count a picture for the time of the block.  Raises QueueFull."""
        with self._budget.hold(pixels), self._load.hold(math.ceil(pixels * passes)):
            yield

    def _size(self, data: bytes) -> tuple[int, int]:
        """Of a picture that may be decoded."""
        try:
            width, height = read_size(data, name="picture", formats=self._settings.input_formats)
        except PictureError as exc:
            raise UnsupportedType(exc.message, hint=f"send {', '.join(self._settings.input_formats)}") from exc
        self._check(width, height)
        return width, height

    def _read(self, data: bytes) -> tuple[Picture, list[str]]:
        """A picture, and what was changed in it so that it fits.  Raises PictureError, LimitError."""
        formats = self._settings.input_formats
        picture = read_picture(data, name="picture", formats=formats, convert_16_bit=True)
        return picture, changes(data, formats)

    def _check(self, width: int, height: int) -> None:
        if width * height > self._settings.max_pixels:
            raise TooManyPixels(
                f"{width}x{height} are {width * height:,} pixels, {self._settings.max_pixels:,} are the most",
                hint="send a smaller picture",
            )


def passes(level: int, *, is_searched: bool) -> float:
    """About how many times as long as a file of a quality and without effort one takes."""
    refined = LEVELS[level].relative_time
    if not is_searched:
        return refined
    return SEARCHES + (REFINEMENTS * refined if level else 0)


def changes(data: bytes, formats: Sequence[str]) -> list[str]:
    """What reading changes in the samples of a picture file, by its header.  Raises PictureError."""
    # Not by Converted16BitWarning: warnings cannot be caught in one thread only.
    with (
        pixel_limit(MAX_SIDE_PX**2),
        pillow_errors("picture"),
        Image.open(io.BytesIO(data), formats=[*formats]) as image,
    ):
        found = ["reduced to 8 bits a sample"] if is_deep(image, data) else []
        return found + [f"converted from {image.mode} to RGB"] * (image.mode in CONVERTED)


def noticed(notices: Sequence[str]) -> dict[str, str]:
    """The header that tells of them, in printable ASCII; none where there is nothing to tell."""
    text = re.sub(r"[^ -~]+", "?", "; ".join(notices))[:NOTICE_MOST]
    return {"Gancodec-Notice": text} if text else {}


def on_white(picture: Picture) -> Image.Image:
    """RGB without metadata; what is transparent shows white."""
    image = to_pillow(Picture(colour_HWC=picture.colour_HWC, alpha_HW=picture.alpha_HW, metadata=Metadata()))
    if picture.alpha_HW is None:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def _written(picture: Picture, liked: Sequence[str]) -> tuple[bytes, str]:
    """The first of these types that can hold the picture.  Raises NotAcceptable."""
    reason = ""
    for media_type in liked:
        try:
            return write_picture(picture, TYPES[media_type]), media_type
        except ConfigError as exc:
            reason = exc.message
    raise NotAcceptable(reason, hint="accept image/png")


def liked_types(accept: str | None, *, has_alpha: bool) -> list[str]:
    """The media types that the client accepts and that can hold the picture, the best first (RFC 9110, 12.5.1).

    Raises NotAcceptable.
    """
    able = [each for each in TYPES if not (has_alpha and each == "image/jpeg")]
    liked = sorted(able, key=lambda each: -quality_of(each, accept))
    liked = [each for each in liked if quality_of(each, accept) > 0]
    if not liked:
        raise NotAcceptable(f"{accept!r} allows none of {', '.join(able)}", hint="accept image/png")
    return liked


def quality_of(media_type: str, accept: str | None) -> float:
    """How much a client likes a type, 0..1: that of the most specific range that fits."""
    if accept is None or not accept.strip():
        return 1.0
    best = (-1, 0.0)
    for part in accept.split(","):
        words = [word.strip().lower() for word in part.split(";")]
        weight = 1.0
        for word in words[1:]:
            if word.startswith("q="):
                try:
                    weight = float(word[2:])
                except ValueError:
                    weight = 0.0
        specific = {media_type: 2, media_type.split("/")[0] + "/*": 1, "*/*": 0}.get(words[0])
        if specific is not None and math.isfinite(weight):
            best = max(best, (specific, min(1.0, max(0.0, weight))))
    return best[1]


def check_rate(quality: float | None, target_bpp: float | None, target_size: int | None) -> Rate:
    """Raises BadParameter for more than one of them."""
    if sum(value is not None for value in (quality, target_bpp, target_size)) > 1:
        raise BadParameter("quality, target_bpp and target_size exclude each other", hint="give one of them")
    return Rate(quality=quality, target_bpp=target_bpp, target_size=target_size)


def check_effort(effort: int | None, settings: Settings) -> int:
    """The level that is asked for, or the usual one.  Raises BadParameter for more than the service allows."""
    if effort is None:
        return settings.default_effort
    if effort > settings.max_effort:
        raise BadParameter(
            f"effort is {effort}, and {settings.max_effort} is the most here",
            hint="ask for less; the command line has no such limit",
        )
    return effort


def _bpp(data: bytes, header: Header) -> float:
    return 8 * len(data) / (header.width * header.height)


def _facts(data: bytes, header: Header, codec: str, ticket: Ticket) -> dict[str, str]:
    return {
        "Gancodec-Codec": codec,
        "Gancodec-Bpp": f"{_bpp(data, header):.4f}",
        "Gancodec-Quality": f"{header.quality:g}",
        "Gancodec-Width": str(header.width),
        "Gancodec-Height": str(header.height),
        "Gancodec-Queue-Ms": f"{ticket.queue_ms:.1f}",
        "Gancodec-Compute-Ms": f"{ticket.compute_ms:.1f}",
        "Gancodec-Batch": str(ticket.batch),
    }
