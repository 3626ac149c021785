"""``extreme``: pixels ⇄ a few five-valued symbols for each 16×16 of them, in tiles.

The payload is the shorter one of two: with learned tables, chosen by the neighbours' symbols, or with five equally
probable values.  So no picture needs more than log2(5) bits a symbol.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gancodec.entropy import CodingTables, SymbolDecoder, SymbolEncoder, checkerboard, table_numbers
from gancodec.errors import CorruptError, FormatError
from gancodec.networks.config import CENTRES, LATENT_STRIDE
from gancodec.networks.exactness import exact_arithmetic
from gancodec.networks.extreme import SYMBOL_MAX, nearest_centre
from gancodec.pipeline.stream import Coded, Decoded, Group, Stream, Symbols, check_symbols, nothing, same_size
from gancodec.pipeline.tiling import TILE_PX, analyse_tiles, padded_side, synthesise_tiles
from gancodec.timing import ENTROPY, NETWORK, Stopwatch
from gancodec.weights import ExtremeWeights

BITS_A_SYMBOL: Final = math.log2(CENTRES)
"""What a symbol costs with uniform tables."""


class ExtremePipeline:
    """The networks of one codec on one device.  Not thread-safe: one call at a time, but for ``code``."""

    has_quality: Final = False
    has_realism: Final = False

    def __init__(self, weights: ExtremeWeights, device: torch.device) -> None:
        self.weights, self.device = weights, device
        self.coding = CodingTables(weights.tables)
        self.tile_px = TILE_PX
        self.clock = Stopwatch()
        self.between: Callable[[], None] = nothing

    def padded_size(self, width: int, height: int) -> tuple[int, int]:
        """Pixels, both ways."""
        return padded_side(width, LATENT_STRIDE), padded_side(height, LATENT_STRIDE)

    # Pixels to bytes

    def encode(self, rgb_HWC: NDArray[np.uint8], quality_256: int, *, measure: bool = False) -> Coded:
        """uint8 [H, W, 3] -> payload, whatever the quality; ``measure`` adds the ideal code length."""
        (symbols,) = self.quantise([rgb_HWC], [quality_256])
        return self.code(symbols, measure=measure)

    @torch.inference_mode()
    def analyse(self, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
        """uint8 [H, W, 3] of one padded size -> y₀ [B, C, h, w], not yet rounded."""
        config = self.weights.config
        width, height = same_size([self.padded_size(each.shape[1], each.shape[0]) for each in pictures])
        shape = (len(pictures), config.symbol_channels, height // LATENT_STRIDE, width // LATENT_STRIDE)
        y0 = torch.empty(shape, dtype=torch.float32, device=self.device)
        with exact_arithmetic():
            analyse_tiles(
                pictures,
                self.weights.analysis,
                y0,
                tile_px=self.tile_px,
                halo_px=config.receptive_px,
                between=self.between,
            )
        return y0

    def quantise(self, pictures: Sequence[NDArray[np.uint8]], qualities_256: Sequence[int]) -> list[Symbols]:
        """Pictures of one padded size, uint8 [H, W, 3], to symbols, whatever the qualities.  Raises ConfigError for
        mixed sizes."""
        with self.clock.part(NETWORK):
            symbols_BChw = nearest_centre(self.analyse(pictures)).to(torch.int16).cpu().numpy()
        return [self.grouped(symbols_Chw) for symbols_Chw in symbols_BChw]

    def grouped(self, symbols_Chw: NDArray[np.int16]) -> Symbols:
        """Symbols [C, h, w], −2 … 2, in the order in which learned tables code them."""
        tables_Chw = table_numbers(symbols_Chw)
        groups = [
            Group(self.coding, tables_Chw[:, pass_hw].ravel(), symbols_Chw[:, pass_hw].ravel())
            for pass_hw in checkerboard(*symbols_Chw.shape[1:])
        ]
        return Symbols(tuple(groups), _symbol_crc(symbols_Chw), symbols_Chw)

    def code(self, symbols: Symbols, *, measure: bool = False) -> Coded:
        """Symbols -> the shorter payload, in any thread; learned tables where both have the same length."""
        plane = symbols.plane
        assert plane is not None
        with self.clock.part(ENTROPY):
            learned, uniform = SymbolEncoder(), SymbolEncoder()
            for group in symbols.groups:
                learned.put(*group)
            uniform.put_uniform(plane.ravel(), SYMBOL_MAX)
            payload, uniform_payload = learned.finish(), uniform.finish()
        use_uniform = len(uniform_payload) < len(payload)
        ideal_bits = None
        if measure:
            ideal_bits = plane.size * BITS_A_SYMBOL
            if not use_uniform:
                tables = self.weights.tables
                ideal_bits = sum(tables.ideal_bits(group.tables_N, group.symbols_N) for group in symbols.groups)
        return Coded(
            payload=uniform_payload if use_uniform else payload,
            symbol_crc=symbols.crc,
            uniform_tables=use_uniform,
            ideal_bits=ideal_bits,
            hyper_bits=0.0 if measure else None,
        )

    # Bytes to pixels

    def decode(self, streams: Sequence[Stream]) -> Decoded:
        """The symbols of pictures of one padded size, together: int16 [B, C, h, w] on the device.  Raises ConfigError
        for mixed sizes."""
        width, height = same_size([self.padded_size(stream.width, stream.height) for stream in streams])
        shape = (self.weights.config.symbol_channels, height // LATENT_STRIDE, width // LATENT_STRIDE)
        symbols_BChw = np.zeros((len(streams), *shape), np.int16)
        errors: list[FormatError | None] = []
        with self.clock.part(ENTROPY):
            for symbols_Chw, stream in zip(symbols_BChw, streams, strict=True):
                try:
                    self._decode_into(symbols_Chw, stream)
                    errors.append(None)
                except FormatError as exc:
                    symbols_Chw[:] = 0
                    errors.append(exc)
        return Decoded(torch.from_numpy(symbols_BChw).to(self.device), tuple(errors))

    def _decode_into(self, symbols_Chw: NDArray[np.int16], stream: Stream) -> None:
        """The symbols of one picture.  Raises CorruptError or ChecksumError."""
        decoder = SymbolDecoder(stream.payload)
        if stream.uniform_tables:
            symbols_Chw[:] = decoder.take_uniform(symbols_Chw.size, SYMBOL_MAX).reshape(symbols_Chw.shape)
        else:
            for pass_hw in checkerboard(*symbols_Chw.shape[1:]):
                tables = table_numbers(symbols_Chw)[:, pass_hw]
                symbols = decoder.take(self.coding, tables.ravel())
                if np.abs(symbols).max(initial=0) > SYMBOL_MAX:
                    raise CorruptError("a symbol is an escape, which no writer uses", hint="the file is damaged")
                symbols_Chw[:, pass_hw] = symbols.reshape(tables.shape)
        decoder.finish()
        check_symbols(_symbol_crc(symbols_Chw), stream)

    @torch.inference_mode()
    def synthesise(
        self, state: Tensor, sizes: Sequence[tuple[int, int]], realisms: Sequence[float]
    ) -> list[NDArray[np.uint8]]:
        """Symbols [B, C, h, w] -> uint8 [H, W, 3] of each picture.  There is one generator whatever the realism."""

        def generate(symbols_BChw: Tensor) -> Tensor:
            symbols = symbols_BChw.float().contiguous(memory_format=torch.channels_last)
            patches: Tensor = self.weights.generator(symbols)
            return patches

        with self.clock.part(NETWORK), exact_arithmetic():
            return synthesise_tiles(
                state,
                generate,
                sizes=sizes,
                tile_px=self.tile_px,
                halo_px=self.weights.config.receptive_px,
                between=self.between,
            )


def _symbol_crc(symbols_Chw: NDArray[np.int16]) -> int:
    """CRC-32 of int16 little-endian in C order."""
    return zlib.crc32(np.ascontiguousarray(symbols_Chw, dtype="<i2").data)
