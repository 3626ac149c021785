"""How the distortion bends when latents move by whole steps.

The diagonal of JᵀJ is what rounding theory wants, and too small for steps of ±1 that are taken together: by a factor of
1.4 to 2.7, and hardly related to it from channel to channel.  So the step itself is measured, a secant s by channel and
anchor quality, once per codec:

    s = mean of (G(ŷ + d) − G(ŷ))·d / 2,   d = −sign G on half of those 3 % of a channel where |G| is largest

From picture to picture, and from place to place, it goes with the diagonal all the same.  That one is to be had for
nothing there: the gradient at rounded latents holds 2·diag(JᵀJ) times their rounding error e, so that

    ρ = Σ G·e/s / Σ 2e²,   the sums over all channels of one place

is the diagonal in units of s, and s·1.1·√ρ is what descent.py goes by.  docs/decisions/0005-encoder-effort.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gancodec.effort.objective import Expansion, Objective
from gancodec.effort.prepared import Prepared
from gancodec.effort.rounding import plainly_rounded
from gancodec.networks.integer import QUALITY_SPAN
from gancodec.pipeline import PhotoPipeline

LARGEST: Final = 0.97
"""Quantile of |G| from which on a step is likely."""
SHARE: Final = 0.5
"""Of these, taken at once."""
LEAST: Final = 0.1
"""Of the median over channels: a channel that hardly ever moves is measured by few steps."""
SEED: Final = 0
RATIO_RANGE: Final = (0.3, 1.5)
OF_ROOT: Final = 1.1
EPSILON: Final = 1e-9


def measure_curvature(pipeline: PhotoPipeline, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
    """s [A, M] at every anchor quality, in steps of the quantizer, from pictures of one padded size."""
    anchors, prepared = pipeline.weights.config.anchors, Prepared(pipeline.weights, pipeline.device)
    found = []
    for anchor in range(anchors):
        quality_256 = round(QUALITY_SPAN * anchor / (anchors - 1))
        objective = Objective(pipeline, pictures, [quality_256] * len(pictures), prepared)
        known_BMhw = plainly_rounded(objective).state.known_BMhw
        bends_BM, steps_BM = _stepped(objective, objective.expand(known_BMhw))
        found.append(_mean(bends_BM.sum(0), steps_BM.sum(0)))
    return torch.stack(found)


def secant(objective: Objective, before: Expansion) -> Tensor:
    """s [B, M] of each picture at its quality, around these latents."""
    return _mean(*_stepped(objective, before))


def _stepped(objective: Objective, before: Expansion) -> tuple[Tensor, Tensor]:
    """What all steps of a channel bend together, and how many they are: [B, M] both."""
    gradient = before.gradient_BMhw
    size = gradient.abs().flatten(2)
    least = size.kthvalue(max(1, round(LARGEST * size.shape[2])), 2).values
    random = torch.Generator(device=gradient.device).manual_seed(SEED)
    drawn = torch.rand(gradient.shape[1:], generator=random, device=gradient.device, dtype=gradient.dtype)
    taken = (gradient.abs() >= least[:, :, None, None]) & (drawn < SHARE)
    moved = -gradient.sign() * taken
    after = objective.expand((before.latent_BMhw + moved) / objective.gain_BM11)
    return ((after.gradient_BMhw - gradient) * moved / 2).sum((2, 3)), moved.abs().sum((2, 3))


def _mean(bends: Tensor, steps: Tensor) -> Tensor:
    """Over steps, [..., M]."""
    bend = bends / steps.clamp(min=1)
    return torch.maximum(bend, (LEAST * bend.median(-1, keepdim=True).values).clamp(min=EPSILON))


def curvature_at(curvature_AM: Tensor, anchor_weights_BA: Tensor) -> Tensor:
    """s [B, M, 1, 1] at these qualities, interpolated in logarithms."""
    return (anchor_weights_BA @ curvature_AM.log()).exp()[:, :, None, None]


def local_curvature(curvature_BM11: Tensor, rounded: Expansion, y_BMhw: Tensor) -> Tensor:
    """s [B, M, h, w] of these pictures; rounded: around what plain rounding made of y."""
    error = rounded.latent_BMhw - y_BMhw
    products = (rounded.gradient_BMhw * error).div_(curvature_BM11).sum(1, keepdim=True)
    squares = 2 * error.square_().sum(1, keepdim=True)
    ratio = (products / squares.clamp(min=EPSILON)).clamp(*RATIO_RANGE)
    return curvature_BM11 * (OF_ROOT * ratio.sqrt())
