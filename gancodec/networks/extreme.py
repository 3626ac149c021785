"""The ``extreme`` model: the study notes' codec, a few five-valued symbols for each 16×16 pixels, and a generator.

    x ─unshuffle 8─► encoder ─► y₀ ──nearest centre──► q ∈ {−2 … 2} ─► generator ─► x̂

Axes: B batch, C symbol channels, h w latent rows and columns (1/16 of the picture).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from gancodec.networks.blocks import Block, Pointwise, PrecisePointwise, leaky, shuffle, unshuffle, zero_
from gancodec.networks.config import CENTRES, LATENT_STRIDE, ExtremeConfig

SYMBOL_MAX = CENTRES // 2
"""Symbols are −2 … 2; a centre's value is the symbol itself."""
SHARPNESS = 2.0
"""σ of the soft assignment: at 2, a value half-way between two centres weighs them alike and the next ones by e⁻⁴."""


class ExtremeEncoder(nn.Module):
    """Pixels, unshuffled by 8, to y₀ at 1/16, of about unit variance: y₀ = KLT(x) + network(x)."""

    def __init__(self, config: ExtremeConfig) -> None:
        super().__init__()
        self.input = Pointwise(3 * 64, config.channels_8)
        self.blocks_8 = nn.Sequential(*(Block(config.channels_8) for _ in range(config.blocks_8)))
        self.down = Pointwise(4 * config.channels_8, config.channels_16)
        self.blocks_16 = nn.Sequential(*(Block(config.channels_16) for _ in range(config.blocks_16)))
        self.output = zero_(PrecisePointwise(config.channels_16, config.symbol_channels))
        self.shortcut = PrecisePointwise(3 * LATENT_STRIDE**2, config.symbol_channels)

    def forward(self, patches_BChw: Tensor) -> Tensor:
        """patches: [B, 192, H/8, W/8] in [−1, 1], from ``unshuffle(x, 8)``.  Returns y₀ [B, C, H/16, W/16]."""
        x = self.blocks_8(leaky(self.input(patches_BChw)).float())
        x = self.blocks_16(self.down(unshuffle(x, 2)).float())
        y0: Tensor = self.output(x) + self.shortcut(unshuffle(patches_BChw, 2))
        return y0


class ExtremeGenerator(nn.Module):
    """Symbols back to pixels: the encoder's mirror, linear shortcut included."""

    def __init__(self, config: ExtremeConfig) -> None:
        super().__init__()
        self.shortcut = PrecisePointwise(config.symbol_channels, 3 * LATENT_STRIDE**2)
        self.input = Pointwise(config.symbol_channels, config.channels_16)
        self.blocks_16 = nn.Sequential(*(Block(config.channels_16) for _ in range(config.blocks_16)))
        self.up = Pointwise(config.channels_16, 4 * config.channels_8)
        self.blocks_8 = nn.Sequential(*(Block(config.channels_8) for _ in range(config.blocks_8)))
        self.output = zero_(PrecisePointwise(config.channels_8, 3 * 64))

    def forward(self, symbols_BChw: Tensor) -> Tensor:
        """q [B, C, H/16, W/16] as floats -> patches [B, 192, H/8, W/8], about [−1, 1]."""
        x = self.blocks_16(self.input(symbols_BChw).float())
        x = self.blocks_8(shuffle(self.up(x), 2).float())
        patches: Tensor = self.output(leaky(x)) + shuffle(self.shortcut(symbols_BChw), 2)
        return patches


def nearest_centre(y0: Tensor) -> Tensor:
    """The symbol of each value: round, within −2 … 2."""
    return y0.clamp(-SYMBOL_MAX, SYMBOL_MAX).round()


def soft_to_hard(y0: Tensor) -> Tensor:
    """Forward the nearest centre, backward the gradient of the soft assignment.

    soft(y) = Σ_c c·softmax_c(−σ·(y − c)²), c ∈ {−2 … 2} (Agustsson et al. 2017, arXiv:1704.00648; straight-through as
    in Mentzer et al. 2018, arXiv:1801.04260).
    """
    centres = torch.arange(-SYMBOL_MAX, SYMBOL_MAX + 1, device=y0.device, dtype=y0.dtype)
    weights = torch.softmax(-SHARPNESS * (y0[..., None] - centres).square(), -1)
    soft = (weights * centres).sum(-1)
    return soft + (nearest_centre(y0) - soft).detach()


class ExtremeForward(NamedTuple):
    """What one training pass gives."""

    patches_BChw: Tensor
    symbols_BChw: Tensor
    """−2 … 2 as floats, with the gradient of the soft assignment."""


class ExtremeModel(nn.Module):
    """Encoder, quantiser and generator; no entropy model: tables are fitted after training."""

    def __init__(self, config: ExtremeConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ExtremeEncoder(config)
        self.generator = ExtremeGenerator(config)

    def forward(self, patches_BChw: Tensor) -> ExtremeForward:
        """patches: [B, 192, H/8, W/8] in [−1, 1]."""
        symbols = soft_to_hard(self.encoder(patches_BChw))
        return ExtremeForward(self.generator(symbols), symbols)
