"""Residual blocks and resampling of both sides, at 1/8 and 1/16 of the picture only.

Axes: B batch, C channels, H W pixels, h w latent rows and columns, A anchor qualities.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancodec.networks.half import Halvable, product

LEAK = 0.01


def unshuffle(x_BCHW: Tensor, factor: int) -> Tensor:
    """[B, C, H, W] -> [B, factor²·C, H/factor, W/factor], channels ordered (row, column, C), channels_last in memory.

    The order differs from ``torch.pixel_unshuffle`` so that channels_last pictures are moved in runs of C values.
    """
    batch, channels, height, width = x_BCHW.shape
    rows, columns = height // factor, width // factor
    x = x_BCHW.permute(0, 2, 3, 1).reshape(batch, rows, factor, columns, factor * channels)
    x = x.permute(0, 1, 3, 2, 4).reshape(batch, rows, columns, factor * factor * channels)
    return x.permute(0, 3, 1, 2)


def shuffle(x_BChw: Tensor, factor: int) -> Tensor:
    """The inverse of ``unshuffle``: [B, factor²·C, h, w] -> [B, C, factor·h, factor·w]."""
    batch, channels, rows, columns = x_BChw.shape
    out = channels // (factor * factor)
    x = x_BChw.permute(0, 2, 3, 1).reshape(batch, rows, columns, factor, factor * out)
    x = x.permute(0, 1, 3, 2, 4).reshape(batch, rows * factor, columns * factor, out)
    return x.permute(0, 3, 1, 2)


def leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, LEAK)


class Pointwise(nn.Conv2d, Halvable):
    """A 1×1 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)

    def forward(self, x_BChw: Tensor) -> Tensor:
        return product(x_BChw, self.weight.flatten(1), self.bias, half=self.half_product)


class PrecisePointwise(Pointwise):
    """A 1×1 convolution in float32 whatever else is rounded: half precision near 1 is spaced half an 8-bit level.

    Only who knows what that means to him rounds it as well (half.py).
    """

    is_precise = True

    def forward(self, x_BChw: Tensor) -> Tensor:
        with torch.autocast(x_BChw.device.type, enabled=False):
            return product(x_BChw.float(), self.weight.flatten(1), self.bias, half=self.half_product)


class Block(nn.Module):
    """Two residual branches: x + 1×1(dw3×3(leaky(1×1(x)))), then x + 1×1(leaky(1×1→2C(x))).

    The last 1×1 of each branch starts at 0.3 of its usual size, so that a deep stack starts near the identity.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spatial_in = Pointwise(channels, channels)
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.spatial_out = Pointwise(channels, channels)
        self.expand = Pointwise(channels, 2 * channels)
        self.contract = Pointwise(2 * channels, channels)
        with torch.no_grad():
            self.spatial_out.weight.mul_(0.3)
            self.contract.weight.mul_(0.3)

    def forward(self, x_BChw: Tensor) -> Tensor:
        x: Tensor = x_BChw + self.spatial_out(self.depthwise(leaky(self.spatial_in(x_BChw))))
        y: Tensor = x + self.contract(leaky(self.expand(x)))
        return y


class QualityBias(nn.Module):
    """A bias per channel that depends on quality: learned at the anchors, linear between them, zero at the start."""

    def __init__(self, anchors: int, channels: int) -> None:
        super().__init__()
        self.table_AC = nn.Parameter(torch.zeros(anchors, channels))

    def forward(self, anchor_weights_BA: Tensor) -> Tensor:
        bias_BC: Tensor = anchor_weights_BA @ self.table_AC
        return bias_BC[:, :, None, None]


def anchor_weights(quality_B: Tensor, anchors: int) -> Tensor:
    """Linear interpolation as a matrix: [B] qualities in 0..100 -> [B, A], two neighbours that sum to 1."""
    position_B1 = (quality_B.clamp(0, 100) * ((anchors - 1) / 100))[:, None]
    anchor_A = torch.arange(anchors, device=quality_B.device, dtype=quality_B.dtype)
    return (1 - (position_B1 - anchor_A).abs()).clamp(min=0)


def zero_(layer: nn.Conv2d) -> nn.Conv2d:
    """Start a last layer at zero: its network then adds nothing to the linear shortcut."""
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
