"""The tiny codec, and pictures for it."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gancodec.codec import Codec
from gancodec.effort.curvature import measure_curvature
from gancodec.effort.objective import Objective
from gancodec.effort.prepared import Prepared
from gancodec.effort.refine import Refiner
from gancodec.pipeline import PhotoPipeline
from gancodec.weights import Synthesis
from tests.conftest import GOLDEN
from tests.tiny import made_picture


@pytest.fixture
def codec() -> Codec:
    return Codec.load(GOLDEN / "tiny.safetensors", "cpu")


@pytest.fixture
def pipeline(codec: Codec) -> PhotoPipeline:
    """With curvature, as exported codecs have it."""
    assert isinstance(codec.pipeline, PhotoPipeline)
    with torch.no_grad():
        squares = [made_picture(seed, 128, 128) for seed in (11, 12)]
        codec.pipeline.weights.curvature_AM = measure_curvature(codec.pipeline, squares)
    return codec.pipeline


@pytest.fixture
def refiner(pipeline: PhotoPipeline) -> Refiner:
    return Refiner(pipeline)


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    return made_picture(5, 100, 150)


def another(synthesis: Synthesis) -> Synthesis:
    """Not quite the same generator."""
    changed, random = deepcopy(synthesis), torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in changed.generator.parameters():
            parameter.add_(0.02 * parameter.std(unbiased=False) * torch.randn(parameter.shape, generator=random))
    return changed


def objective_of(
    pipeline: PhotoPipeline, *pictures: NDArray[np.uint8], qualities: tuple[int, ...] = (60 * 256,)
) -> Objective:
    with torch.no_grad():
        return Objective(pipeline, pictures, list(qualities), Prepared(pipeline.weights, pipeline.device))
