"""Analysis transform and hyper-encoder.  Never pinned: two encoders may differ and both write valid files."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gancodec.networks.blocks import Block, Pointwise, PrecisePointwise, QualityBias, leaky, unshuffle, zero_
from gancodec.networks.config import LATENT_STRIDE, PhotoConfig


class Encoder(nn.Module):
    """Pixels, unshuffled by 8, to the whitened latent y₀ at 1/16 (unit variance per channel on photographs).

    y₀ = KLT(x) + network(x).  The linear shortcut holds the leading principal components of 16×16×3 patches, each
    divided by its standard deviation; the network's last layer starts at zero.  Under autocast the sums that run
    through the blocks, the last layer and the shortcut stay in float32.
    """

    def __init__(self, config: PhotoConfig) -> None:
        super().__init__()
        self.input = Pointwise(3 * 64, config.channels_8)
        self.bias_8 = QualityBias(config.anchors, config.channels_8)
        self.blocks_8 = nn.Sequential(*(Block(config.channels_8) for _ in range(config.blocks_8)))
        self.down = Pointwise(4 * config.channels_8, config.channels_16)
        self.bias_16 = QualityBias(config.anchors, config.channels_16)
        self.blocks_16 = nn.Sequential(*(Block(config.channels_16) for _ in range(config.blocks_16)))
        self.output = zero_(PrecisePointwise(config.channels_16, config.latent_channels))
        self.shortcut = PrecisePointwise(3 * LATENT_STRIDE**2, config.latent_channels)

    def forward(self, patches_BChw: Tensor, anchor_weights_BA: Tensor) -> Tensor:
        """patches: [B, 192, H/8, W/8] in [−1, 1], from ``unshuffle(x, 8)``.  Returns y₀ [B, M, H/16, W/16]."""
        x = self.blocks_8(leaky(self.input(patches_BChw) + self.bias_8(anchor_weights_BA)).float())
        x = self.blocks_16((self.down(unshuffle(x, 2)) + self.bias_16(anchor_weights_BA)).float())
        y0: Tensor = self.output(x) + self.shortcut(unshuffle(patches_BChw, 2))
        return y0


class HyperEncoder(nn.Module):
    """y₀ -> z at 1/64.  It sees asinh(y₀), so that the mean of a patch does not drown the rest."""

    def __init__(self, config: PhotoConfig) -> None:
        super().__init__()
        width = config.hyper_width
        self.input = Pointwise(config.latent_channels, width)
        self.bias = QualityBias(config.anchors, width)
        self.down_32 = Pointwise(4 * width, width)
        self.block = Block(width)
        self.down_64 = PrecisePointwise(4 * width, config.hyper_channels)

    def forward(self, y0_BMhw: Tensor, anchor_weights_BA: Tensor) -> Tensor:
        """[B, M, h, w], h and w multiples of 4 -> z [B, hyper_channels, h/4, w/4]."""
        x = leaky(self.input(torch.asinh(y0_BMhw)) + self.bias(anchor_weights_BA))
        x = self.block(self.down_32(unshuffle(x, 2)))
        z: Tensor = self.down_64(unshuffle(leaky(x), 2))
        return z
