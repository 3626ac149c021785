"""``photo``: pixels ⇄ y and z ⇄ symbols, in tiles and bands."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gancodec.entropy import SYMBOL_MAX, CodingTables, SymbolDecoder, SymbolEncoder
from gancodec.errors import CorruptError, FormatError
from gancodec.networks.blocks import anchor_weights
from gancodec.networks.config import CONTEXT_STEPS, LATENT_STRIDE, PIXEL_ALIGN
from gancodec.networks.encoder import Encoder
from gancodec.networks.exactness import exact_arithmetic
from gancodec.networks.integer import FRACTION
from gancodec.networks.prior import HYPER_STRIDE, PriorState, packed
from gancodec.picture import bands
from gancodec.pipeline.stream import Coded, Decoded, Group, Stream, Symbols, check_symbols, nothing, same_size
from gancodec.pipeline.tiling import TILE_PX, analyse_tiles, padded_side, synthesise_tiles
from gancodec.timing import ENTROPY, NETWORK, Stopwatch
from gancodec.weights import PhotoWeights, Synthesis

HYPER_BAND_ROWS = 16
"""Rows of z that the hyper-encoder makes at once; its halo is one more on each side."""


Choose = Callable[[int, Tensor, Tensor], Tensor]
"""Step, its means float32 and its tables uint8 [B, M/4, h, w] -> its symbols, int16."""


class Chain(NamedTuple):
    """Pictures with all of their symbols chosen."""

    state: PriorState
    steps: list[tuple[Tensor, Tensor]]
    """Of each context step the tables, uint8, and symbols, int16; [B, M/4, h, w]."""


class PhotoPipeline:
    """The networks of one codec on one device.  Not thread-safe: one call at a time, but for ``code``."""

    has_quality: Final = True

    def __init__(self, weights: PhotoWeights, device: torch.device) -> None:
        self.weights, self.device = weights, device
        self.latent_coding = CodingTables(weights.latent_tables)
        self.hyper_coding = CodingTables(weights.hyper_tables)
        self.tile_px = TILE_PX
        self.clock = Stopwatch()
        self.between: Callable[[], None] = nothing
        self._silent = torch.from_numpy(weights.latent_tables.silent_T).to(device)
        self._mixed: tuple[float, Synthesis] = (0.0, weights.fidelity)

    @property
    def has_realism(self) -> bool:
        """Whether ``synthesise`` can do anything but realism 0."""
        return self.weights.has_realism

    def padded_size(self, width: int, height: int) -> tuple[int, int]:
        """Pixels, both ways."""
        return padded_side(width, PIXEL_ALIGN), padded_side(height, PIXEL_ALIGN)

    # Pixels to bytes

    def encode(self, rgb_HWC: NDArray[np.uint8], quality_256: int, *, measure: bool = False) -> Coded:
        """uint8 [H, W, 3] -> payload; ``measure`` adds the ideal code length."""
        (symbols,) = self.quantise([rgb_HWC], [quality_256])
        return self.code(symbols, measure=measure)

    def quantise(self, pictures: Sequence[NDArray[np.uint8]], qualities_256: Sequence[int]) -> list[Symbols]:
        """Pictures of one padded size, uint8 [H, W, 3], each at its quality, to symbols.  Raises ConfigError for mixed
        sizes."""
        with self.clock.part(NETWORK):
            y, symbols_z = self.analyse(pictures, qualities_256)
            return self.quantise_latent(y, symbols_z, qualities_256)

    @torch.inference_mode()
    def analyse(
        self, pictures: Sequence[NDArray[np.uint8]], qualities_256: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """uint8 [H, W, 3] of one padded size -> y = g·y₀ [B, M, h, w] and the symbols of z, int16 [B, C, h/4, w/4]."""
        y_BMhw, z_BCuv = self.latents(pictures, qualities_256)
        return y_BMhw, self.whole_hyper(z_BCuv)

    @torch.inference_mode()
    def latents(
        self,
        pictures: Sequence[NDArray[np.uint8]],
        qualities_256: Sequence[int],
        encoder: Encoder | None = None,
    ) -> tuple[Tensor, Tensor]:
        """As ``analyse``, but z, less its medians, as it comes from the hyper-encoder; encoder: instead of the own."""
        config, encode = self.weights.config, encoder or self.weights.analysis.encoder
        quality_256_B = torch.tensor(list(qualities_256), device=self.device)
        anchors = anchor_weights(quality_256_B.float() / FRACTION, config.anchors)
        width, height = same_size([self.padded_size(each.shape[1], each.shape[0]) for each in pictures])
        shape = (len(pictures), config.latent_channels, height // LATENT_STRIDE, width // LATENT_STRIDE)
        y_BMhw = torch.empty(shape, dtype=torch.float32, device=self.device)
        with exact_arithmetic():
            analyse_tiles(
                pictures,
                lambda patches: encode(patches, anchors),
                y_BMhw,
                tile_px=self.tile_px,
                halo_px=config.receptive_px,
                between=self.between,
            )
            z = self._hyper(y_BMhw, anchors)
            gain = self.weights.prior.gain(quality_256_B)
        return y_BMhw.mul_(gain), z - self.weights.prior.medians[:, None, None]

    @staticmethod
    def whole_hyper(z_BCuv: Tensor) -> Tensor:
        """The symbols of z less its medians: int16."""
        return z_BCuv.round().clamp_(-SYMBOL_MAX, SYMBOL_MAX).to(torch.int16)

    def _hyper(self, y0_BMhw: Tensor, anchors: Tensor) -> Tensor:
        parts = []
        for band in bands(y0_BMhw.shape[2] // HYPER_STRIDE, band=HYPER_BAND_ROWS, halo=1):
            self.between()
            rows = slice(band.outer_top * HYPER_STRIDE, band.outer_bottom * HYPER_STRIDE)
            z = self.weights.analysis.hyper_encoder(y0_BMhw[:, :, rows], anchors)
            parts.append(z[:, :, band.top - band.outer_top : band.bottom - band.outer_top])
        return torch.cat(parts, 2)

    @torch.inference_mode()
    def quantise_latent(self, y_BMhw: Tensor, symbols_z: Tensor, qualities_256: Sequence[int]) -> list[Symbols]:
        """Round the latents step by step around their means."""
        chain = self.chain(
            symbols_z, qualities_256, lambda step, mean, tables: self.round_step(y_BMhw, step, mean, tables)
        )
        return self.symbols(chain)

    @torch.inference_mode()
    def chain(self, symbols_z: Tensor, qualities_256: Sequence[int], choose: Choose) -> Chain:
        """Go through the context steps with the symbols that ``choose`` takes, seeing what a decoder will see."""
        prior = self.weights.prior
        quality_256_B = torch.tensor(list(qualities_256), device=self.device)
        state = prior.begin(symbols_z, quality_256_B, between=self.between)
        steps = []
        for step in range(CONTEXT_STEPS):
            self.between()
            tables, mean = prior.tables(state, step), prior.mean(state, step)
            symbols = choose(step, mean, tables)
            prior.record(state, step, symbols, mean)
            steps.append((tables, symbols))
        return Chain(state, steps)

    def symbols(self, chain: Chain) -> list[Symbols]:
        """What the coder takes of each picture."""
        symbols_z = chain.state.symbols_z_BCuv
        hyper_tables = self._hyper_tables(symbols_z.shape)
        groups = [[Group(self.hyper_coding, hyper_tables, z)] for z in symbols_z.flatten(1).cpu().numpy()]
        for tables, symbols in chain.steps:
            coded = zip(groups, tables.flatten(1).cpu().numpy(), symbols.flatten(1).cpu().numpy(), strict=True)
            for own, tables_N, symbols_N in coded:
                own.append(Group(self.latent_coding, tables_N, symbols_N))
        return [Symbols(tuple(own), _symbol_crc(chain.state, number)) for number, own in enumerate(groups)]

    def code(self, symbols: Symbols, *, measure: bool = False) -> Coded:
        """Symbols -> payload, in any thread; ``measure`` adds the ideal code length."""
        with self.clock.part(ENTROPY):
            encoder = SymbolEncoder()
            for group in symbols.groups:
                encoder.put(*group)
            payload = encoder.finish()
        bits = [group.coding.tables.ideal_bits(group.tables_N, group.symbols_N) for group in symbols.groups * measure]
        return Coded(
            payload=payload,
            symbol_crc=symbols.crc,
            ideal_bits=sum(bits) if measure else None,
            hyper_bits=bits[0] if measure else None,
        )

    def round_step(self, y_BMhw: Tensor, step: int, mean_BChw: Tensor, tables_BChw: Tensor) -> Tensor:
        """q = round(y − μ), 0 where the table is silent; int16 [B, M/4, h, w]."""
        return self.allowed((packed(y_BMhw, step) - mean_BChw).round_(), tables_BChw)

    def allowed(self, symbols_BChw: Tensor, tables_BChw: Tensor) -> Tensor:
        """Whole numbers as the coder takes them: within ±32,767, and 0 where the table is silent; int16."""
        symbols = symbols_BChw.clamp_(-SYMBOL_MAX, SYMBOL_MAX)
        return symbols.masked_fill_(self._silent[tables_BChw.long()], 0).to(torch.int16)

    # Bytes to pixels

    @torch.inference_mode()
    def decode(self, streams: Sequence[Stream]) -> Decoded:
        """The latents of pictures of one padded size, together.  Raises ConfigError for mixed sizes."""
        width, height = same_size([self.padded_size(stream.width, stream.height) for stream in streams])
        shape = (1, self.weights.config.hyper_channels, height // PIXEL_ALIGN, width // PIXEL_ALIGN)
        prior = self.weights.prior
        taking = _Taking(streams)
        hyper_tables = np.stack([self._hyper_tables(shape)] * len(streams))
        symbols_z = self._take(taking, self.hyper_coding, hyper_tables)
        with self.clock.part(NETWORK):
            quality_256_B = torch.tensor([stream.quality_256 for stream in streams], device=self.device)
            state = prior.begin(symbols_z.view(-1, *shape[1:]), quality_256_B, between=self.between)
        for step in range(CONTEXT_STEPS):
            self.between()
            with self.clock.part(NETWORK):
                tables = prior.tables(state, step)
                to_take = tables.flatten(1).cpu().numpy()
            symbols = self._take(taking, self.latent_coding, to_take)
            with self.clock.part(NETWORK):
                prior.record(state, step, symbols.view(tables.shape), prior.mean(state, step))
        return Decoded(state, taking.finish([_symbol_crc(state, number) for number in range(len(streams))]))

    def _take(self, taking: _Taking, coding: CodingTables, tables_BN: NDArray[np.uint8]) -> Tensor:
        """One group from every stream: int16 [B, N] on the device."""
        with self.clock.part(ENTROPY):
            taken = taking.take(coding, tables_BN)
        return torch.from_numpy(taken).to(self.device)

    @torch.inference_mode()
    def synthesise(
        self, state: PriorState, sizes: Sequence[tuple[int, int]], realisms: Sequence[float]
    ) -> list[NDArray[np.uint8]]:
        """ŷ -> uint8 [H, W, 3] of each picture; those of one realism together."""
        pictures: list[NDArray[np.uint8]] = [np.empty((0, 0, 3), np.uint8)] * len(sizes)
        for realism in dict.fromkeys(realisms):
            chosen = [number for number, each in enumerate(realisms) if each == realism]
            with self.clock.part(NETWORK):
                made = self._synthesise(state, chosen, [sizes[number] for number in chosen], realism)
            for number, picture in zip(chosen, made, strict=True):
                pictures[number] = picture
        return pictures

    def _synthesise(
        self, state: PriorState, chosen: list[int], sizes: Sequence[tuple[int, int]], realism: float
    ) -> list[NDArray[np.uint8]]:
        synthesis = self.synthesis(realism)
        whole = len(chosen) == len(state.known_BMhw)
        known, anchors, gain = (
            each if whole else each[chosen] for each in (state.known_BMhw, state.anchor_weights_BA, state.gain_BM11)
        )
        with exact_arithmetic():
            gain = gain * synthesis.gains(anchors)

            def generate(known_BMhw: Tensor) -> Tensor:
                y0 = (known_BMhw * gain).contiguous(memory_format=torch.channels_last)
                patches: Tensor = synthesis.generator(y0, anchors)
                return patches

            return synthesise_tiles(
                known,
                generate,
                sizes=sizes,
                tile_px=self.tile_px,
                halo_px=self.weights.config.receptive_px,
                between=self.between,
            )

    def synthesis(self, realism: float) -> Synthesis:
        """θ = (1 − r)·θ_fidelity + r·θ_realism, mixed once for each r in a row of calls (DESIGN §2)."""
        if self.weights.realism is None or realism == 0:
            return self.weights.fidelity
        if self._mixed[0] != realism:
            # Such as gradients can pass through, whatever region this is first called in (gancodec/effort).
            with torch.inference_mode(False), torch.no_grad():
                mixed = deepcopy(self.weights.fidelity)
                for target, source in zip(mixed.parameters(), self.weights.realism.parameters(), strict=True):
                    target.lerp_(source, realism)
            self._mixed = (realism, mixed)
        return self._mixed[1]

    @staticmethod
    def _hyper_tables(shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """z has one table a channel, at every position; shape: (1, channels, rows, columns)."""
        return np.repeat(np.arange(shape[1], dtype=np.uint8), shape[2] * shape[3])


class _Taking:
    """Decoders of several streams side by side: one that fails goes on with zeros, the others do not notice."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self.streams = streams
        self.decoders = [SymbolDecoder(stream.payload) for stream in streams]
        self.errors: list[FormatError | None] = [
            CorruptError("a file of this codec says that it uses uniform tables", hint="the file is damaged")
            if stream.uniform_tables
            else None
            for stream in streams
        ]

    def take(self, coding: CodingTables, tables_BN: NDArray[np.uint8]) -> NDArray[np.int16]:
        """One group of each: [B, N]."""
        taken = np.zeros(tables_BN.shape, np.int16)
        for number, (decoder, tables_N) in enumerate(zip(self.decoders, tables_BN, strict=True)):
            if self.errors[number] is None:
                try:
                    taken[number] = decoder.take(coding, tables_N)
                except FormatError as exc:
                    self.errors[number] = exc
        return taken

    def finish(self, crcs: Sequence[int]) -> tuple[FormatError | None, ...]:
        """Check that nothing is left over, and the symbols' checksums."""
        for number, (stream, decoder, crc) in enumerate(zip(self.streams, self.decoders, crcs, strict=True)):
            if self.errors[number] is None:
                try:
                    decoder.finish()
                    check_symbols(crc, stream)
                except FormatError as exc:
                    self.errors[number] = exc
        return tuple(self.errors)


def _symbol_crc(state: PriorState, number: int) -> int:
    """CRC-32 of all symbols of one picture: int16 little-endian, z then y, in C order."""
    crc = 0
    for plane in (state.symbols_z_BCuv[number], state.symbols_BMhw[number]):
        crc = zlib.crc32(np.ascontiguousarray(plane.cpu().numpy(), dtype="<i2").data, crc)
    return crc
