"""Encoders and generators in tiles with a halo: as if in one piece, in bounded memory.

Tiles are aligned to the latent's stride, and the halo ends only at the border of the padded picture, where networks
see the zeros that they would see anyway.
"""

from __future__ import annotations

from collections.abc import Callable
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


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all it was asked to, so that a clock sees it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def analyse_tiles(
    rgb_HWC: NDArray[np.uint8], encode: Callable[[Tensor], Tensor], latent_BChw: Tensor, *, tile_px: int, halo_px: int
) -> None:
    """Fill the latent [1, C, h, w] of the picture, padded by replication to 16·h × 16·w pixels.

    encode: pixels in [−1, 1], unshuffled by 8 [1, 192, H/8, W/8], to latents [1, C, H/16, W/16] of a tile.
    """
    height, width = (side * LATENT_STRIDE for side in latent_BChw.shape[2:])
    padding = ((0, height - rgb_HWC.shape[0]), (0, width - rgb_HWC.shape[1]), (0, 0))
    padded_HWC = np.pad(rgb_HWC, padding, mode="edge")
    for tile in tiles(height, width, side=tile_px, halo=halo_px, align=LATENT_STRIDE):
        pixels = padded_HWC[tile.outer_top : tile.outer_bottom, tile.outer_left : tile.outer_right]
        x = torch.from_numpy(np.ascontiguousarray(pixels)).to(latent_BChw.device).permute(2, 0, 1)[None]
        latent = encode(unshuffle(x, 8).float().div_(127.5).sub_(1))
        core, inside = _latent_slices(tile)
        latent_BChw[:, :, core[0], core[1]] = latent[:, :, inside[0], inside[1]]


def synthesise_tiles(
    latent_BChw: Tensor,
    generate: Callable[[Tensor], Tensor],
    *,
    width: int,
    height: int,
    tile_px: int,
    halo_px: int,
) -> NDArray[np.uint8]:
    """The picture of a latent [1, C, h, w]: uint8 [H, W, 3], cut to width and height.

    generate: latents of a tile, as they are in ``latent_BChw``, to patches [1, 192, 2h, 2w], about [−1, 1].
    """
    rgb_HWC = np.empty((height, width, 3), np.uint8)
    rows, columns = (side * LATENT_STRIDE for side in latent_BChw.shape[2:])
    for tile in tiles(rows, columns, side=tile_px, halo=halo_px, align=LATENT_STRIDE):
        outer = (
            slice(tile.outer_top // LATENT_STRIDE, tile.outer_bottom // LATENT_STRIDE),
            slice(tile.outer_left // LATENT_STRIDE, tile.outer_right // LATENT_STRIDE),
        )
        patches = generate(latent_BChw[:, :, outer[0], outer[1]])
        # Rounded before the pixels are moved: a quarter of the bytes.
        levels = patches.add_(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
        pixels = shuffle(levels, 8)[0].permute(1, 2, 0).cpu().numpy()
        bottom, right = min(tile.bottom, height), min(tile.right, width)
        if tile.top < bottom and tile.left < right:
            rgb_HWC[tile.top : bottom, tile.left : right] = pixels[
                tile.top - tile.outer_top : bottom - tile.outer_top,
                tile.left - tile.outer_left : right - tile.outer_left,
            ]
    return rgb_HWC


def _latent_slices(tile: Tile) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """A tile's core in the latent plane, and within the tile's own latent."""
    top, left, bottom, right = (edge // LATENT_STRIDE for edge in (tile.top, tile.left, tile.bottom, tile.right))
    outer_top, outer_left = tile.outer_top // LATENT_STRIDE, tile.outer_left // LATENT_STRIDE
    core = (slice(top, bottom), slice(left, right))
    inside = (slice(top - outer_top, bottom - outer_top), slice(left - outer_left, right - outer_left))
    return core, inside
