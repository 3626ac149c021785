"""The same picture by several codecs at about the same size, for those who want to see the difference."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from gancodec.evaluation.classical import ClassicalCodec
from gancodec.evaluation.coders import Coder, encode_within
from gancodec.evaluation.metrics import bpp
from gancodec.evaluation.results import SweepResult, Values
from gancodec.evaluation.sweep import load_rgb, named_pictures

SHOWN_BY_BROWSERS: Final = {"JPEG": "image/jpeg", "WEBP": "image/webp", "AVIF": "image/avif"}
"""Formats whose very files can be shown, by Pillow's names; all else is shown as lossless WebP."""
LOSSLESS: Final = "image/webp"
LOW_BPP: Final = 0.25
"""Where differences are seen: the first codec's quality that comes nearest is shown."""
SHOWN_SIDE_PX: Final = 1280
"""Of larger pictures the middle is coded and shown, as a picture of its own: a page stays small enough to open."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """What one codec made of a picture."""

    codec: str
    quality: float | None
    size_bytes: int
    """Of the file."""
    bpp: float
    values: Values
    mime: str
    data: bytes
    """The decoded picture as a browser can show it, without further loss."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Strip:
    """A picture and its versions at about one size, that of the first codec's file first."""

    picture: str
    width: int
    height: int
    mime: str
    original: bytes
    versions: tuple[Version, ...]


def make_strips(
    inputs: Sequence[Path],
    result: SweepResult,
    coders: Sequence[Coder],
    *,
    count: int,
    target_bpp: float = LOW_BPP,
    progress: Callable[[str], None] = lambda line: None,
) -> list[Strip]:
    """Strips of ``count`` of the measured pictures, spread evenly over them; of large ones, their middle.

    The first coder's quality is the one of its curve that is nearest to ``target_bpp``; each other one gets the highest
    quality whose file is not larger, or its lowest.
    """
    named = named_pictures(inputs)
    names = list(result.pictures)
    if len(names) > count:
        names = [names[int(place)] for place in np.linspace(0, len(names) - 1, count)]
    quality = min(result.curves[0].points, key=lambda point: abs(point.bpp - target_bpp)).quality
    strips = []
    for number, name in enumerate(names, start=1):
        picture = load_rgb(named[name])
        shown = middle(picture)
        if shown.size != picture.size:
            name += f" (the middle of {picture.width}×{picture.height} pixels, coded by itself)"
        strips.append(make_strip(shown, name, coders, quality, result))
        progress(f"report: picture {number} of {len(names)}")
    return strips


def middle(picture: Image.Image) -> Image.Image:
    """The picture, or of a larger one the part around its middle."""
    width, height = min(picture.width, SHOWN_SIDE_PX), min(picture.height, SHOWN_SIDE_PX)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


def make_strip(
    picture: Image.Image, name: str, coders: Sequence[Coder], quality: float | None, result: SweepResult
) -> Strip:
    """The strip of one picture, the first coder at ``quality``."""
    versions: list[Version] = []
    limit: int | None = None
    for coder in coders:
        if limit is None:
            data, used = coder.encode(picture, quality), quality
            limit = len(data)
        else:
            data, used = encode_within(coder, picture, limit)
        for decoder in coder.decoders:
            decoded = decoder.decode(data).convert("RGB")
            mime, shown = _shown(coder, data, decoded)
            pair = np.asarray(picture), np.asarray(decoded)
            versions.append(
                Version(
                    codec=decoder.name,
                    quality=used,
                    size_bytes=len(data),
                    bpp=bpp(len(data), picture.width, picture.height),
                    values={metric.key: metric.measure(*pair) for metric in result.metrics if metric.measure},
                    mime=mime,
                    data=shown,
                )
            )
    return Strip(
        picture=name,
        width=picture.width,
        height=picture.height,
        mime=LOSSLESS,
        original=_lossless(picture),
        versions=tuple(versions),
    )


def _shown(coder: Coder, data: bytes, decoded: Image.Image) -> tuple[str, bytes]:
    if isinstance(coder, ClassicalCodec) and coder.format in SHOWN_BY_BROWSERS:
        return SHOWN_BY_BROWSERS[coder.format], data
    return LOSSLESS, _lossless(decoded)


def _lossless(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", lossless=True, quality=40, method=4)
    return buffer.getvalue()
