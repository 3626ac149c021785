"""Tiles and bands: every pixel in exactly one core, and every halo complete."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gancodec.errors import ConfigError
from gancodec.picture import Tile, bands, tiles


@settings(max_examples=150, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    side=st.integers(1, 12),
    halo=st.integers(0, 50),
    align=st.sampled_from([1, 2, 16]),
)
def test_cores_partition_the_picture_and_halos_are_whole(
    height: int, width: int, side: int, halo: int, align: int
) -> None:
    height, width, side = height * align, width * align, side * align
    covered = np.zeros((height, width), int)
    seen = list(tiles(height, width, side=side, halo=halo, align=align))
    for tile in seen:
        covered[tile.top : tile.bottom, tile.left : tile.right] += 1
        edges = (tile.top, tile.left, tile.bottom, tile.right)
        outer = (tile.outer_top, tile.outer_left, tile.outer_bottom, tile.outer_right)
        assert all(edge % align == 0 for edge in edges + outer)
        assert tile.outer_top in range(max(0, tile.top - halo - align + 1), max(0, tile.top - halo) + 1)
        assert tile.outer_left in range(max(0, tile.left - halo - align + 1), max(0, tile.left - halo) + 1)
        assert min(height, tile.bottom + halo) <= tile.outer_bottom <= min(height, tile.bottom + halo + align - 1)
        assert min(width, tile.right + halo) <= tile.outer_right <= min(width, tile.right + halo + align - 1)
        assert tile.bottom - tile.top <= side and tile.right - tile.left <= side
        assert tile.bottom - tile.top >= min(height, side // 2 // align * align)
        assert tile.right - tile.left >= min(width, side // 2 // align * align)
    assert (covered == 1).all()
    assert seen == sorted(seen, key=lambda tile: (tile.top, tile.left))


def test_a_small_picture_is_one_tile_without_a_halo() -> None:
    (tile,) = tiles(64, 128, side=1024, halo=80, align=16)
    assert tile == Tile(
        top=0, left=0, bottom=64, right=128, outer_top=0, outer_left=0, outer_bottom=64, outer_right=128
    )


def test_a_picture_just_above_the_side_is_cut_in_halves_not_slivers() -> None:
    widths = [tile.right - tile.left for tile in tiles(1024, 1040, side=1024, halo=80, align=16)]
    assert widths == [512, 528]


@pytest.mark.parametrize(
    "wrong",
    [{"height": 30}, {"width": 0}, {"side": 40}, {"side": 0}, {"halo": -1}, {"align": 0}, {"width": -16}],
)
def test_arguments_that_do_not_fit_are_refused_at_once(wrong: dict[str, int]) -> None:
    arguments = {"height": 64, "width": 64, "side": 32, "halo": 5, "align": 16} | wrong
    height, width = arguments.pop("height"), arguments.pop("width")
    with pytest.raises(ConfigError):
        tiles(height, width, **arguments)


@settings(max_examples=100, deadline=None)
@given(rows=st.integers(1, 200), band=st.integers(1, 64), halo=st.integers(0, 70))
def test_bands_partition_the_rows_and_halos_are_exact(rows: int, band: int, halo: int) -> None:
    seen = list(bands(rows, band=band, halo=halo))
    assert [row for one in seen for row in range(one.top, one.bottom)] == list(range(rows))
    for one in seen:
        assert one.bottom - one.top <= band
        assert (one.outer_top, one.outer_bottom) == (max(0, one.top - halo), min(rows, one.bottom + halo))


@pytest.mark.parametrize(("rows", "band", "halo"), [(0, 1, 0), (1, 0, 0), (1, 1, -1)])
def test_bands_that_do_not_fit_are_refused_at_once(rows: int, band: int, halo: int) -> None:
    with pytest.raises(ConfigError):
        bands(rows, band=band, halo=halo)
