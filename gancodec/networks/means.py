"""The float half of the prior: where each latent value is expected.

It sees ẑ and what has been decoded, in the un-gained domain.  A difference of 1e-5 between machines moves the picture
by 1e-5; it never reaches the coder (DESIGN §4.1).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gancodec.networks.blocks import Block, Pointwise, PrecisePointwise, leaky, shuffle
from gancodec.networks.config import CONTEXT_STEPS, PhotoConfig


class MeansStep(nn.Module):
    """One context step: known values and hyper features to μ₀ of all channels (the caller masks)."""

    def __init__(self, config: PhotoConfig) -> None:
        super().__init__()
        self.input = Pointwise(config.latent_channels + config.means_width, config.means_width)
        self.block = Block(config.means_width)
        self.output = PrecisePointwise(config.means_width, config.latent_channels)
        with torch.no_grad():
            self.output.weight.mul_(0.1)
            assert self.output.bias is not None
            self.output.bias.zero_()

    def forward(self, features_BChw: Tensor) -> Tensor:
        mean: Tensor = self.output(leaky(self.block(self.input(features_BChw))))
        return mean


class MeansNetwork(nn.Module):
    """ẑ, and ŷ/g as far as it is known, to μ₀ in the un-gained domain.  Everything here is inside the model id."""

    def __init__(self, config: PhotoConfig) -> None:
        super().__init__()
        width = config.means_width
        self.hyper_input = Pointwise(config.hyper_channels, width)
        self.hyper_block = Block(width)
        self.hyper_up = Pointwise(width, 16 * width)
        self.steps = nn.ModuleList(MeansStep(config) for _ in range(CONTEXT_STEPS))

    def hyper(self, z_BCuv: Tensor) -> Tensor:
        """ẑ [B, hyper_channels, h/4, w/4] -> features [B, width, h, w]."""
        return shuffle(leaky(self.hyper_up(leaky(self.hyper_block(self.hyper_input(z_BCuv))))), 4)

    def step(self, number: int, known_BMhw: Tensor, hyper_BChw: Tensor) -> Tensor:
        """μ₀ [B, M, h, w] of step ``number``; known is ŷ/g, zero where not yet decoded."""
        return self.step_squashed(number, torch.asinh(known_BMhw), hyper_BChw)

    def step_squashed(self, number: int, squashed_BMhw: Tensor, hyper_BChw: Tensor) -> Tensor:
        """As ``step``, from asinh(ŷ/g): a decoder squashes each value once, not once a step."""
        mean: Tensor = self.steps[number](torch.cat((squashed_BMhw, hyper_BChw), 1))
        return mean
