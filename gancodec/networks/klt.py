"""The transform codec that every model starts from: principal components of photographic patches."""

from __future__ import annotations

import torch
from torch import Tensor

from gancodec.networks.blocks import unshuffle
from gancodec.networks.photo import PhotoModel

GAIN_AT_REFERENCE = 4.0
LAMBDA_REFERENCE = 0.0483
LAMBDA_MIN = 0.00045
LAMBDA_RATIO = 400.0


def quality_lambda(quality: Tensor) -> Tensor:
    """The literature's lambda (on 255²·MSE in [0, 1]) at quality 0..100: 0.00045 · 400^(q/100), up to 0.18."""
    return LAMBDA_MIN * LAMBDA_RATIO ** (quality / 100)


@torch.no_grad()
def initialise_klt(model: PhotoModel, pictures_NCHW: Tensor) -> None:
    """Set the linear shortcuts, whitened, and the gains g = 4·σ_c·sqrt(lambda/0.0483) of ``model``.

    pictures: [N, 3, H, W] in [−1, 1], sides multiples of 16; some thousand 16×16 patches at least.
    """
    latent = model.config.latent_channels
    patches = unshuffle(unshuffle(pictures_NCHW, 8), 2).permute(0, 2, 3, 1).flatten(0, 2).double()
    mean = patches.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov(patches.T))
    order = torch.argsort(values, descending=True)[:latent]
    sigma = values[order].clamp(min=1e-8).sqrt()
    components = vectors[:, order].T
    analysis = components / sigma[:, None]
    synthesis = components * sigma[:, None]
    encoder, generator = model.encoder.shortcut, model.generator.shortcut
    assert encoder.bias is not None and generator.bias is not None
    encoder.weight.copy_(analysis[:, :, None, None])
    encoder.bias.copy_(-(analysis @ mean))
    generator.weight.copy_(synthesis.T[:, :, None, None])
    generator.bias.copy_(mean)
    quality = torch.linspace(0, 100, model.config.anchors, dtype=torch.float64)
    log_step = 0.5 * torch.log(quality_lambda(quality) / LAMBDA_REFERENCE)
    log_gain = torch.log(GAIN_AT_REFERENCE * sigma) + log_step[:, None]
    model.gains.log_gain_AM.copy_(log_gain)
    model.generator_gains.log_gain_AM.copy_(-log_gain)
