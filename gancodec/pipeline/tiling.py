"""Encoders and generators in tiles with a halo: as if in one piece, in bounded memory.

Tiles are aligned to the latent's stride, and the halo ends only at the border of the padded picture, where networks
see the zeros that they would see anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gancodec.networks.blocks import shuffle, unshuffle
from gancodec.networks.config import LATENT_STRIDE
from gancodec.picture import Tile, tiles

TILE_PX: Final = 1024
"""Side of a tile's core: with its halo, what encoder and generator hold at once."""


def padded_side(pixels: int, align: int) -> int:
    """``pixels`` rounded up to a multiple of ``align``."""
    return -(-pixels // align) * align


def analyse_tiles(
    pictures: Sequence[NDArray[np.uint8]],
    encode: Callable[[Tensor], Tensor],
    latent_BChw: Tensor,
    *,
    tile_px: int,
    halo_px: int,
    between: Callable[[], None],
) -> None:
    """Fill the latent [B, C, h, w] of pictures, uint8 [H, W, 3], padded by replication to 16·h × 16·w pixels.

    encode: pixels in [−1, 1], unshuffled by 8 [B, 192, H/8, W/8], to latents [B, C, H/16, W/16] of a tile.
    """
    height, width = (side * LATENT_STRIDE for side in latent_BChw.shape[2:])
    padded = [
        np.pad(rgb_HWC, ((0, height - rgb_HWC.shape[0]), (0, width - rgb_HWC.shape[1]), (0, 0)), mode="edge")
        for rgb_HWC in pictures
    ]
    for number, tile in enumerate(tiles(height, width, side=tile_px, halo=halo_px, align=LATENT_STRIDE)):
        if number:
            between()
        place = (slice(tile.outer_top, tile.outer_bottom), slice(tile.outer_left, tile.outer_right))
        pixels_BHWC = torch.from_numpy(np.stack([padded_HWC[place] for padded_HWC in padded]))
        x_BCHW = pixels_BHWC.to(latent_BChw.device).permute(0, 3, 1, 2)
        latent = encode(unshuffle(x_BCHW, 8).float().div_(127.5).sub_(1))
        core, inside = _latent_slices(tile)
        latent_BChw[:, :, core[0], core[1]] = latent[:, :, inside[0], inside[1]]


def synthesise_tiles(
    latent_BChw: Tensor,
    generate: Callable[[Tensor], Tensor],
    *,
    sizes: Sequence[tuple[int, int]],
    tile_px: int,
    halo_px: int,
    between: Callable[[], None],
) -> list[NDArray[np.uint8]]:
    """The pictures of latents [B, C, h, w]: uint8 [H, W, 3], each cut to its size (width, height).

    generate: latents of a tile, as they are in ``latent_BChw``, to patches [B, 192, 2h, 2w], about [−1, 1].
    """
    pictures = [np.empty((height, width, 3), np.uint8) for width, height in sizes]
    rows, columns = (side * LATENT_STRIDE for side in latent_BChw.shape[2:])
    for number, tile in enumerate(tiles(rows, columns, side=tile_px, halo=halo_px, align=LATENT_STRIDE)):
        if number:
            between()
        outer = (
            slice(tile.outer_top // LATENT_STRIDE, tile.outer_bottom // LATENT_STRIDE),
            slice(tile.outer_left // LATENT_STRIDE, tile.outer_right // LATENT_STRIDE),
        )
        patches = generate(latent_BChw[:, :, outer[0], outer[1]])
        # Rounded before the pixels are moved: a quarter of the bytes.
        levels = patches.add_(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
        pixels_BHWC = shuffle(levels, 8).permute(0, 2, 3, 1).cpu().numpy()
        for rgb_HWC, pixels_HWC in zip(pictures, pixels_BHWC, strict=True):
            bottom, right = min(tile.bottom, rgb_HWC.shape[0]), min(tile.right, rgb_HWC.shape[1])
            if tile.top < bottom and tile.left < right:
                rgb_HWC[tile.top : bottom, tile.left : right] = pixels_HWC[
                    tile.top - tile.outer_top : bottom - tile.outer_top,
                    tile.left - tile.outer_left : right - tile.outer_left,
                ]
    return pictures


def _latent_slices(tile: Tile) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """A tile's core in the latent plane, and within the tile's own latent."""
    top, left, bottom, right = (edge // LATENT_STRIDE for edge in (tile.top, tile.left, tile.bottom, tile.right))
    outer_top, outer_left = tile.outer_top // LATENT_STRIDE, tile.outer_left // LATENT_STRIDE
    core = (slice(top, bottom), slice(left, right))
    inside = (slice(top - outer_top, bottom - outer_top), slice(left - outer_left, right - outer_left))
    return core, inside
