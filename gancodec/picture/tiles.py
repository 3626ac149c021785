"""How a large picture is cut: tiles of pixels with a halo, and bands of latent rows. Index arithmetic only.

Cores partition the whole exactly and are balanced: all as equal as alignment allows, none larger than asked, none
narrower than half of that (rounded down to the alignment) unless the whole picture is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from gancodec.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A core rectangle and the same grown by the halo, clipped at the picture. Pixels; bottom and right excluded."""

    top: int
    left: int
    bottom: int
    right: int
    outer_top: int
    outer_left: int
    outer_bottom: int
    outer_right: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Core rows and the same grown by the halo, clipped at the plane. Rows; bottom excluded."""

    top: int
    bottom: int
    outer_top: int
    outer_bottom: int


def tiles(height: int, width: int, *, side: int, halo: int, align: int) -> Iterator[Tile]:
    """Cut a padded picture into tiles, row by row. All arguments in pixels.

    side: greatest side of a core, a multiple of `align`. halo: context around the core, rounded up to `align`.
    Every edge, inner and outer, is a multiple of `align`. Raises ConfigError, at once, if arguments do not fit.
    """
    if align < 1:
        raise ConfigError(f"align is {align}", hint="give at least 1 pixel")
    for name, value in (("height", height), ("width", width), ("side", side)):
        if value < 1 or value % align:
            raise ConfigError(f"{name} is {value}", hint=f"give a positive multiple of {align}")
    if halo < 0:
        raise ConfigError(f"halo is {halo}", hint="give 0 or more pixels")
    rows = list(bands(height // align, band=side // align, halo=-(-halo // align)))
    columns = list(bands(width // align, band=side // align, halo=-(-halo // align)))
    return (
        Tile(
            top=row.top * align,
            left=column.top * align,
            bottom=row.bottom * align,
            right=column.bottom * align,
            outer_top=row.outer_top * align,
            outer_left=column.outer_top * align,
            outer_bottom=row.outer_bottom * align,
            outer_right=column.outer_bottom * align,
        )
        for row in rows
        for column in columns
    )


def bands(rows: int, *, band: int, halo: int) -> Iterator[Band]:
    """Cut `rows` rows into bands of at most `band` rows, each with `halo` more rows on both sides where there are any.

    Raises ConfigError, at once, unless rows >= 1, band >= 1 and halo >= 0.
    """
    for name, value, least in (("rows", rows, 1), ("band", band, 1), ("halo", halo, 0)):
        if value < least:
            raise ConfigError(f"{name} is {value}", hint=f"give at least {least}")
    count = -(-rows // band)
    edges = [index * rows // count for index in range(count + 1)]
    return (
        Band(top=top, bottom=bottom, outer_top=max(0, top - halo), outer_bottom=min(rows, bottom + halo))
        for top, bottom in pairwise(edges)
    )
