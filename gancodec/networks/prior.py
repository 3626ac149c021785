"""The exact prior: what a payload means.  Everything in this module is inside the model id.

    q_z ─► ẑ = q_z + median ─► means (float32) ─► μ = g·μ₀      steps 0 … 3, each seeing what came before
     └───────────────────────► index (integers) ─► table numbers

Each step codes a quarter of the latent, packed: [B, M/4, h, w], where the packed channel j at (row, column) is channel
4j + (step XOR class), class = POSITION_CLASS[row % 2][column % 2].  Both networks run in bands of latent rows with a
halo, so that memory does not grow with the picture; the table numbers are the same for any banding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from gancodec.networks.blocks import anchor_weights
from gancodec.networks.config import CONTEXT_STEPS, PhotoConfig
from gancodec.networks.exactness import exact_arithmetic
from gancodec.networks.integer import FRACTION, IntegerIndex
from gancodec.networks.means import MeansNetwork
from gancodec.networks.steps import POSITION_CLASS

HYPER_STRIDE = 4
"""Latent positions per hyper-latent position, each way."""
BAND_POSITIONS = 1 << 12
"""Latent positions in a band: 1 Mpixel, some 120 MB of activations."""


def packed(plane_BMhw: Tensor, step: int) -> Tensor:
    """The quarter that ``step`` codes: [B, M, h, w] -> [B, M/4, h, w].  Rows start at an even row."""
    batch, channels, rows, columns = plane_BMhw.shape
    grouped = plane_BMhw.view(batch, channels // CONTEXT_STEPS, CONTEXT_STEPS, rows, columns)
    quarter = torch.empty_like(grouped[:, :, 0], memory_format=torch.contiguous_format)
    for row, classes in enumerate(POSITION_CLASS):
        for column, position_class in enumerate(classes):
            quarter[..., row::2, column::2] = grouped[:, :, step ^ position_class, row::2, column::2]
    return quarter


def unpack_into(plane_BMhw: Tensor, step: int, quarter_BChw: Tensor) -> None:
    """Write the quarter of ``step`` to its places in the plane: the inverse of ``packed``."""
    batch, channels, rows, columns = plane_BMhw.shape
    grouped = plane_BMhw.view(batch, channels // CONTEXT_STEPS, CONTEXT_STEPS, rows, columns)
    for row, classes in enumerate(POSITION_CLASS):
        for column, position_class in enumerate(classes):
            grouped[:, :, step ^ position_class, row::2, column::2] = quarter_BChw[..., row::2, column::2]


@dataclass(kw_only=True, slots=True, eq=False)
class PriorState:
    """What is known of pictures of one size while they are coded."""

    quality_256_B: Tensor
    """int64, 0 … 25,600."""
    symbols_z_BCuv: Tensor
    """int16"""
    symbols_BMhw: Tensor
    """int16, 0 where not yet coded."""
    known_BMhw: Tensor
    """ŷ/g, float32, 0 where not yet coded."""
    squashed_BMhw: Tensor
    """asinh(ŷ/g), as the means see it."""
    anchor_weights_BA: Tensor
    gain_BM11: Tensor
    latent_table_BMN: Tensor
    features: dict[str, Tensor] = field(default_factory=dict)
    """Hyper features by network, kept where one band holds all rows."""
    between: Callable[[], None] = lambda: None
    """Called between bands: what a large picture lets pass."""


class Prior(nn.Module):
    """Means, table numbers, gains and medians; see the module's docstring."""

    log_gain: Tensor
    medians: Tensor

    def __init__(self, config: PhotoConfig) -> None:
        super().__init__()
        self.config = config
        self.band_positions = BAND_POSITIONS
        self.means = MeansNetwork(config)
        self.index = IntegerIndex(config)
        self.register_buffer("log_gain", torch.zeros(config.anchors, config.latent_channels))
        self.register_buffer("medians", torch.zeros(config.hyper_channels))

    def gain(self, quality_256_B: Tensor) -> Tensor:
        """g [B, M, 1, 1], float32."""
        weights = anchor_weights(quality_256_B.float() / FRACTION, self.config.anchors)
        return (weights @ self.log_gain).exp()[:, :, None, None]

    @torch.no_grad()
    def begin(
        self, symbols_z_BCuv: Tensor, quality_256_B: Tensor, *, between: Callable[[], None] = lambda: None
    ) -> PriorState:
        """Start with the hyper-latent's symbols (int16) and the stored qualities (int64 [B]).

        between: called between the bands of every step.
        """
        batch, _, rows, columns = symbols_z_BCuv.shape
        shape = (batch, self.config.latent_channels, rows * HYPER_STRIDE, columns * HYPER_STRIDE)
        device = symbols_z_BCuv.device
        with exact_arithmetic():
            return PriorState(
                quality_256_B=quality_256_B,
                symbols_z_BCuv=symbols_z_BCuv,
                symbols_BMhw=torch.zeros(shape, dtype=torch.int16, device=device),
                known_BMhw=torch.zeros(shape, dtype=torch.float32, device=device),
                squashed_BMhw=torch.zeros(shape, dtype=torch.float32, device=device),
                anchor_weights_BA=anchor_weights(quality_256_B.float() / FRACTION, self.config.anchors),
                gain_BM11=self.gain(quality_256_B),
                latent_table_BMN=self.index.latent_table(quality_256_B),
                between=between,
            )

    @torch.no_grad()
    def tables(self, state: PriorState, step: int) -> Tensor:
        """Table numbers of a step: uint8 [B, M/4, h, w], the same on every machine."""

        def band(symbols_z: Tensor, outer: slice) -> Tensor:
            hyper = self._features(state, "index", symbols_z)
            known = self.index.known(state.symbols_BMhw[:, :, outer], state.latent_table_BMN)
            return self.index.step(step, known, hyper[:, :, self._inside(outer)], state.quality_256_B)

        return self._in_bands(state, step, band)

    @torch.no_grad()
    def mean(self, state: PriorState, step: int) -> Tensor:
        """Expected values μ of a step in the quantised domain: float32 [B, M/4, h, w]."""

        def band(symbols_z: Tensor, outer: slice) -> Tensor:
            hyper = self._features(state, "means", symbols_z)
            known = state.squashed_BMhw[:, :, outer]
            return self.means.step_squashed(step, known, hyper[:, :, self._inside(outer)]) * state.gain_BM11

        return self._in_bands(state, step, band)

    @torch.no_grad()
    def record(self, state: PriorState, step: int, symbols_BChw: Tensor, mean_BChw: Tensor) -> None:
        """Take over what a step coded: symbols int16 and their means, packed; ŷ/g = (q + μ)/g."""
        unpack_into(state.symbols_BMhw, step, symbols_BChw)
        gain = packed(state.gain_BM11.expand_as(state.known_BMhw), step)
        known = (symbols_BChw + mean_BChw) / gain
        unpack_into(state.known_BMhw, step, known)
        unpack_into(state.squashed_BMhw, step, known.asinh_())

    def _features(self, state: PriorState, network: str, symbols_z: Tensor) -> Tensor:
        """Features of some rows of z; those of all rows, as small pictures have them, are the same in every step."""
        whole = symbols_z.shape[2] == state.symbols_z_BCuv.shape[2]
        if whole and network in state.features:
            return state.features[network]
        if network == "index":
            features = self.index.hyper(symbols_z, state.quality_256_B)
        else:
            features = self.means.hyper(symbols_z.float() + self.medians[:, None, None])
        if whole:
            state.features[network] = features
        return features

    def _inside(self, outer: slice) -> slice:
        """Where the outer band lies in features made from one more row of z on each side."""
        start = HYPER_STRIDE if outer.start else 0
        return slice(start, start + outer.stop - outer.start)

    def _in_bands(self, state: PriorState, step: int, band: Callable[[Tensor, slice], Tensor]) -> Tensor:
        """Run ``band`` over bands of rows, each grown by a halo of four, and put the packed results together."""
        rows = state.known_BMhw.shape[2]
        parts = []
        with exact_arithmetic():
            for core in self._bands(state):
                if core.start:
                    state.between()
                outer = slice(max(0, core.start - HYPER_STRIDE), min(rows, core.stop + HYPER_STRIDE))
                above = max(0, outer.start // HYPER_STRIDE - 1)
                symbols_z = state.symbols_z_BCuv[:, :, above : outer.stop // HYPER_STRIDE + 1]
                quarter = packed(band(symbols_z, outer).contiguous(), step)
                parts.append(quarter[:, :, core.start - outer.start : core.stop - outer.start])
        return torch.cat(parts, 2)

    def _bands(self, state: PriorState) -> Iterator[slice]:
        batch, _, rows, columns = state.known_BMhw.shape
        height = max(1, self.band_positions // (batch * columns * HYPER_STRIDE)) * HYPER_STRIDE
        for top in range(0, rows, height):
            yield slice(top, min(rows, top + height))
