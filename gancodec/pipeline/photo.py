"""``photo``: pixels ⇄ y and z ⇄ symbols, in tiles and bands."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from copy import deepcopy
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gancodec.entropy import SYMBOL_MAX, CodingTables, SymbolDecoder, SymbolEncoder
from gancodec.errors import ConfigError, CorruptError
from gancodec.networks.blocks import anchor_weights
from gancodec.networks.config import CONTEXT_STEPS, LATENT_STRIDE, PIXEL_ALIGN
from gancodec.networks.exactness import exact_arithmetic
from gancodec.networks.integer import FRACTION
from gancodec.networks.prior import HYPER_STRIDE, PriorState, packed
from gancodec.picture import bands
from gancodec.pipeline.stream import Coded, Stream, check_symbols
from gancodec.pipeline.tiling import TILE_PX, analyse_tiles, padded_side, synchronise, synthesise_tiles
from gancodec.timing import ENTROPY, NETWORK, Stopwatch
from gancodec.weights import PhotoWeights, Synthesis

HYPER_BAND_ROWS = 16
"""Rows of z that the hyper-encoder makes at once; its halo is one more on each side."""


class PhotoPipeline:
    """The networks of one codec on one device.  Not thread-safe: one call at a time."""

    has_quality: Final = True

    def __init__(self, weights: PhotoWeights, device: torch.device) -> None:
        self.weights, self.device = weights, device
        self.latent_coding = CodingTables(weights.latent_tables)
        self.hyper_coding = CodingTables(weights.hyper_tables)
        self.tile_px = TILE_PX
        self.clock = Stopwatch()
        self._silent = torch.from_numpy(weights.latent_tables.silent_T).to(device)
        self._mixed: tuple[float, Synthesis] = (0.0, weights.fidelity)

    @property
    def has_realism(self) -> bool:
        """Whether ``synthesise`` can do anything but realism 0."""
        return self.weights.has_realism

    # Pixels to bytes

    def encode(self, rgb_HWC: NDArray[np.uint8], quality_256: int, *, measure: bool = False) -> Coded:
        """uint8 [H, W, 3] -> payload; ``measure`` adds the ideal code length."""
        with self.clock.part(NETWORK):
            y, symbols_z = self.analyse(rgb_HWC, quality_256)
            synchronise(self.device)
        return self.encode_latent(y, symbols_z, quality_256, measure=measure)

    @torch.inference_mode()
    def analyse(self, rgb_HWC: NDArray[np.uint8], quality_256: int) -> tuple[Tensor, Tensor]:
        """uint8 [H, W, 3] -> y = g·y₀ [1, M, h, w] and the symbols of z, int16 [1, C, h/4, w/4]."""
        config = self.weights.config
        anchors = self._anchors(quality_256)
        rows, columns = (padded_side(side, PIXEL_ALIGN) // LATENT_STRIDE for side in rgb_HWC.shape[:2])
        y_Mhw = torch.empty((1, config.latent_channels, rows, columns), dtype=torch.float32, device=self.device)
        with exact_arithmetic():
            analyse_tiles(
                rgb_HWC,
                lambda patches: self.weights.analysis.encoder(patches, anchors),
                y_Mhw,
                tile_px=self.tile_px,
                halo_px=config.receptive_px,
            )
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
    def encode_latent(self, y_BMhw: Tensor, symbols_z: Tensor, quality_256: int, *, measure: bool = False) -> Coded:
        """Round the latent step by step around its means and code it; ``measure`` adds the ideal code length."""
        prior = self.weights.prior
        encoder = SymbolEncoder()
        bits = 0.0

        def put(coding: CodingTables, tables: NDArray[np.uint8], symbols: NDArray[np.int16]) -> None:
            nonlocal bits
            with self.clock.part(ENTROPY):
                encoder.put(coding, tables, symbols)
            if measure:
                bits += coding.tables.ideal_bits(tables, symbols)

        put(self.hyper_coding, self._hyper_tables(symbols_z.shape), symbols_z.cpu().numpy().ravel())
        hyper_bits = bits
        with self.clock.part(NETWORK):
            state = prior.begin(symbols_z, self._quality(quality_256))
        for step in range(CONTEXT_STEPS):
            with self.clock.part(NETWORK):
                tables = prior.tables(state, step)
                mean = prior.mean(state, step)
                symbols = self.round_step(y_BMhw, step, mean, tables)
                prior.record(state, step, symbols, mean)
                to_code = tables.cpu().numpy().ravel(), symbols.cpu().numpy().ravel()
            put(self.latent_coding, *to_code)
        with self.clock.part(ENTROPY):
            payload = encoder.finish()
        return Coded(
            payload=payload,
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
        sizes = {_hyper_size(stream) for stream in streams}
        if len(sizes) != 1:
            raise ConfigError("pictures of different padded sizes cannot be decoded together", hint="group them first")
        if any(stream.uniform_tables for stream in streams):
            raise CorruptError("a file of this codec says that it uses uniform tables", hint="the file is damaged")
        prior = self.weights.prior
        decoders = [SymbolDecoder(stream.payload) for stream in streams]
        shape = (1, self.weights.config.hyper_channels, *sizes.pop())
        symbols_z = self._take(decoders, self.hyper_coding, np.stack([self._hyper_tables(shape)] * len(streams)))
        with self.clock.part(NETWORK):
            quality_256_B = torch.tensor([stream.quality_256 for stream in streams], device=self.device)
            state = prior.begin(symbols_z.view(-1, *shape[1:]), quality_256_B)
        for step in range(CONTEXT_STEPS):
            with self.clock.part(NETWORK):
                tables = prior.tables(state, step)
                to_take = tables.flatten(1).cpu().numpy()
            symbols = self._take(decoders, self.latent_coding, to_take)
            with self.clock.part(NETWORK):
                prior.record(state, step, symbols.view(tables.shape), prior.mean(state, step))
        for number, (stream, decoder) in enumerate(zip(streams, decoders, strict=True)):
            decoder.finish()
            check_symbols(_symbol_crc(state, number), stream)
        return state

    def _take(self, decoders: list[SymbolDecoder], coding: CodingTables, tables_BN: NDArray[np.uint8]) -> Tensor:
        """One group from every stream: int16 [B, N] on the device."""
        with self.clock.part(ENTROPY):
            taken = [decoder.take(coding, tables_N) for decoder, tables_N in zip(decoders, tables_BN, strict=True)]
        return torch.from_numpy(np.stack(taken)).to(self.device)

    @torch.inference_mode()
    def synthesise(self, state: PriorState, width: int, height: int, realism: float) -> NDArray[np.uint8]:
        """ŷ of one picture -> uint8 [H, W, 3]."""
        synthesis = self.synthesis(realism)
        anchors = state.anchor_weights_BA
        with self.clock.part(NETWORK), exact_arithmetic():
            gain = state.gain_BM11 * synthesis.gains(anchors)

            def generate(known_BMhw: Tensor) -> Tensor:
                y0 = (known_BMhw * gain).contiguous(memory_format=torch.channels_last)
                patches: Tensor = synthesis.generator(y0, anchors)
                return patches

            return synthesise_tiles(
                state.known_BMhw,
                generate,
                width=width,
                height=height,
                tile_px=self.tile_px,
                halo_px=self.weights.config.receptive_px,
            )

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


def _hyper_size(stream: Stream) -> tuple[int, int]:
    """Rows and columns of the hyper-latent."""
    return padded_side(stream.height, PIXEL_ALIGN) // PIXEL_ALIGN, padded_side(stream.width, PIXEL_ALIGN) // PIXEL_ALIGN
