"""Which pipeline belongs to which weights."""

from __future__ import annotations

import torch

from gancodec.pipeline.extreme import ExtremePipeline
from gancodec.pipeline.photo import PhotoPipeline
from gancodec.pipeline.stream import Pipeline
from gancodec.weights import PhotoWeights, Weights


def pipeline_for(weights: Weights, device: torch.device) -> Pipeline:
    """The pipeline of a codec's family."""
    if isinstance(weights, PhotoWeights):
        return PhotoPipeline(weights, device)
    return ExtremePipeline(weights, device)
