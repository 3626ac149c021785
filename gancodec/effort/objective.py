"""What a choice of symbols is worth: J = R + D/λ, in bits.

R are the bits of all symbols under the tables that the file is coded with; D is the squared error of the picture in
[−1, 1], summed; and 1/λ = 1.25·(λ_X/3)/λ_R(quality) is what D costs along the codec's own curve, a little more than the
price that training had for it (networks/quality.py): the point of the curve that a quality stands for stays the same.

How the picture changes with the symbols is asked of the generator that was trained together with the encoder, where the
codec has kept it: that of readers has been fitted to symbols chosen by the first, and by its own gradients fewer bits
are saved (docs/decisions/0007).  What is measured is the picture that readers make.

Tuned for realism, the picture, in either case, is that of realism 1, and D has another term: λ_P/(λ_X/3) times the
distance of features of each tile's core, times the core's pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gancodec.effort.prepared import Prepared
from gancodec.networks.blocks import anchor_weights, shuffle, unshuffle
from gancodec.networks.config import LATENT_STRIDE, PIXEL_ALIGN
from gancodec.networks.features import FeatureNetwork
from gancodec.networks.integer import FRACTION
from gancodec.networks.quality import LAMBDA_X, lambda_r
from gancodec.picture import Tile, tiles
from gancodec.pipeline import Chain, PhotoPipeline
from gancodec.pipeline.stream import same_size

GRADIENT_PIXELS: Final = 768 * 768
"""In the cores of the tiles that go together, one of each picture: gradients need some 1.5 kB for each pixel."""
GRADIENT_PIXELS_CUDA: Final = 4 * 1024 * 1024
LEAST_TILE_PX: Final = 256
"""Side of a core: smaller ones are mostly halo."""
PATCH_PX: Final = 8
"""Pixels to a patch of the generator's output, each way."""
OWN_CURVE: Final = 1.25
"""What more quality costs, in bits to a unit of D and times training's price (docs/decisions/0005)."""
LAMBDA_P: Final = 0.8
"""Weight of the feature distance where λ_X is that of the squared error: about twice what LPIPS costs in bits along the
codec's own curve at realism 1, so that effort buys it where it is cheap."""


@dataclass(frozen=True, slots=True, eq=False)
class Expansion:
    """The distortion near one ŷ."""

    latent_BMhw: Tensor
    """ŷ, in steps of the quantizer, as are all three."""
    gradient_BMhw: Tensor
    """∂D/∂ŷ"""
    distortion_B: Tensor
    """D there, as the hurried networks of effort compute it."""


def slope(quality: Tensor) -> Tensor:
    """1/λ at qualities 0..100: bits to a unit of D."""
    return OWN_CURVE * LAMBDA_X / 3 / lambda_r(quality)


class Objective:
    """Pictures of one padded size, each at its quality."""

    def __init__(
        self,
        pipeline: PhotoPipeline,
        pictures: Sequence[NDArray[np.uint8]],
        qualities_256: Sequence[int],
        prepared: Prepared,
        features: FeatureNetwork | None = None,
    ) -> None:
        """features: to be tuned for realism.  Raises ConfigError for mixed sizes."""
        self.pipeline, self.pictures, self.qualities_256 = pipeline, pictures, list(qualities_256)
        weights = pipeline.weights
        self._features = features
        self.is_tuned = features is not None
        """For realism."""
        self._realism = 0.0 if features is None else 1.0
        self.prepared = prepared
        self.synthesis = prepared.synthesis(pipeline.synthesis(1.0) if self.is_tuned else weights.guiding)
        self.latent_costs, self.hyper_costs = prepared.latent_costs, prepared.hyper_costs
        quality_256_B = torch.tensor(self.qualities_256, device=pipeline.device)
        quality_B = quality_256_B.float() / FRACTION
        self.anchor_weights_BA = anchor_weights(quality_B, weights.config.anchors)
        self.gain_BM11 = weights.prior.gain(quality_256_B)
        self.slope_B = slope(quality_B)
        """Bits to a unit of D."""
        self._sizes = [(rgb_HWC.shape[1], rgb_HWC.shape[0]) for rgb_HWC in pictures]
        self.width, self.height = same_size([pipeline.padded_size(*size) for size in self._sizes])
        self._padded = self._pad(pictures)

    def _pad(self, pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        return [
            np.pad(rgb_HWC, ((0, self.height - rows), (0, self.width - columns), (0, 0)), mode="edge")
            for rgb_HWC, (columns, rows) in zip(pictures, self._sizes, strict=True)
        ]

    def bits(self, chain: Chain) -> Tensor:
        """R [B], the ideal code length."""
        symbols_z = chain.state.symbols_z_BCuv
        total = self.hyper_costs(self.hyper_tables(symbols_z), symbols_z).flatten(1).sum(1)
        for tables, symbols in chain.steps:
            total = total + self.latent_costs(tables, symbols).flatten(1).sum(1)
        return total

    def coded_bits(self, chain: Chain) -> Tensor:
        """R [B], of real payloads."""
        sizes = [8 * len(self.pipeline.code(each).payload) for each in self.pipeline.symbols(chain)]
        return torch.tensor(sizes, dtype=torch.float32, device=self.pipeline.device)

    def distortion(self, chain: Chain) -> Tensor:
        """D [B] of the very pictures that a decoder on this device makes."""
        made = self.pipeline.synthesise(chain.state, self._sizes, [self._realism] * len(self.pictures))
        if self._features is None:
            errors = [_squared_error(a, b) / 127.5**2 for a, b in zip(made, self.pictures, strict=True)]
            return torch.tensor(errors, dtype=torch.float32, device=self.pipeline.device)
        padded = self._pad(made)
        total = torch.zeros_like(self.slope_B)
        for tile in self.tiles(0):
            self.pipeline.between()
            total += self._distortion(self._patches(padded, tile), tile)
        return total

    def cost(self, chain: Chain) -> Tensor:
        """J [B], in bits: of real payloads and of the pictures that are decoded from them."""
        return self.coded_bits(chain) + self.slope_B * self.distortion(chain)

    @staticmethod
    def hyper_tables(symbols_z: Tensor) -> Tensor:
        """The table of each symbol of z: its channel."""
        channels = torch.arange(symbols_z.shape[1], device=symbols_z.device)
        return channels[None, :, None, None].expand(symbols_z.shape)

    def tiles(self, halo_px: int, *, align: int = LATENT_STRIDE) -> Iterator[Tile]:
        """Of a size whose gradients fit into memory."""
        pixels = GRADIENT_PIXELS_CUDA if self.pipeline.device.type == "cuda" else GRADIENT_PIXELS
        side = max(LEAST_TILE_PX, math.isqrt(pixels // len(self.pictures)) // PIXEL_ALIGN * PIXEL_ALIGN)
        side = min(side, self.pipeline.tile_px)
        yield from tiles(self.height, self.width, side=side, halo=halo_px, align=align)

    def distortion_of(self, patches: Tensor, tile: Tile) -> Tensor:
        """[B] D of what the generator made of a tile, within its core and the pictures.

        patches: [B, 192, H/8, W/8] of the tile with its halo.
        """
        return self._distortion(patches[core_slices(tile, PATCH_PX)], tile)

    def _distortion(self, patches: Tensor, tile: Tile) -> Tensor:
        """patches: of the tile's core."""
        target, inside = self._patches(self._padded, tile), self._inside(tile)
        total: Tensor = _SquaredError.apply(patches, target, inside)
        if self._features is None:
            return total
        if inside is not None:
            patches = torch.lerp(target, patches, inside)
        distance = self._features.distance(shuffle(patches, PATCH_PX), shuffle(target, PATCH_PX))
        pixels = (tile.bottom - tile.top) * (tile.right - tile.left)
        return total + LAMBDA_P / (LAMBDA_X / 3) * pixels * distance

    def _patches(self, padded: Sequence[NDArray[np.uint8]], tile: Tile) -> Tensor:
        """A tile's core of padded pictures: [B, 192, H/8, W/8] in [−1, 1]."""
        core = (slice(tile.top, tile.bottom), slice(tile.left, tile.right))
        pixels_BHWC = torch.from_numpy(np.stack([padded_HWC[core] for padded_HWC in padded]))
        pixels_BCHW = pixels_BHWC.to(self.pipeline.device).permute(0, 3, 1, 2)
        return unshuffle(pixels_BCHW, PATCH_PX).float().div_(127.5).sub_(1)

    def _inside(self, tile: Tile) -> Tensor | None:
        """[B, 192, H/8, W/8] of a tile's core: 1 in the pictures, 0 in their padding; None where nothing is padded."""
        if all(tile.right <= width and tile.bottom <= height for width, height in self._sizes):
            return None
        shape = (len(self._sizes), 3, tile.bottom - tile.top, tile.right - tile.left)
        inside = torch.zeros(shape, dtype=torch.float32)
        for own, (width, height) in zip(inside, self._sizes, strict=True):
            own[:, : max(0, height - tile.top), : max(0, width - tile.left)] = 1
        return unshuffle(inside, PATCH_PX).to(self.pipeline.device)

    def expand(self, known_BMhw: Tensor) -> Expansion:
        """D around ŷ/g [B, M, h, w], with its gradient."""
        total, distortion_B = torch.zeros_like(known_BMhw), torch.zeros_like(self.slope_B)
        for tile in self._tiles_with_halo():
            outer = latent_slices(tile)
            part = known_BMhw[:, :, outer[0], outer[1]].clone().requires_grad_(True)
            with torch.enable_grad():
                distortion = self._from_latent(part, tile)
                (gradient,) = torch.autograd.grad(distortion.sum(), part)
            total[:, :, outer[0], outer[1]] += gradient
            distortion_B += distortion.detach()
        return Expansion(known_BMhw * self.gain_BM11, total.div_(self.gain_BM11), distortion_B)

    @torch.inference_mode()
    def rough_distortion(self, known_BMhw: Tensor) -> Tensor:
        """D [B], as ``expand`` has it."""
        distortion_B = torch.zeros_like(self.slope_B)
        for tile in self._tiles_with_halo():
            outer = latent_slices(tile)
            distortion_B += self._from_latent(known_BMhw[:, :, outer[0], outer[1]], tile)
        return distortion_B

    def _tiles_with_halo(self) -> Iterator[Tile]:
        for tile in self.tiles(self.pipeline.weights.config.receptive_px):
            self.pipeline.between()
            yield tile

    def _from_latent(self, part: Tensor, tile: Tile) -> Tensor:
        """D [B] of a tile's core, from its ŷ/g with halo."""
        scale = self.gain_BM11 * self.synthesis.gains(self.anchor_weights_BA)
        y0 = (part * scale).contiguous(memory_format=torch.channels_last)
        return self.distortion_of(self.synthesis.generator(y0, self.anchor_weights_BA), tile)


class _SquaredError(torch.autograd.Function):
    """[B] from what was made, what it should be, and None or a mask of what counts: in one pass, and one back."""

    @staticmethod
    def forward(ctx: Any, made: Tensor, target: Tensor, inside: Tensor | None) -> Tensor:
        difference = made - target
        if inside is not None:
            difference.mul_(inside)
        ctx.save_for_backward(difference)
        return torch.stack([torch.linalg.vector_norm(each).square() for each in difference])

    @staticmethod
    def backward(ctx: Any, gradient_B: Tensor) -> tuple[Tensor, None, None]:
        (difference,) = ctx.saved_tensors
        return difference * (2 * gradient_B)[:, None, None, None], None, None


def _squared_error(a_HWC: NDArray[np.uint8], b_HWC: NDArray[np.uint8]) -> int:
    """Summed by rows: differences need four bytes a sample."""
    return sum(
        int(np.square(a_WC.astype(np.int32) - b_WC).sum(dtype=np.int64))
        for a_WC, b_WC in zip(a_HWC, b_HWC, strict=True)
    )


def core_slices(tile: Tile, stride: int) -> tuple[slice, slice, slice, slice]:
    """A tile's core within the tile with its halo, in a plane of this stride; all pictures and channels."""
    top, bottom = ((edge - tile.outer_top) // stride for edge in (tile.top, tile.bottom))
    left, right = ((edge - tile.outer_left) // stride for edge in (tile.left, tile.right))
    return slice(None), slice(None), slice(top, bottom), slice(left, right)


def latent_slices(tile: Tile) -> tuple[slice, slice]:
    """A tile with its halo, in the latent plane."""
    top, left, bottom, right = (
        edge // LATENT_STRIDE for edge in (tile.outer_top, tile.outer_left, tile.outer_bottom, tile.outer_right)
    )
    return slice(top, bottom), slice(left, right)
