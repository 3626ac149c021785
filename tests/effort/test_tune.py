"""Effort for realism: a feature network, and the generator of realism 1."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from gancodec.codec import Codec
from gancodec.effort import refine
from gancodec.effort.objective import Objective
from gancodec.effort.prepared import Prepared
from gancodec.effort.refine import Refiner
from gancodec.effort.request import Effort
from gancodec.effort.rounding import plainly_rounded
from gancodec.errors import ConfigError, MissingModelError
from gancodec.features import load_features
from gancodec.networks.features import ARCHITECTURES
from gancodec.picture import Picture
from gancodec.pipeline import Chain, PhotoPipeline, Stream, Symbols
from tests.conftest import GOLDEN
from tests.effort.conftest import another

CPU = torch.device("cpu")
QUALITY_256 = 60 * 256


@pytest.fixture
def features(tmp_path: Path) -> str:
    """A feature network of noise."""
    random = torch.Generator().manual_seed(1)
    stages = ARCHITECTURES["vgg16low"].stages()
    tensors = {
        f"vgg16low.stages.{i}.{j}.{name}": torch.randn(value.shape, generator=random) * 0.05
        for i, stage in enumerate(stages)
        for j, layer in enumerate(stage)
        for name, value in layer.state_dict().items()
    }
    for tap, channels in enumerate(ARCHITECTURES["vgg16low"].tap_channels):
        tensors[f"vgg16low.heads.{tap}"] = torch.full((channels,), 0.05)
    path = tmp_path / "noise.safetensors"
    save_file(tensors, path)
    return str(path)


@pytest.fixture
def realistic(pipeline: PhotoPipeline) -> PhotoPipeline:
    """With a realism generator that is not quite the other one."""
    weights = pipeline.weights
    return PhotoPipeline(replace(weights, realism=another(weights.fidelity)), pipeline.device)


def test_what_is_tuned_for_realism_costs_less_there(
    realistic: PhotoPipeline, picture: NDArray[np.uint8], features: str
) -> None:
    with torch.no_grad():
        objective = Objective(
            realistic, [picture], [QUALITY_256], Prepared(realistic.weights, CPU), load_features(features, "cpu")
        )

    def cost(symbols: Symbols) -> float:
        coded = realistic.code(symbols)
        height, width = picture.shape[:2]
        stream = Stream(
            payload=coded.payload, width=width, height=height, quality_256=QUALITY_256, symbol_crc=coded.symbol_crc
        )
        chain = Chain(realistic.decode([stream]).whole(), [])
        return 8 * len(coded.payload) + float(objective.slope_B * objective.distortion(chain))

    (plain,) = realistic.quantise([picture], [QUALITY_256])
    before = cost(plain)  # decodes at realism 1, in inference mode as always: refining goes on from there
    with torch.inference_mode():
        (tuned,) = Refiner(realistic).quantise(
            [picture], [QUALITY_256], Effort(level=5, tune="realism", features=features)
        )
    (untuned,) = Refiner(realistic).quantise([picture], [QUALITY_256], Effort(level=5))
    assert cost(tuned) < min(before, cost(untuned))


def test_what_is_tuned_goes_by_the_realism_generator_whatever_guides_others(
    realistic: PhotoPipeline, picture: NDArray[np.uint8], features: str
) -> None:
    weights = realistic.weights
    guided = PhotoPipeline(replace(weights, guide=weights.fidelity, fidelity=another(weights.fidelity)), CPU)
    network = load_features(features, "cpu")
    with torch.no_grad():
        chain = plainly_rounded(Objective(realistic, [picture], [QUALITY_256], Prepared(weights, CPU)))
        rough = {
            (pipeline, tuned): float(
                Objective(
                    pipeline, [picture], [QUALITY_256], Prepared(pipeline.weights, CPU), network if tuned else None
                ).rough_distortion(chain.state.known_BMhw)
            )
            for pipeline in (realistic, guided)
            for tuned in (True, False)
        }
    assert rough[realistic, True] == rough[guided, True] != rough[guided, False] == rough[realistic, False]


def test_a_codec_without_realism_is_not_tuned_for_it(features: str) -> None:
    codec = Codec.load(GOLDEN / "tiny-extreme.safetensors", "cpu")
    effort = Effort(tune="realism", features=features)
    for refused in (
        lambda: codec.prepare(effort),
        lambda: codec.compress(Picture(colour_HWC=np.zeros((64, 64, 3), np.uint8)), effort=effort),
    ):
        with pytest.raises(ConfigError, match="has no realism generator to tune for"):
            refused()


def test_features_are_loaded_once(
    realistic: PhotoPipeline, picture: NDArray[np.uint8], features: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    load = refine.load_features
    monkeypatch.setattr(refine, "load_features", lambda text, device: asked.append(text) or load(text, device))
    refiner, effort = Refiner(realistic), Effort(tune="realism", features=features)
    refiner.prepare(Effort())
    assert asked == []
    refiner.prepare(effort)
    refiner.quantise([picture], [QUALITY_256], effort)
    assert asked == [features]


def test_features_that_are_not_there_are_said_so(realistic: PhotoPipeline, picture: NDArray[np.uint8]) -> None:
    effort = Effort(tune="realism", features="/nowhere.safetensors")
    with pytest.raises(MissingModelError, match="does not exist"):
        Refiner(realistic).quantise([picture], [QUALITY_256], effort)
