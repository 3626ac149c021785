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
from gancodec.networks.config import PhotoConfig
from gancodec.networks.encoder import Encoder, HyperEncoder
from gancodec.networks.factorised import FactorisedPrior
from gancodec.networks.generator import Generator
from gancodec.networks.index import IndexNetwork, straight_through_round
from gancodec.networks.means import MeansNetwork
from gancodec.networks.steps import step_masks

SCALE_MIN = 0.05
SCALE_MAX = 64.0
HEARD_FROM = 0.4
"""Distance from 0, in steps, from which on a residual has its whole gradient through rounding."""


class Gains(nn.Module):
    """log g per anchor quality and channel; linear between anchors, so g is geometric between them."""

    def __init__(self, anchors: int, channels: int) -> None:
        super().__init__()
        self.log_gain_AM = nn.Parameter(torch.zeros(anchors, channels))

    def log(self, anchor_weights_BA: Tensor) -> Tensor:
        # In half precision a log gain of 5 would be off by up to 1 %.
        with torch.autocast(anchor_weights_BA.device.type, enabled=False):
            return (anchor_weights_BA @ self.log_gain_AM)[:, :, None, None]

    def forward(self, anchor_weights_BA: Tensor) -> Tensor:
        """[B, A] -> g [B, M, 1, 1]."""
        return self.log(anchor_weights_BA).exp()


class Latent(NamedTuple):
    """What encoder, hyper-encoder and means make of pictures: all that distortion and files' symbols depend on."""

    anchor_weights_BA: Tensor
    log_gain_BM11: Tensor
    masks_SMhw: Tensor
    """Which values each context step codes."""
    z: Tensor
    symbols_z: Tensor
    y_BMhw: Tensor
    """g·y₀."""
    mean0_BMhw: Tensor
    """μ₀, in the un-gained domain."""
    symbols_BMhw: Tensor
    """q = round(y − gμ₀)."""
    known_BMhw: Tensor
    """ŷ/g."""


class Forward(NamedTuple):
    """What one training pass gives; bits are sums over each picture."""

    patches_BChw: Tensor
    bits_y_B: Tensor
    bits_z_B: Tensor
    residual_BMhw: Tensor
    """What is coded, y − gμ₀: symbols, or with uniform noise in their place."""
    log_scale_BMhw: Tensor
    """log σ of the residual, as the prior says it."""


class PhotoModel(nn.Module):
    """Encoder, hyperprior, two prior networks, generator, and the gains between them."""

    def __init__(self, config: PhotoConfig) -> None:
        super().__init__()
        self.config = config
        self.half_precision = False
        """Whether encoder and generator train in bf16; the prior never does."""
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
        straight-through gradients (Minnen and Singh 2020, arXiv:2007.08739), that of residuals weakened by
        ``round_latent``, that of z the identity's.  ``noise`` None: rounded everywhere.
        """
        latent = self.latent(patches_BChw, quality_B)
        log_scale = self.log_scale(latent)
        if noise is None:
            z_rated = latent.symbols_z + self.medians()
            residual = latent.symbols_BMhw
        else:
            z_rated = latent.z + uniform_like(latent.z, noise)
            mean = latent.log_gain_BM11.exp() * latent.mean0_BMhw
            residual = latent.y_BMhw - mean + uniform_like(mean, noise)
        bits_z = self.factorised.bits(z_rated).flatten(1).sum(1)
        bits_y = self.residual_bits(residual, log_scale).flatten(1).sum(1)
        return Forward(self.synthesise(latent), bits_y, bits_z, residual, log_scale)

    def latent(self, patches_BChw: Tensor, quality_B: Tensor) -> Latent:
        """Analysis and means, step by step, with rounded values; gradients as in ``forward``."""
        weights = anchor_weights(quality_B, self.config.anchors)
        log_gain = self.gains.log(weights)
        gain = log_gain.exp()
        with self._autocast(patches_BChw):
            y0 = self.encoder(patches_BChw, weights)
        z = self.hyper_encoder(y0, weights)
        symbols_z = straight_through_round(z - self.medians())
        hyper = self.means.hyper(symbols_z + self.medians())
        y = y0 * gain
        masks = self.masks(y)
        symbols, known, mean0 = torch.zeros_like(y), torch.zeros_like(y), torch.zeros_like(y)
        for step, mask in enumerate(masks):
            mean0_step = self.means.step(step, known, hyper) * mask
            symbols_step = round_latent(y - gain * mean0_step) * mask
            mean0 = mean0 + mean0_step
            symbols = symbols + symbols_step
            known = known + mean0_step + symbols_step / gain
        return Latent(weights, log_gain, masks, z, symbols_z, y, mean0, symbols, known)

    def log_scale(self, latent: Latent) -> Tensor:
        """log σ of every residual, [B, M, h, w], each from the symbols of the steps before its own."""
        weights, gain = latent.anchor_weights_BA, latent.log_gain_BM11.exp()
        hyper = self.index.hyper(latent.symbols_z, weights)
        # The index network reads symbols as they are; a gradient through its steep squash is noise.
        coded = latent.symbols_BMhw.detach()
        log_scale = latent.log_gain_BM11.expand_as(coded)
        before = torch.zeros_like(coded)
        for step, mask in enumerate(latent.masks_SMhw):
            log_scale = log_scale + self.index.step(step, before, gain, hyper, weights) * mask
            before = before + coded * mask
        return log_scale

    def synthesise(self, latent: Latent) -> Tensor:
        """ŷ, with the generator's own gains, to patches [B, 192, H/8, W/8]."""
        weights = latent.anchor_weights_BA
        gain = latent.log_gain_BM11.exp() * self.generator_gains(weights)
        latent_BMhw = latent.known_BMhw * gain
        with self._autocast(latent_BMhw):
            patches: Tensor = self.generator(latent_BMhw, weights)
        return patches

    def _autocast(self, x: Tensor) -> torch.autocast:
        return torch.autocast(x.device.type, torch.bfloat16, enabled=self.half_precision)

    def medians(self) -> Tensor:
        """Those of z, [1, C, 1, 1]."""
        return self.factorised.medians().view(1, -1, 1, 1)

    def masks(self, y_BMhw: Tensor) -> Tensor:
        """[4, M, h, w] in y's type: which values each step codes."""
        _, channels, rows, columns = y_BMhw.shape
        return step_masks(channels, rows, columns, y_BMhw.device).to(y_BMhw.dtype)

    def residual_bits(self, residual: Tensor, log_scale: Tensor) -> Tensor:
        """−log2 p of each residual."""
        return logistic_bits(residual, log_scale)


def round_latent(x: Tensor) -> Tensor:
    """round(x), with the gradient of x times min(1, |x|/0.4)²; x: residuals y − gμ₀, in steps.

    The identity's gradient tells an encoder that what rounds to 0 arrives all the same, and has it enlarge weak
    residuals until symbols fire that are not worth their bits.  The weaker it is, the more of the picture's error means
    get to hear, which are what arrives in place of a residual of 0 (docs/decisions/0006-muted-channels.md).
    """
    heard = x * (x.detach().abs() / HEARD_FROM).clamp(max=1).square()
    return heard + (x.round() - heard).detach()


def uniform_like(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype) - 0.5


def bounded_log_scale(log_scale: Tensor) -> Tensor:
    """Within those of the tables, softly below: at a hard bound a scale that fell under it never comes back."""
    floor = math.log(SCALE_MIN)
    return (floor + F.softplus(log_scale - floor, beta=4.0)).clamp(max=math.log(SCALE_MAX))


def logistic_bits(residual: Tensor, log_scale: Tensor) -> Tensor:
    """−log2 of a zero-mean logistic distribution of standard deviation σ, integrated over a unit bin.

    Fitted to real symbols, the tables look like this one and not like a normal (docs/decisions/0003).
    With a = (½ − |r|)/s, b = (−½ − |r|)/s and s = σ·√3/π, S(a) − S(b) = S(a)·S(−b)·(1 − e^(b−a)): every factor has a
    logarithm that neither cancels nor loses its gradient, however far out the residual is.
    """
    inverse = torch.exp(-bounded_log_scale(log_scale)) * (math.pi / math.sqrt(3))
    magnitude = residual.abs()
    nats = (
        F.softplus((magnitude - 0.5) * inverse)
        + F.softplus(-(magnitude + 0.5) * inverse)
        - torch.log(-torch.expm1(-inverse))
    )
    return nats / math.log(2)
