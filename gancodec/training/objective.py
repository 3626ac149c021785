"""Stage fidelity: the rate–distortion objective, R + lambda·D at every quality at once."""

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
    error = (output.patches_BChw - patches_BChw).flatten(1)
    mse = error.square().mean(1)
    cost = mse if config.distortion == "mse" else error.abs().mean(1)
    price = config.lambda_r * lambda_r(quality_B)
    balance = (published_lambda(price, config.lambda_x) / BALANCE_REFERENCE) ** -BALANCE_POWER
    loss = (bpp + config.lambda_x / price * cost) * balance
    return RateDistortion(loss.mean(), bpp.mean().detach(), bpp_z.mean().detach(), psnr_from_mse(mse.detach()).mean())


def psnr_from_mse(mse: Tensor) -> Tensor:
    """dB from the MSE of values in [−1, 1], whose peak-to-peak is 2."""
    return 10 * torch.log10(4 / mse)
