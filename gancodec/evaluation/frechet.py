"""FID: how far the decoded pictures, as a set, are from the originals in the eyes of a classifier (arXiv:1706.08500).

Compression is judged on patches, since sets of photos are small: 256×256 pixels, once from the upper left corner and
once shifted by 128 (Mentzer et al. 2020, HiFiC, arXiv:2006.09965, A.7).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from gancodec.errors import MissingModelError
from gancodec.evaluation.metrics import quietly

PATCH_PX = 256
SHIFT_PX = 128
FEATURES = 2048
PATCHES_AT_ONCE = 16

Inception = Callable[[NDArray[np.uint8]], NDArray[np.float64]]
"""uint8 [N, 256, 256, 3] -> features [N, D]."""


class FrechetDistance:
    """Describes pictures one by one, and compares two sets of descriptions."""

    def __init__(self, inception: Inception) -> None:
        self._inception = inception

    def describe(self, picture_HWC: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        """Features [n, D] of a picture's patches; none for a picture without a whole patch.  uint8 [H, W, 3]."""
        found = list(patches(picture_HWC))
        starts = range(0, len(found), PATCHES_AT_ONCE)
        return [self._inception(np.stack(found[start : start + PATCHES_AT_ONCE])) for start in starts]

    def distance(self, a: Sequence[NDArray[np.float64]], b: Sequence[NDArray[np.float64]]) -> float | None:
        """d² = |μ_a − μ_b|² + tr(Σ_a + Σ_b − 2·(Σ_a·Σ_b)^½);  None for fewer than two patches."""
        from scipy.linalg import sqrtm

        if min(sum(map(len, a)), sum(map(len, b))) < 2:
            return None
        (mean_a, covariance_a), (mean_b, covariance_b) = (
            (stacked.mean(0), np.atleast_2d(np.cov(stacked, rowvar=False))) for stacked in map(np.concatenate, (a, b))
        )
        # Σ_a·Σ_b has real eigenvalues ≥ 0; what is imaginary in its root is rounding.
        root = np.real(np.asarray(sqrtm(covariance_a @ covariance_b)))
        distance = np.square(mean_a - mean_b).sum() + np.trace(covariance_a + covariance_b - 2 * root)
        return max(0.0, float(distance)) if np.isfinite(distance) else None


def patches(picture_HWC: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """The whole patches of both grids, row by row."""
    for offset in (0, SHIFT_PX):
        for top in range(offset, picture_HWC.shape[0] - PATCH_PX + 1, PATCH_PX):
            for left in range(offset, picture_HWC.shape[1] - PATCH_PX + 1, PATCH_PX):
                yield picture_HWC[top : top + PATCH_PX, left : left + PATCH_PX]


def load_inception() -> Inception:
    """torch-fidelity's InceptionV3, whose weights are downloaded once.  Raises MissingModelError if they cannot be."""
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    try:
        with quietly():
            network = FeatureExtractorInceptionV3("inception-v3-compat", [str(FEATURES)])
    except (OSError, RuntimeError) as exc:
        raise MissingModelError(f"the weights of InceptionV3 cannot be had: {exc}") from exc

    def features(patches_NHWC: NDArray[np.uint8]) -> NDArray[np.float64]:
        with torch.inference_mode():
            (found,) = network(torch.from_numpy(patches_NHWC).permute(0, 3, 1, 2))
        values: NDArray[np.float64] = found.double().numpy()
        return values

    return features
