"""Synthesis transform: the generator.  Outside the model id, so a better one opens old files."""

from __future__ import annotations

from torch import Tensor, nn

from gancodec.networks.blocks import Block, Pointwise, PrecisePointwise, QualityBias, leaky, shuffle, zero_
from gancodec.networks.config import LATENT_STRIDE, PhotoConfig


class Generator(nn.Module):
    """The whitened latent ŷ₀ back to pixels: the encoder's mirror, linear shortcut included."""

    def __init__(self, config: PhotoConfig) -> None:
        super().__init__()
        self.shortcut = PrecisePointwise(config.latent_channels, 3 * LATENT_STRIDE**2)
        self.input = Pointwise(config.latent_channels, config.channels_16)
        self.bias_16 = QualityBias(config.anchors, config.channels_16)
        self.blocks_16 = nn.Sequential(*(Block(config.channels_16) for _ in range(config.blocks_16)))
        self.up = Pointwise(config.channels_16, 4 * config.channels_8)
        self.bias_8 = QualityBias(config.anchors, config.channels_8)
        self.blocks_8 = nn.Sequential(*(Block(config.channels_8) for _ in range(config.blocks_8)))
        self.output = zero_(PrecisePointwise(config.channels_8, 3 * 64))

    def forward(self, y0_BMhw: Tensor, anchor_weights_BA: Tensor) -> Tensor:
        """ŷ₀ [B, M, H/16, W/16] -> patches [B, 192, H/8, W/8], about [−1, 1]; ``shuffle(…, 8)`` gives the picture."""
        x = self.blocks_16((self.input(y0_BMhw) + self.bias_16(anchor_weights_BA)).float())
        x = self.blocks_8((shuffle(self.up(x), 2) + self.bias_8(anchor_weights_BA)).float())
        patches: Tensor = self.output(leaky(x)) + shuffle(self.shortcut(y0_BMhw), 2)
        return patches
