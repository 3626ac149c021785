"""The transform codec that every model starts from: principal components of photographic patches."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gancodec.networks.blocks import unshuffle
from gancodec.networks.photo import PhotoModel
from gancodec.networks.quality import LAMBDA_R_RATIO, LAMBDA_X, lambda_r, published_lambda

GAIN_AT_REFERENCE = 4.0
LAMBDA_REFERENCE = 0.0483


@torch.no_grad()
def initialise_shortcuts(encoder: nn.Conv2d, generator: nn.Conv2d, pictures_NCHW: Tensor) -> Tensor:
    """Set the linear shortcuts of an encoder and its generator, whitened; returns σ of the channels, [M] float64.

    encoder: 768 -> M, generator: M -> 768, both 1×1.  pictures: [N, 3, H, W] in [−1, 1], sides multiples of 16; some
    thousand 16×16 patches at least.
    """
    patches = patch_rows(unshuffle(pictures_NCHW, 8)).double()
    mean = patches.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov(patches.T))
    order = torch.argsort(values, descending=True)[: encoder.out_channels]
    sigma: Tensor = values[order].clamp(min=1e-8).sqrt()
    components = vectors[:, order].T
    analysis = components / sigma[:, None]
    synthesis = components * sigma[:, None]
    assert encoder.bias is not None and generator.bias is not None
    encoder.weight.copy_(analysis[:, :, None, None])
    encoder.bias.copy_(-(analysis @ mean))
    generator.weight.copy_(synthesis.T[:, :, None, None])
    generator.bias.copy_(mean)
    return sigma


@torch.no_grad()
def initialise_klt(model: PhotoModel, pictures_NCHW: Tensor, price: float = LAMBDA_X) -> None:
    """Set shortcuts and gains of ``photo``, for training with lambda_X/lambda_R = ``price``; pictures as above."""
    sigma = initialise_shortcuts(model.encoder.shortcut, model.generator.shortcut, pictures_NCHW)
    log_gain = initial_log_gain(sigma, model.config.anchors, price)
    model.gains.log_gain_AM.copy_(log_gain)
    model.generator_gains.log_gain_AM.copy_(-log_gain)


def initial_log_gain(sigma_M: Tensor, anchors: int, price: float = LAMBDA_X) -> Tensor:
    """log g [A, M] at every anchor quality, of channels with that σ in pixels: g = 4·σ·sqrt(lambda/0.0483).

    ``price`` is lambda_X/lambda_R.
    """
    quality = torch.linspace(0, 100, anchors, dtype=torch.float64)
    log_step = 0.5 * torch.log(published_lambda(lambda_r(quality), price) / LAMBDA_REFERENCE)
    return torch.log(GAIN_AT_REFERENCE * sigma_M) + log_step[:, None]


def log_gain_step(anchors: int) -> float:
    """What ``initial_log_gain`` gains from one anchor to the next."""
    return 0.5 * math.log(LAMBDA_R_RATIO) / (anchors - 1)


def patch_rows(patches_BChw: Tensor) -> Tensor:
    """Pixels, unshuffled by 8, a row for each latent position: [B, 192, H/8, W/8] -> [B·h·w, 768]."""
    return unshuffle(patches_BChw, 2).permute(0, 2, 3, 1).flatten(0, 2)
