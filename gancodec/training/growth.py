"""A trained ``photo`` model with more latent channels, that codes what it coded as it did.

The new channels are those linear ones that restore most of what the old codec loses at quality 100 (reduced-rank
regression, Izenman 1975):

    e = x − x̂(x),   B = cov(e, x)·cov(x)⁻¹,   U and σ² the leading eigenvectors and eigenvalues of B·cov(x)·Bᵀ
    y_new = Uᵀ·B·(x − mean)/σ,   x̂ += U·σ·y_new

uncorrelated and of unit variance on photographs, as the KLT channels of the start are.  The other networks begin
without seeing them, and expect them at 0 with about that variance: what they cost is learnt in training.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gancodec.errors import ConfigError
from gancodec.networks.blocks import unshuffle
from gancodec.networks.config import LATENT_STRIDE
from gancodec.networks.klt import initial_log_gain, patch_rows
from gancodec.networks.photo import PhotoModel
from gancodec.networks.quality import LAMBDA_X

PATCH = 3 * LATENT_STRIDE**2
"""Values of a patch: those of one latent position's pixels."""
BATCH = 4
GROWN_FOR_QUALITY = 100.0
RIDGE = 1e-6
"""Added to the variances of pixels in [−1, 1], so that flat pictures have a regression too."""
SMALLEST_DEVIATION = 1e-4
"""Of a channel: where nothing is lost, there is nothing to add, but its gain must have a logarithm."""


@torch.no_grad()
def grown(model: PhotoModel, latent_channels: int, pictures_NCHW: Tensor, price: float = LAMBDA_X) -> PhotoModel:
    """A copy of ``model`` with so many latent channels; the first ones are the old ones.  On the CPU.

    pictures: [N, 3, H, W] in [−1, 1], sides multiples of 64; some thousand 16×16 patches at least.  price:
    lambda_X/lambda_R that the model was trained with.  Raises ConfigError unless there are more channels than before.
    """
    before = model.config.latent_channels
    if latent_channels <= before:
        raise ConfigError(f"latent_channels is {latent_channels}, it was {before}", hint="a codec can only grow")
    larger = PhotoModel(replace(model.config, latent_channels=latent_channels))
    _take_over(larger, model)
    analysis, mean, synthesis = _directions(model, latent_channels - before, pictures_NCHW)
    encoder, generator = larger.encoder.shortcut, larger.generator.shortcut
    assert encoder.bias is not None
    encoder.weight[before:] = analysis[:, :, None, None].float()
    encoder.bias[before:] = -(analysis @ mean).float()
    generator.weight[:, before:] = synthesis[:, :, None, None].float()
    log_gain = initial_log_gain(synthesis.norm(dim=0), model.config.anchors, price).float()
    larger.gains.log_gain_AM[:, before:] = log_gain
    larger.generator_gains.log_gain_AM[:, before:] = -log_gain
    return larger


def padded(value: Tensor, shape: torch.Size) -> Tensor:
    """``value`` in the leading corner of zeros of ``shape``, no dimension of which may be smaller than its own."""
    larger = value.new_zeros(shape)
    larger[tuple(slice(size) for size in value.shape)] = value
    return larger


def _take_over(larger: PhotoModel, model: PhotoModel) -> None:
    """All weights; zeros for the new channels, but the start's small weights where integers will need a scale."""
    channels = model.config.latent_channels
    added = larger.config.latent_channels - channels
    old = model.state_dict()
    for name, value in larger.state_dict().items():
        taken = old[name]
        if name.startswith("index.steps.") and name.endswith("output.weight"):
            taken = torch.cat((taken, value[channels:]))
        elif name.startswith(("means.steps.", "index.steps.")) and name.endswith("input.weight"):
            # The features of z stand behind the latent's.
            latent, features = taken[:, :channels], taken[:, channels:]
            taken = torch.cat((latent, latent.new_zeros(len(latent), added, 1, 1), features), 1)
        value.copy_(padded(taken, value.shape))


def _directions(model: PhotoModel, count: int, pictures_NCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Uᵀ·B/σ [count, 768], mean [768] and U·σ [768, count], float64."""
    moments = torch.zeros(PATCH, 2 * PATCH, dtype=torch.float64)
    sums = torch.zeros(2 * PATCH, dtype=torch.float64)
    number = 0
    for start in range(0, len(pictures_NCHW), BATCH):
        patches = unshuffle(pictures_NCHW[start : start + BATCH], 8)
        latent = model.latent(patches, torch.full((len(patches),), GROWN_FOR_QUALITY))
        both = torch.cat((patch_rows(patches), patch_rows(patches - model.synthesise(latent))), 1).double()
        moments += both[:, :PATCH].T @ both
        sums += both.sum(0)
        number += len(both)
    mean = sums / number
    covariance = moments / number - torch.outer(mean[:PATCH], mean)
    of_x, with_error = covariance[:, :PATCH], covariance[:, PATCH:]
    of_x = of_x + RIDGE * torch.eye(PATCH, dtype=torch.float64)
    regression = torch.linalg.solve(of_x, with_error)  # Bᵀ
    variances, directions = torch.linalg.eigh(with_error.T @ regression)
    deviation = variances.flip(0)[:count].clamp(min=SMALLEST_DEVIATION**2).sqrt()
    leading = directions.flip(1)[:, :count]
    return (regression @ leading / deviation).T, mean[:PATCH], leading * deviation
