"""The ``photo`` model: everything that is trained, joined.

    x ─unshuffle 8─► encoder ─► y₀ ─×g─► y ──round(y − gμ₀)──► q ─► ŷ = q + gμ₀ ─×g'─► generator ─► x̂
                                │                     ▲     │
                                └► hyper-encoder ─► z ┴─ prior: means (float), index (integer), four steps
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancodec.networks.blocks import anchor_weights
from gancodec.networks.config import CONTEXT_STEPS, ModelConfig
from gancodec.networks.encoder import Encoder, HyperEncoder
from gancodec.networks.factorised import FactorisedPrior
from gancodec.networks.generator import Generator
from gancodec.networks.index import IndexNetwork, straight_through_round
from gancodec.networks.means import MeansNetwork
from gancodec.networks.steps import step_masks

SCALE_MIN = 0.05
SCALE_MAX = 64.0


class Gains(nn.Module):
    """log g per anchor quality and channel; linear between anchors, so g is geometric between them."""

    def __init__(self, anchors: int, channels: int) -> None:
        super().__init__()
        self.log_gain_AM = nn.Parameter(torch.zeros(anchors, channels))

    def log(self, anchor_weights_BA: Tensor) -> Tensor:
        return (anchor_weights_BA @ self.log_gain_AM)[:, :, None, None]

    def forward(self, anchor_weights_BA: Tensor) -> Tensor:
        """[B, A] -> g [B, M, 1, 1]."""
        return self.log(anchor_weights_BA).exp()


class Forward(NamedTuple):
    """What one training pass gives; bits are sums over each picture."""

    patches_BChw: Tensor
    bits_y_B: Tensor
    bits_z_B: Tensor


class PhotoModel(nn.Module):
    """Encoder, hyperprior, two prior networks, generator, and the gains between them."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.hyper_encoder = HyperEncoder(config)
        self.gains = Gains(config.anchors, config.latent_channels)
        self.factorised = FactorisedPrior(config.hyper_channels)
        self.means = MeansNetwork(config)
        self.index = IndexNetwork(config)
        self.generator_gains = Gains(config.anchors, config.latent_channels)
        self.generator = Generator(config)

    def forward(self, patches_BChw: Tensor, quality_B: Tensor, noise: torch.Generator | None = None) -> Forward:
        """Training pass.

        patches: [B, 192, H/8, W/8] in [−1, 1]; quality: [B] in 0..100.  The rate is that of values with additive
        uniform noise (Ballé et al. 2017, arXiv:1611.01704), distortion and context see rounded ones with
        straight-through gradients (Minnen and Singh 2020, arXiv:2007.08739).  ``noise`` None: rounded everywhere.
        """
        weights = anchor_weights(quality_B, self.config.anchors)
        log_gain = self.gains.log(weights)
        gain = log_gain.exp()
        y0 = self.encoder(patches_BChw, weights)
        z = self.hyper_encoder(y0, weights)
        medians = self.factorised.medians().view(1, -1, 1, 1)
        symbols_z = straight_through_round(z - medians)
        z_rated = symbols_z + medians if noise is None else z + uniform_like(z, noise)
        bits_z = self.factorised.bits(z_rated).flatten(1).sum(1)

        y = y0 * gain
        hyper_means = self.means.hyper(symbols_z + medians)
        hyper_index = self.index.hyper(symbols_z, weights)
        masks = step_masks(y.shape[1], y.shape[2], y.shape[3], y.device).to(y.dtype)
        symbols = torch.zeros_like(y)
        known = torch.zeros_like(y)
        mean0 = torch.zeros_like(y)
        log_scale0 = torch.zeros_like(y)
        for step in range(CONTEXT_STEPS):
            mask = masks[step]
            mean0_step = self.means.step(step, known, hyper_means) * mask
            log_scale0 = log_scale0 + self.index.step(step, symbols, gain, hyper_index, weights) * mask
            symbols_step = straight_through_round(y - gain * mean0_step) * mask
            mean0 = mean0 + mean0_step
            # The index network reads symbols as they are; a gradient through its steep squash is noise.
            symbols = symbols + symbols_step.detach()
            known = known + mean0_step + symbols_step / gain
        residual = symbols if noise is None else y - gain * mean0 + uniform_like(y, noise)
        bits_y = gaussian_bits(residual, log_scale0 + log_gain).flatten(1).sum(1)
        patches = self.generator(known * gain * self.generator_gains(weights), weights)
        return Forward(patches, bits_y, bits_z)


def uniform_like(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype) - 0.5


def gaussian_bits(residual: Tensor, log_scale: Tensor) -> Tensor:
    """−log2 of a zero-mean normal integrated over a unit bin: −log2 (Φ((½ − |r|)/σ) − Φ((−½ − |r|)/σ))."""
    # A soft lower bound: at a hard one the gradient is zero, and a scale that fell below never comes back.
    floor = math.log(SCALE_MIN)
    bounded = floor + F.softplus(log_scale - floor, beta=4.0)
    inverse = torch.exp(-bounded.clamp(max=math.log(SCALE_MAX))) * math.sqrt(0.5)
    magnitude = residual.abs()
    mass = 0.5 * (torch.erfc((magnitude - 0.5) * inverse) - torch.erfc((magnitude + 0.5) * inverse))
    return -torch.log2(mass.clamp(min=1e-9))
