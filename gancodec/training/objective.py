"""Stage fidelity: the rate–distortion objective, R + lambda·D at every quality at once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gancodec.networks.photo import Forward

LAMBDA_R_MAX = 1.64
LAMBDA_R_RATIO = 400.0
BALANCE_REFERENCE = 0.018
BALANCE_POWER = 0.3


def lambda_r(quality_B: Tensor) -> Tensor:
    """Price of a bit per pixel: lambda_R(q) = 1.64 · 400^(−q/100) (DESIGN §1)."""
    return LAMBDA_R_MAX * LAMBDA_R_RATIO ** (-quality_B / 100)


class RateDistortion(NamedTuple):
    loss: Tensor
    bpp: Tensor
    bpp_z: Tensor
    mse: Tensor
    """In [−1, 1]; 10·log10(4/mse) is the PSNR in dB."""


def rate_distortion(
    output: Forward, patches_BChw: Tensor, quality_B: Tensor, *, lambda_x: float, lambda_rate: float
) -> RateDistortion:
    """L = mean over pictures of (lambda_R·bpp + lambda_X·MSE) / lambda_R · (lambda/0.018)^−0.3.

    The last factor lets every quality count about alike; lambda = 4·lambda_X / (65025·lambda_R) is the literature's.
    patches: [B, 192, H/8, W/8] in [−1, 1]; quality: [B].  ``lambda_rate`` scales lambda_R at every quality.
    """
    pixels = patches_BChw[0].numel() / 3
    bpp_z = output.bits_z_B / pixels
    bpp = output.bits_y_B / pixels + bpp_z
    mse = (output.patches_BChw - patches_BChw).square().flatten(1).mean(1)
    price = lambda_rate * lambda_r(quality_B)
    balance = (4 * lambda_x / (65025 * price) / BALANCE_REFERENCE) ** -BALANCE_POWER
    loss = (bpp + lambda_x / price * mse) * balance
    return RateDistortion(loss.mean(), bpp.mean().detach(), bpp_z.mean().detach(), mse.mean().detach())


def psnr_from_mse(mse: Tensor) -> Tensor:
    """dB from the MSE of values in [−1, 1], whose peak-to-peak is 2."""
    return 10 * torch.log10(4 / mse)
