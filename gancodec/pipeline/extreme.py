"""``extreme``: pixels ⇄ a few five-valued symbols for each 16×16 of them, in tiles.

The payload is the shorter one of two: with learned tables, chosen by the neighbours' symbols, or with five equally
probable values.  So no picture needs more than log2(5) bits a symbol.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gancodec.entropy import CodingTables, SymbolDecoder, SymbolEncoder, checkerboard, table_numbers
from gancodec.errors import ConfigError, CorruptError
from gancodec.networks.config import CENTRES, LATENT_STRIDE
from gancodec.networks.exactness import exact_arithmetic
from gancodec.networks.extreme import SYMBOL_MAX, nearest_centre
from gancodec.pipeline.stream import Coded, Stream, check_symbols
from gancodec.pipeline.tiling import TILE_PX, analyse_tiles, padded_side, synthesise_tiles
from gancodec.timing import ENTROPY, NETWORK, Stopwatch
from gancodec.weights import ExtremeWeights

BITS_A_SYMBOL: Final = math.log2(CENTRES)
"""What a symbol costs with uniform tables."""


class ExtremePipeline:
    """The networks of one codec on one device.  Not thread-safe: one call at a time."""

    has_quality: Final = False
    has_realism: Final = False

    def __init__(self, weights: ExtremeWeights, device: torch.device) -> None:
        self.weights, self.device = weights, device
        self.coding = CodingTables(weights.tables)
        self.tile_px = TILE_PX
        self.clock = Stopwatch()

    # Pixels to bytes

    def encode(self, rgb_HWC: NDArray[np.uint8], quality_256: int, *, measure: bool = False) -> Coded:
        """uint8 [H, W, 3] -> payload, whatever the quality; ``measure`` adds the ideal code length."""
        return self.encode_symbols(self.quantise(rgb_HWC), measure=measure)

    @torch.inference_mode()
    def analyse(self, rgb_HWC: NDArray[np.uint8]) -> Tensor:
        """uint8 [H, W, 3] -> y₀ [1, C, h, w], not yet rounded."""
        config = self.weights.config
        shape = (1, config.symbol_channels, *_latent_size(rgb_HWC.shape[0], rgb_HWC.shape[1]))
        y0 = torch.empty(shape, dtype=torch.float32, device=self.device)
        with exact_arithmetic():
            analyse_tiles(rgb_HWC, self.weights.analysis, y0, tile_px=self.tile_px, halo_px=config.receptive_px)
        return y0

    def quantise(self, rgb_HWC: NDArray[np.uint8]) -> NDArray[np.int16]:
        """uint8 [H, W, 3] -> symbols [C, h, w], −2 … 2."""
        with self.clock.part(NETWORK):
            return nearest_centre(self.analyse(rgb_HWC))[0].to(torch.int16).cpu().numpy()

    def encode_symbols(self, symbols_Chw: NDArray[np.int16], *, measure: bool = False) -> Coded:
        """Symbols [C, h, w] -> the shorter payload; learned tables where both have the same length."""
        with self.clock.part(ENTROPY):
            tables_Chw = table_numbers(symbols_Chw)
            learned, uniform = SymbolEncoder(), SymbolEncoder()
            for pass_hw in checkerboard(*symbols_Chw.shape[1:]):
                learned.put(self.coding, tables_Chw[:, pass_hw].ravel(), symbols_Chw[:, pass_hw].ravel())
            uniform.put_uniform(symbols_Chw.ravel(), SYMBOL_MAX)
            payload, uniform_payload = learned.finish(), uniform.finish()
        use_uniform = len(uniform_payload) < len(payload)
        ideal_bits = None
        if measure:
            ideal_bits = symbols_Chw.size * BITS_A_SYMBOL
            if not use_uniform:
                ideal_bits = self.weights.tables.ideal_bits(tables_Chw.ravel(), symbols_Chw.ravel())
        return Coded(
            payload=uniform_payload if use_uniform else payload,
            symbol_crc=_symbol_crc(symbols_Chw),
            uniform_tables=use_uniform,
            ideal_bits=ideal_bits,
            hyper_bits=0.0 if measure else None,
        )

    # Bytes to pixels

    def decode(self, streams: Sequence[Stream]) -> Tensor:
        """The symbols of pictures of one padded size, together: int16 [B, C, h, w] on the device.

        Raises CorruptError, ChecksumError when symbols are not those that were written, ConfigError for mixed sizes.
        """
        if len({_latent_size(stream.height, stream.width) for stream in streams}) != 1:
            raise ConfigError("pictures of different padded sizes cannot be decoded together", hint="group them first")
        with self.clock.part(ENTROPY):
            symbols_BChw = np.stack([self.decode_symbols(stream) for stream in streams])
        return torch.from_numpy(symbols_BChw).to(self.device)

    def decode_symbols(self, stream: Stream) -> NDArray[np.int16]:
        """The symbols of one picture: [C, h, w].  Raises CorruptError or ChecksumError."""
        rows, columns = _latent_size(stream.height, stream.width)
        shape = (self.weights.config.symbol_channels, rows, columns)
        decoder = SymbolDecoder(stream.payload)
        if stream.uniform_tables:
            symbols_Chw = decoder.take_uniform(math.prod(shape), SYMBOL_MAX).reshape(shape)
        else:
            symbols_Chw = np.zeros(shape, np.int16)
            for pass_hw in checkerboard(rows, columns):
                tables = table_numbers(symbols_Chw)[:, pass_hw]
                symbols = decoder.take(self.coding, tables.ravel())
                if np.abs(symbols).max(initial=0) > SYMBOL_MAX:
                    raise CorruptError("a symbol is an escape, which no writer uses", hint="the file is damaged")
                symbols_Chw[:, pass_hw] = symbols.reshape(tables.shape)
        decoder.finish()
        check_symbols(_symbol_crc(symbols_Chw), stream)
        return symbols_Chw

    @torch.inference_mode()
    def synthesise(self, state: Tensor, width: int, height: int, realism: float) -> NDArray[np.uint8]:
        """Symbols of one picture [1, C, h, w] -> uint8 [H, W, 3].  There is one generator whatever the realism."""

        def generate(symbols_BChw: Tensor) -> Tensor:
            symbols = symbols_BChw.float().contiguous(memory_format=torch.channels_last)
            patches: Tensor = self.weights.generator(symbols)
            return patches

        with self.clock.part(NETWORK), exact_arithmetic():
            return synthesise_tiles(
                state,
                generate,
                width=width,
                height=height,
                tile_px=self.tile_px,
                halo_px=self.weights.config.receptive_px,
            )


def _latent_size(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the latent."""
    return padded_side(height, LATENT_STRIDE) // LATENT_STRIDE, padded_side(width, LATENT_STRIDE) // LATENT_STRIDE


def _symbol_crc(symbols_Chw: NDArray[np.int16]) -> int:
    """CRC-32 of int16 little-endian in C order."""
    return zlib.crc32(np.ascontiguousarray(symbols_Chw, dtype="<i2").data)
