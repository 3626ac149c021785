"""Latents as files hold them: what a decoder knows of pictures that a finished codec has encoded.

Training rounds latents as they come; encoders take their time (gancodec/effort), and what they send is not the same. A
generator does better on what it will be given (docs/decisions/0007-latents-as-sent.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gancodec.effort.refine import Refiner
from gancodec.effort.request import Effort
from gancodec.networks.blocks import anchor_weights
from gancodec.networks.integer import FRACTION
from gancodec.pipeline import PhotoPipeline
from gancodec.training.stage import to_patches, to_pixels
from gancodec.weights import PhotoWeights


class Sent(NamedTuple):
    """Of a batch."""

    latent_BMhw: Tensor
    """ŷ"""
    known_BMhw: Tensor
    """ŷ/g"""
    anchor_weights_BA: Tensor


class Square(NamedTuple):
    """A batch of fixed squares at one quality."""

    quality_B: Tensor
    patches_BChw: Tensor
    sent: Sent


class SentLatents:
    """The encoder, the prior and, where there is effort, the guiding generator of one codec: what encoders go by."""

    def __init__(self, weights: PhotoWeights, device: torch.device, effort: int) -> None:
        """weights: on ``device``.  effort: 0 is one pass and plain rounding."""
        self.weights = weights
        self._pipeline = PhotoPipeline(weights, device)
        self._refiner = Refiner(self._pipeline)
        self._effort = Effort(level=effort) if effort else None
        self._squares: tuple[list[NDArray[np.uint8]], dict[float, list[Square]]] | None = None

    def __call__(self, patches_BChw: Tensor, quality_B: Tensor) -> Sent:
        """patches: [B, 192, H/8, W/8] of 8-bit pictures, in [−1, 1], sides multiples of 64; quality: [B] in 0..100."""
        pictures = list(to_pixels(patches_BChw))
        qualities_256 = [round(float(quality) * FRACTION) for quality in quality_B]
        pipeline = self._pipeline
        if self._effort is None:
            y_BMhw, symbols_z = pipeline.analyse(pictures, qualities_256)
            chain = pipeline.chain(
                symbols_z, qualities_256, lambda step, mean, tables: pipeline.round_step(y_BMhw, step, mean, tables)
            )
        else:
            chain = self._refiner.chain(pictures, qualities_256, self._effort)
        state = chain.state
        # Copies, since what was made in inference mode cannot be part of a graph.
        known, gain = state.known_BMhw.clone(), state.gain_BM11.clone()
        known = known.contiguous(memory_format=torch.channels_last)
        quality_256_B = torch.tensor(qualities_256, device=pipeline.device)
        return Sent(known * gain, known, anchor_weights(quality_256_B.float() / FRACTION, self.weights.config.anchors))

    def squares(
        self, batches: list[NDArray[np.uint8]], qualities: Sequence[float]
    ) -> dict[float, list[Square]]:
        """Batches of fixed squares by quality; encoded once, as long as both are the same."""
        if self._squares is None or self._squares[0] is not batches or tuple(self._squares[1]) != tuple(qualities):
            made = {quality: [self._square(pixels, quality) for pixels in batches] for quality in qualities}
            self._squares = (batches, made)
        return self._squares[1]

    def _square(self, pixels_BHWC: NDArray[np.uint8], quality: float) -> Square:
        patches = to_patches(pixels_BHWC, self._pipeline.device)
        quality_B = torch.full((len(patches),), quality, device=patches.device)
        return Square(quality_B, patches, self(patches, quality_B))
