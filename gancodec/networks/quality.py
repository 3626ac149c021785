"""What quality 0..100 means to the objective: the price of a bit, and the lambda of the literature (DESIGN §1)."""

from __future__ import annotations

from typing import Final

from torch import Tensor

LAMBDA_X: Final = 12.0
"""The notes' weight of the MSE in [−1, 1], to which the price of bits below belongs."""
LAMBDA_R_MAX: Final = 1.64
LAMBDA_R_RATIO: Final = 400.0


def lambda_r(quality: Tensor) -> Tensor:
    """Price of a bit per pixel: lambda_R(q) = 1.64 · 400^(−q/100)."""
    return LAMBDA_R_MAX * LAMBDA_R_RATIO ** (-quality / 100)


def published_lambda(price: Tensor, lambda_x: float = LAMBDA_X) -> Tensor:
    """lambda = 4·lambda_X / (65025·lambda_R), as in lambda·255²·MSE₀₁ + bpp; 0.00045 … 0.18 over quality 0..100."""
    return 4 * lambda_x / (65025 * price)
