"""The index network in integers: the same table numbers on every machine, for ever (DESIGN §4.3).

Every value is an integer.  Matrix products run in float32, whose sums of integers are exact in whatever order while
they stay below 2^24; that is asserted for each output channel when a network is made.  Neighbours are reached by
shifting planes, never by a library's 3×3 convolution: Winograd and FFT variants are not exact.

    sums      acc = W·a + b                       |acc| < 2^24, weights int8, activations uint8 or int8
    requantise a' = (acc·m + 2^(s−1)) >> s         int64, arithmetic shift, s = 30
    activation a' clipped to 0 … 255; the last layer's is not clipped: K₀ in 1/256 of a table number
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn

from gancodec.errors import WrongModelError
from gancodec.networks.blocks import shuffle
from gancodec.networks.config import CONTEXT_STEPS, PhotoConfig
from gancodec.networks.index import (
    ACTIVATION_MAX,
    INPUT_MAX,
    STEPS_PER_UNIT,
    IndexNetwork,
    IndexStep,
    RoundedConv,
    squash_hyper,
    squash_latent,
    weight_scale,
)
from gancodec.networks.photo import SCALE_MAX, SCALE_MIN

SHIFT: Final = 30
EXACT_LIMIT: Final = 1 << 24
TABLES: Final = 64
"""Tables for the latent, their scales spaced evenly in log from 0.05 to 64."""
FRACTION: Final = 256
"""Table numbers and interpolation are in 1/256."""
LOG_SCALE_STEP: Final = math.log(SCALE_MAX / SCALE_MIN) / (TABLES - 1)
QUALITY_SPAN: Final = 100 * FRACTION
"""Stored quality is 0 … 25,600."""


def table_scale(table: float) -> float:
    """The σ of table ``table``."""
    return SCALE_MIN * math.exp(LOG_SCALE_STEP * table)


def interpolate(table_A: Tensor, quality_256_B: Tensor) -> Tensor:
    """Integer interpolation between anchors: [A, …] and stored qualities [B] -> [B, …] int64.

    (t_a·(256 − f) + t_{a+1}·f + 128) >> 8, where a and f are quotient and fraction of q·(A − 1) / 25,600.
    """
    intervals = table_A.shape[0] - 1
    position_B = quality_256_B.to(torch.int64) * intervals
    anchor_B = torch.clamp(torch.div(position_B, QUALITY_SPAN, rounding_mode="floor"), max=intervals - 1)
    rest_B = position_B - anchor_B * QUALITY_SPAN
    fraction_B = torch.div(rest_B * FRACTION, QUALITY_SPAN, rounding_mode="floor")
    fraction = fraction_B.view(-1, *[1] * (table_A.ndim - 1))
    low, high = table_A[anchor_B].to(torch.int64), table_A[anchor_B + 1].to(torch.int64)
    return (low * (FRACTION - fraction) + high * fraction + FRACTION // 2) >> 8


class IntegerLayer(nn.Module):
    """One layer as buffers: ``weight`` int8 [out, in] or [out, 9], ``bias`` int32 [A or 1, out] in units of the sum,
    ``multiplier`` int32 [out]."""

    weight: Tensor
    bias: Tensor
    multiplier: Tensor

    def __init__(
        self, inputs: int, outputs: int, *, anchors: int = 1, depthwise: bool = False, last: bool = False
    ) -> None:
        super().__init__()
        self.depthwise, self.last = depthwise, last
        self.register_buffer("weight", torch.zeros(outputs, 9 if depthwise else inputs, dtype=torch.int8))
        self.register_buffer("bias", torch.zeros(anchors, outputs, dtype=torch.int32))
        self.register_buffer("multiplier", torch.zeros(outputs, dtype=torch.int32))

    def check(self) -> None:
        """Raise WrongModelError unless every sum is exact in float32 whatever the activations."""
        largest = self.weight.long().abs().sum(1) * ACTIVATION_MAX + self.bias.long().abs().amax(0)
        if int(largest.max()) >= EXACT_LIMIT:
            raise WrongModelError(f"sums of the index network can reach {int(largest.max())}, not below 2^24")
        if int(self.multiplier.min()) < 0:
            raise WrongModelError("a multiplier of the index network is negative")

    def forward(self, x_BChw: Tensor, quality_256_B: Tensor) -> Tensor:
        """Integers in float32 [B, in, h, w] -> uint8 values in float32, or int64 for the last layer."""
        batch, _, rows, columns = x_BChw.shape
        if self.depthwise:
            total = self._neighbours(x_BChw)
        else:
            total = torch.matmul(self.weight.float(), x_BChw.reshape(batch, -1, rows * columns))
            total = total.view(batch, -1, rows, columns)
        bias = interpolate(self.bias, quality_256_B) if len(self.bias) > 1 else self.bias
        # In place from here on: these planes are the largest integers there are.
        scaled = total.to(torch.int64).add_(bias[:, :, None, None])
        scaled.mul_(self.multiplier.to(torch.int64)[:, None, None]).add_(1 << (SHIFT - 1)).bitwise_right_shift_(SHIFT)
        return scaled if self.last else scaled.clamp_(0, ACTIVATION_MAX).float()

    def _neighbours(self, x_BChw: Tensor) -> Tensor:
        padded = nn.functional.pad(x_BChw, (1, 1, 1, 1))
        rows, columns = x_BChw.shape[2:]
        weight = self.weight.float()
        total = torch.zeros_like(x_BChw)
        for tap in range(9):
            row, column = divmod(tap, 3)
            plane = padded[:, :, row : row + rows, column : column + columns]
            total.addcmul_(plane, weight[:, tap, None, None])
        return total

    @torch.no_grad()
    def load_float(self, layer: RoundedConv, quality_bias_AC: Tensor | None = None) -> None:
        """Take over a trained layer with its rounding.  The sums' unit is s_w/32, the output's 1/32 or 1/256 table."""
        bias_AC = layer.bias.detach().double()[None] if layer.bias is not None else torch.zeros(1, layer.out_channels)
        if quality_bias_AC is not None:
            bias_AC = bias_AC + quality_bias_AC.detach().double()
        scale = weight_scale(layer.weight).double()
        if self.last:
            bias_AC = bias_AC - math.log(SCALE_MIN)
            unit = FRACTION / LOG_SCALE_STEP / STEPS_PER_UNIT
        else:
            unit = 1.0
        # A channel whose weights are next to nothing would have a bias beyond what a float32 sum holds.
        scale = torch.maximum(scale, bias_AC.abs().amax(0) * STEPS_PER_UNIT / (EXACT_LIMIT / 4))
        weight = (layer.weight.detach().double().flatten(1) / scale[:, None]).round()
        self.weight.copy_(weight)
        self.bias.copy_((bias_AC * STEPS_PER_UNIT / scale).round())
        multiplier = (scale * unit * 2.0**SHIFT).round()
        if float(multiplier.max()) >= 2**31:
            raise WrongModelError(f"a weight of the index network is too large: {float(layer.weight.abs().max()):.3g}")
        self.multiplier.copy_(multiplier)
        self.check()


class IntegerStep(nn.Module):
    """One context step: the four layers of ``index.IndexStep``."""

    def __init__(self, config: PhotoConfig) -> None:
        super().__init__()
        width = config.index_width
        self.input = IntegerLayer(config.latent_channels + width, width, anchors=config.anchors)
        self.depthwise = IntegerLayer(width, width, depthwise=True)
        self.expand = IntegerLayer(width, 2 * width)
        self.output = IntegerLayer(2 * width, config.latent_channels, last=True)

    def forward(self, features_BChw: Tensor, quality_256_B: Tensor) -> Tensor:
        x = self.input(features_BChw, quality_256_B)
        x = self.expand(self.depthwise(x, quality_256_B), quality_256_B)
        k0: Tensor = self.output(x, quality_256_B)
        return k0

    def load_float(self, step: IndexStep) -> None:
        """Take over a trained step with its rounding."""
        self.input.load_float(step.input, step.bias.table_AC)
        self.depthwise.load_float(step.depthwise)
        self.expand.load_float(step.expand)
        self.output.load_float(step.output)


class IntegerIndex(nn.Module):
    """Symbols to table numbers, in integers from end to end."""

    squash_hyper: Tensor
    squash_latent: Tensor
    offset: Tensor

    def __init__(self, config: PhotoConfig) -> None:
        super().__init__()
        width, latent = config.index_width, config.latent_channels
        # Look-up tables hold the squashed value of −127 … 127 (farther ones count as ±127).
        self.register_buffer("squash_hyper", torch.zeros(2 * INPUT_MAX + 1, dtype=torch.int8))
        self.register_buffer("squash_latent", torch.zeros(config.anchors, latent, 2 * INPUT_MAX + 1, dtype=torch.int8))
        self.register_buffer("offset", torch.zeros(config.anchors, latent, dtype=torch.int32))
        self.hyper_input = IntegerLayer(config.hyper_channels, width, anchors=config.anchors)
        self.hyper_depthwise = IntegerLayer(width, width, depthwise=True)
        self.hyper_up = IntegerLayer(width, 16 * width)
        self.steps = nn.ModuleList(IntegerStep(config) for _ in range(CONTEXT_STEPS))

    def check(self) -> None:
        """Raise WrongModelError unless all sums are exact."""
        for module in self.modules():
            if isinstance(module, IntegerLayer):
                module.check()

    def latent_table(self, quality_256_B: Tensor) -> Tensor:
        """[B, M, 255] float32: what a symbol of each channel looks like to the network at these qualities."""
        return interpolate(self.squash_latent, quality_256_B).float()

    def hyper(self, symbols_z_BCuv: Tensor, quality_256_B: Tensor) -> Tensor:
        """q_z int16 [B, hyper_channels, u, v] -> features, integers in float32 [B, width, 4u, 4v]."""
        place = symbols_z_BCuv.long().clamp_(-INPUT_MAX, INPUT_MAX) + INPUT_MAX
        x = self.squash_hyper.float()[place]
        x = self.hyper_depthwise(self.hyper_input(x, quality_256_B), quality_256_B)
        return shuffle(self.hyper_up(x, quality_256_B), 4)

    def known(self, symbols_BMhw: Tensor, latent_table_BMN: Tensor) -> Tensor:
        """Squashed known symbols: int16 [B, M, h, w] -> integers in float32."""
        place = symbols_BMhw.flatten(2).long().clamp_(-INPUT_MAX, INPUT_MAX) + INPUT_MAX
        return torch.gather(latent_table_BMN, 2, place).view(symbols_BMhw.shape)

    def step(self, number: int, known_BMhw: Tensor, hyper_BChw: Tensor, quality_256_B: Tensor) -> Tensor:
        """K = clamp((K₀ + offset + 128) >> 8, 0, 63) of every channel: uint8 [B, M, h, w]; the caller picks."""
        k0: Tensor = self.steps[number](torch.cat((known_BMhw, hyper_BChw), 1), quality_256_B)
        offset = interpolate(self.offset, quality_256_B)[:, :, None, None]
        return ((k0 + offset + FRACTION // 2) >> 8).clamp_(0, TABLES - 1).to(torch.uint8)

    @torch.no_grad()
    def load_float(self, network: IndexNetwork, log_gain_AM: Tensor) -> None:
        """Round a trained network and its gains into integers."""
        symbols = torch.arange(-INPUT_MAX, INPUT_MAX + 1, dtype=torch.float64)
        steps = float(STEPS_PER_UNIT)
        log_gain = log_gain_AM.detach().double()
        self.squash_hyper.copy_((squash_hyper(symbols) * steps).round().clamp(-INPUT_MAX, INPUT_MAX))
        squashed = squash_latent(symbols, log_gain.exp()[:, :, None])
        self.squash_latent.copy_((squashed * steps).round().clamp(-INPUT_MAX, INPUT_MAX))
        self.offset.copy_((log_gain * (FRACTION / LOG_SCALE_STEP)).round())
        self.hyper_input.load_float(network.hyper_input, network.hyper_bias.table_AC)
        self.hyper_depthwise.load_float(network.hyper_depthwise)
        self.hyper_up.load_float(network.hyper_up)
        for mine, theirs in zip(self.steps, network.steps, strict=True):
            assert isinstance(mine, IntegerStep) and isinstance(theirs, IndexStep)
            mine.load_float(theirs)
