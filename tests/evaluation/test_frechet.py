"""FID against values worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gancodec.evaluation.frechet import FrechetDistance, patches


def unused(patches_NHWC: NDArray[np.uint8]) -> NDArray[np.float64]:
    return patches_NHWC.reshape(len(patches_NHWC), -1)[:, :3].astype(np.float64)


def test_equal_sets_have_no_distance_and_a_shift_has_its_square() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(50, 3))
    fid = FrechetDistance(unused)
    assert fid.distance([features], [features[:20], features[20:]]) == pytest.approx(0, abs=1e-6)
    assert fid.distance([features], [features + np.array([3.0, 0, 4.0])]) == pytest.approx(25, rel=1e-6)


def test_spread_counts_as_the_difference_of_deviations() -> None:
    """One feature: d² = (σ_a − σ_b)², so a set three times as wide is at (2σ)²."""
    values = np.array([[-1.0], [1.0], [-2.0], [2.0]])
    deviation = values.std(ddof=1)
    assert FrechetDistance(unused).distance([values], [3 * values]) == pytest.approx((2 * deviation) ** 2, rel=1e-6)


def test_what_is_no_number_is_no_distance() -> None:
    values = np.ones((4, 2))
    values[0, 0] = np.nan
    try:
        found = FrechetDistance(unused).distance([values], [np.ones((4, 2))])
    except ValueError:  # some versions of SciPy refuse it themselves
        found = None
    assert found is None
    assert FrechetDistance(unused).distance([np.ones((1, 2))], [np.ones((1, 2))]) is None


@pytest.mark.parametrize(
    ("height", "width", "count"), [(255, 600, 0), (256, 256, 1), (512, 768, 6 + 2), (384, 384, 1 + 1)]
)
def test_patches_are_those_of_two_grids(height: int, width: int, count: int) -> None:
    picture = np.zeros((height, width, 3), np.uint8)
    found = list(patches(picture))
    assert len(found) == count and all(patch.shape == (256, 256, 3) for patch in found)
    assert sum(map(len, FrechetDistance(unused).describe(picture))) == count
