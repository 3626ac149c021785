"""The rate–distortion objective, R + lambda·D at every quality at once; stage synthesis has its second half alone."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gancodec.networks.photo import Forward
from gancodec.networks.quality import lambda_r, published_lambda
from gancodec.training.config import TrainConfig

BALANCE_REFERENCE = 0.018
BALANCE_POWER = 0.3


class RateDistortion(NamedTuple):
    loss: Tensor
    bpp: Tensor
    bpp_z: Tensor
    psnr: Tensor
    """dB, the mean over the pictures."""


class Distortion(NamedTuple):
    loss: Tensor
    """The distortion's part of the objective."""
    psnr: Tensor
    """dB, the mean over the pictures."""


def rate_distortion(
    output: Forward, patches_BChw: Tensor, quality_B: Tensor, config: TrainConfig
) -> RateDistortion:
    """L = mean over pictures of (lambda_R·bpp + lambda_X·D) / lambda_R · (lambda/0.018)^−0.3.

    The last factor lets every quality count about alike; lambda = 4·lambda_X / (65025·lambda_R) is the literature's.
    patches: [B, 192, H/8, W/8] in [−1, 1]; quality: [B].  ``config.lambda_r`` scales lambda_R at every quality;
    D is the MSE, or the mean absolute error with ``config.distortion`` = l1.
    """
    pixels = patches_BChw[0].numel() / 3
    bpp_z = output.bits_z_B / pixels
    bpp = output.bits_y_B / pixels + bpp_z
    distortion = weighted_distortion(output.patches_BChw, patches_BChw, quality_B, config)
    loss = (bpp * _balance(quality_B, config)).mean() + distortion.loss
    return RateDistortion(loss, bpp.mean().detach(), bpp_z.mean().detach(), distortion.psnr)


def weighted_distortion(
    rebuilt_BChw: Tensor, patches_BChw: Tensor, quality_B: Tensor, config: TrainConfig
) -> Distortion:
    """What the distortion contributes to ``rate_distortion``: of the same shapes, at the same weights."""
    error = (rebuilt_BChw - patches_BChw).flatten(1)
    mse = error.square().mean(1)
    cost = mse if config.distortion == "mse" else error.abs().mean(1)
    loss = config.lambda_x / _price(quality_B, config) * cost * _balance(quality_B, config)
    return Distortion(loss.mean(), psnr_from_mse(mse.detach()).mean())


def _price(quality_B: Tensor, config: TrainConfig) -> Tensor:
    """lambda_R"""
    return config.lambda_r * lambda_r(quality_B)


def _balance(quality_B: Tensor, config: TrainConfig) -> Tensor:
    """(lambda/0.018)^−0.3"""
    ratio = published_lambda(_price(quality_B, config), config.lambda_x) / BALANCE_REFERENCE
    return ratio**-BALANCE_POWER


def psnr_from_mse(mse: Tensor) -> Tensor:
    """dB from the MSE of values in [−1, 1], whose peak-to-peak is 2."""
    return 10 * torch.log10(4 / mse)
