"""One picture through the networks, in tiles and bands: pixels to symbols and bytes, and back.

``codec.py`` decides what to do; here is how.  On the way tensors become numpy arrays and back in this module only.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gancodec.entropy import SYMBOL_MAX, CodingTables, SymbolDecoder, SymbolEncoder
from gancodec.errors import ChecksumError, ConfigError
from gancodec.networks.blocks import anchor_weights, shuffle, unshuffle
from gancodec.networks.config import CONTEXT_STEPS, LATENT_STRIDE, PIXEL_ALIGN
from gancodec.networks.exactness import exact_arithmetic
from gancodec.networks.integer import FRACTION
from gancodec.networks.prior import HYPER_STRIDE, PriorState, packed
from gancodec.picture import Tile, bands, tiles
from gancodec.weights import PhotoWeights, Synthesis

TILE_PX = 1024
"""Side of a tile's core: with its halo, what encoder and generator hold at once."""
HYPER_BAND_ROWS = 16
"""Rows of z that the hyper-encoder makes at once; its halo is one more on each side."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Coded:
    """What the entropy coder made of a picture."""

    payload: bytes
    symbol_crc: int
    ideal_bits: float | None
    """−Σ log2 p under the tables, what an ideal coder would have needed; None unless asked for."""
    hyper_bits: float | None
    """The share of z in ``ideal_bits``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
    """What of a file the decoder of symbols needs."""

    payload: bytes
    width: int
    """Pixels, as are heights."""
    height: int
    quality_256: int
    symbol_crc: int

    @property
    def hyper_size(self) -> tuple[int, int]:
        """Rows and columns of the hyper-latent."""
        return padded_side(self.height) // PIXEL_ALIGN, padded_side(self.width) // PIXEL_ALIGN


def padded_side(pixels: int) -> int:
    """``pixels`` rounded up to a multiple of 64."""
    return -(-pixels // PIXEL_ALIGN) * PIXEL_ALIGN


class Pipeline:
    """The networks of one codec on one device.  Not thread-safe: one call at a time."""

    def __init__(self, weights: PhotoWeights, device: torch.device) -> None:
        self.weights, self.device = weights, device
        self.latent_coding = CodingTables(weights.latent_tables)
        self.hyper_coding = CodingTables(weights.hyper_tables)
        self.tile_px = TILE_PX
        self._silent = torch.from_numpy(weights.latent_tables.silent_T).to(device)
        self._mixed: tuple[float, Synthesis] = (0.0, weights.fidelity)

    # Pixels to bytes

    @torch.inference_mode()
    def analyse(self, rgb_HWC: NDArray[np.uint8], quality_256: int) -> tuple[Tensor, Tensor]:
        """uint8 [H, W, 3] -> y = g·y₀ [1, M, h, w] and the symbols of z, int16 [1, C, h/4, w/4]."""
        height, width = padded_side(rgb_HWC.shape[0]), padded_side(rgb_HWC.shape[1])
        padding = ((0, height - rgb_HWC.shape[0]), (0, width - rgb_HWC.shape[1]), (0, 0))
        padded_HWC = np.pad(rgb_HWC, padding, mode="edge")
        config = self.weights.config
        anchors = self._anchors(quality_256)
        rows, columns = height // LATENT_STRIDE, width // LATENT_STRIDE
        y_Mhw = torch.empty((1, config.latent_channels, rows, columns), dtype=torch.float32, device=self.device)
        with exact_arithmetic():
            for tile in tiles(height, width, side=self.tile_px, halo=config.receptive_px, align=LATENT_STRIDE):
                pixels = padded_HWC[tile.outer_top : tile.outer_bottom, tile.outer_left : tile.outer_right]
                x = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device).permute(2, 0, 1)[None]
                patches = unshuffle(x, 8).float().div_(127.5).sub_(1)
                core, inside = _latent_slices(tile)
                y0 = self.weights.analysis.encoder(patches, anchors)
                y_Mhw[:, :, core[0], core[1]] = y0[:, :, inside[0], inside[1]]
            z = self._hyper(y_Mhw, anchors)
            gain = self.weights.prior.gain(self._quality(quality_256))
        symbols_z = (z - self.weights.prior.medians[:, None, None]).round_().clamp_(-SYMBOL_MAX, SYMBOL_MAX)
        return y_Mhw.mul_(gain), symbols_z.to(torch.int16)

    def _hyper(self, y0_BMhw: Tensor, anchors: Tensor) -> Tensor:
        parts = []
        for band in bands(y0_BMhw.shape[2] // HYPER_STRIDE, band=HYPER_BAND_ROWS, halo=1):
            rows = slice(band.outer_top * HYPER_STRIDE, band.outer_bottom * HYPER_STRIDE)
            z = self.weights.analysis.hyper_encoder(y0_BMhw[:, :, rows], anchors)
            parts.append(z[:, :, band.top - band.outer_top : band.bottom - band.outer_top])
        return torch.cat(parts, 2)

    @torch.inference_mode()
    def encode(self, y_BMhw: Tensor, symbols_z: Tensor, quality_256: int, *, measure: bool = False) -> Coded:
        """Round the latent step by step around its means and code it; ``measure`` adds the ideal code length."""
        prior = self.weights.prior
        encoder = SymbolEncoder()
        bits = 0.0

        def put(coding: CodingTables, tables: NDArray[np.uint8], symbols: Tensor) -> None:
            nonlocal bits
            flat = symbols.cpu().numpy().ravel()
            encoder.put(coding, tables, flat)
            if measure:
                bits += coding.tables.ideal_bits(tables, flat)

        put(self.hyper_coding, self._hyper_tables(symbols_z.shape), symbols_z)
        hyper_bits = bits
        state = prior.begin(symbols_z, self._quality(quality_256))
        for step in range(CONTEXT_STEPS):
            tables = prior.tables(state, step)
            mean = prior.mean(state, step)
            symbols = self.round_step(y_BMhw, step, mean, tables)
            put(self.latent_coding, tables.cpu().numpy().ravel(), symbols)
            prior.record(state, step, symbols, mean)
        return Coded(
            payload=encoder.finish(),
            symbol_crc=_symbol_crc(state, 0),
            ideal_bits=bits if measure else None,
            hyper_bits=hyper_bits if measure else None,
        )

    def round_step(self, y_BMhw: Tensor, step: int, mean_BChw: Tensor, tables_BChw: Tensor) -> Tensor:
        """q = round(y − μ), 0 where the table is silent; int16 [B, M/4, h, w]."""
        symbols = (packed(y_BMhw, step) - mean_BChw).round_().clamp_(-SYMBOL_MAX, SYMBOL_MAX)
        return symbols.masked_fill_(self._silent[tables_BChw.long()], 0).to(torch.int16)

    # Bytes to pixels

    @torch.inference_mode()
    def decode(self, streams: Sequence[Stream]) -> PriorState:
        """The latents of pictures of one padded size, together.

        Raises CorruptError, ChecksumError when symbols are not those that were written, ConfigError for mixed sizes.
        """
        if len({stream.hyper_size for stream in streams}) != 1:
            raise ConfigError("pictures of different padded sizes cannot be decoded together", hint="group them first")
        prior = self.weights.prior
        decoders = [SymbolDecoder(stream.payload) for stream in streams]
        shape = (1, self.weights.config.hyper_channels, *streams[0].hyper_size)
        symbols_z = self._take(decoders, self.hyper_coding, np.stack([self._hyper_tables(shape)] * len(streams)))
        quality_256_B = torch.tensor([stream.quality_256 for stream in streams], device=self.device)
        state = prior.begin(symbols_z.view(-1, *shape[1:]), quality_256_B)
        for step in range(CONTEXT_STEPS):
            tables = prior.tables(state, step)
            symbols = self._take(decoders, self.latent_coding, tables.flatten(1).cpu().numpy())
            prior.record(state, step, symbols.view(tables.shape), prior.mean(state, step))
        for number, (stream, decoder) in enumerate(zip(streams, decoders, strict=True)):
            decoder.finish()
            seen = _symbol_crc(state, number)
            if seen != stream.symbol_crc:
                raise ChecksumError(
                    f"symbol checksum is {seen:08x}, not {stream.symbol_crc:08x}",
                    hint="the file is damaged; if not, please report it with the file",
                )
        return state

    def _take(self, decoders: list[SymbolDecoder], coding: CodingTables, tables_BN: NDArray[np.uint8]) -> Tensor:
        """One group from every stream: int16 [B, N] on the device."""
        taken = [decoder.take(coding, tables_N) for decoder, tables_N in zip(decoders, tables_BN, strict=True)]
        return torch.from_numpy(np.stack(taken)).to(self.device)

    @torch.inference_mode()
    def synthesise(self, state: PriorState, width: int, height: int, realism: float) -> NDArray[np.uint8]:
        """ŷ of one picture -> uint8 [H, W, 3]."""
        synthesis = self.synthesis(realism)
        anchors = state.anchor_weights_BA
        rgb_HWC = np.empty((height, width, 3), np.uint8)
        rows, columns = padded_side(height), padded_side(width)
        with exact_arithmetic():
            gain = state.gain_BM11 * synthesis.gains(anchors)
            halo = self.weights.config.receptive_px
            for tile in tiles(rows, columns, side=self.tile_px, halo=halo, align=LATENT_STRIDE):
                outer = (
                    slice(tile.outer_top // LATENT_STRIDE, tile.outer_bottom // LATENT_STRIDE),
                    slice(tile.outer_left // LATENT_STRIDE, tile.outer_right // LATENT_STRIDE),
                )
                y0 = (state.known_BMhw[:, :, outer[0], outer[1]] * gain).contiguous(memory_format=torch.channels_last)
                patches = synthesis.generator(y0, anchors)
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

    def synthesis(self, realism: float) -> Synthesis:
        """θ = (1 − r)·θ_fidelity + r·θ_realism, mixed once for each r in a row of calls (DESIGN §2)."""
        if self.weights.realism is None or realism == 0:
            return self.weights.fidelity
        if self._mixed[0] != realism:
            mixed = deepcopy(self.weights.fidelity)
            with torch.no_grad():
                for target, source in zip(mixed.parameters(), self.weights.realism.parameters(), strict=True):
                    target.lerp_(source, realism)
            self._mixed = (realism, mixed)
        return self._mixed[1]

    def _quality(self, quality_256: int) -> Tensor:
        return torch.tensor([quality_256], device=self.device)

    def _anchors(self, quality_256: int) -> Tensor:
        return anchor_weights(self._quality(quality_256).float() / FRACTION, self.weights.config.anchors)

    @staticmethod
    def _hyper_tables(shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """z has one table a channel, at every position; shape: (1, channels, rows, columns)."""
        return np.repeat(np.arange(shape[1], dtype=np.uint8), shape[2] * shape[3])


def _symbol_crc(state: PriorState, number: int) -> int:
    """CRC-32 of all symbols of one picture: int16 little-endian, z then y, in C order."""
    crc = 0
    for plane in (state.symbols_z_BCuv[number], state.symbols_BMhw[number]):
        crc = zlib.crc32(np.ascontiguousarray(plane.cpu().numpy(), dtype="<i2").data, crc)
    return crc


def _latent_slices(tile: Tile) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """A tile's core in the latent plane, and within the tile's own latent."""
    top, left, bottom, right = (edge // LATENT_STRIDE for edge in (tile.top, tile.left, tile.bottom, tile.right))
    outer_top, outer_left = tile.outer_top // LATENT_STRIDE, tile.outer_left // LATENT_STRIDE
    core = (slice(top, bottom), slice(left, right))
    inside = (slice(top - outer_top, bottom - outer_top), slice(left - outer_left, right - outer_left))
    return core, inside
