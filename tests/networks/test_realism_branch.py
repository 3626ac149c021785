"""A realism generator with a branch that the fidelity generator has not, for the same files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gancodec.codec import Codec
from gancodec.errors import ConfigError
from gancodec.networks.config import PhotoConfig, config_from_json, config_to_json
from gancodec.networks.generator import Generator
from gancodec.pipeline import PhotoPipeline
from gancodec.registry import read_entry
from gancodec.weights import PhotoWeights, load_weights, save_weights
from tests.tiny import TINY

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
PICTURE = (GOLDEN / "rgb-200x136-q35.gnc").read_bytes()


def branched() -> PhotoWeights:
    """The golden codec with a realism generator, whose branch is silent."""
    weights = load_weights(read_entry(GOLDEN / "tiny.safetensors"), torch.device("cpu"))
    assert isinstance(weights, PhotoWeights) and weights.realism is None
    config = replace(weights.config, realism_width=16, realism_blocks=2)
    torch.manual_seed(0)
    realism = weights.fidelity.extended(config)
    return replace(weights, config=config, realism=realism)


def loud(weights: PhotoWeights) -> PhotoWeights:
    """The branch has learnt something."""
    assert weights.realism is not None and weights.realism.generator.detail is not None
    output = weights.realism.generator.detail.output
    output.weight.normal_(std=0.1)
    output.bias.normal_(std=0.1)
    return weights


def opened(weights: PhotoWeights, folder: Path) -> Codec:
    save_weights(folder / "branched.safetensors", weights, name="branched", licence="test", notes={})
    return Codec.load(folder / "branched.safetensors", "cpu")


def picture(codec: Codec, realism: float) -> NDArray[np.float64]:
    return np.asarray(codec.decompress(PICTURE, realism=realism), np.float64)


@pytest.fixture
def codec(tmp_path: Path) -> Iterator[Codec]:
    yield opened(loud(branched()), tmp_path)


def test_silent_branch_adds_nothing(tmp_path: Path) -> None:
    codec = opened(branched(), tmp_path)
    assert np.array_equal(picture(codec, 1), picture(codec, 0))


def test_branch_is_mixed_in_step_by_step(codec: Codec) -> None:
    plain = picture(codec, 0)
    away = [np.abs(picture(codec, r) - plain).mean() for r in (0.25, 0.5, 1)]
    assert 0 < away[0] < away[1] < away[2] and away[2] > 0.5


def test_files_and_their_model_stay_as_they_were(codec: Codec) -> None:
    golden = Codec.load(GOLDEN / "tiny.safetensors", "cpu")
    assert codec.entry.model_id == golden.entry.model_id
    assert np.array_equal(picture(codec, 0), picture(golden, 0))


def test_the_halo_of_tiles_reaches_through_the_branch(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(codec.pipeline, PhotoPipeline) and codec.pipeline.weights.realism is not None
    for name, weight in codec.pipeline.weights.realism.generator.named_parameters():
        if name.endswith("spatial_out.weight"):
            weight.mul_(30)  # what is far away counts as much as what is near
    whole = picture(codec, 1)
    monkeypatch.setattr(codec.pipeline, "tile_px", 64)
    assert np.abs(picture(codec, 1) - whole).max() <= 1
    short = codec.pipeline.weights.fidelity.generator.receptive_px
    monkeypatch.setattr(Generator, "receptive_px", short)
    assert np.abs(picture(codec, 1) - whole).max() > 1, "a halo that is too short would have shown"


def test_a_branch_is_kept_when_a_generator_is_extended_again() -> None:
    weights = loud(branched())
    assert weights.realism is not None
    again = weights.realism.extended(weights.config)
    assert again.generator.receptive_px == weights.fidelity.generator.receptive_px + 2 * 8
    latent = torch.randn(1, weights.config.latent_channels, 4, 4)
    anchors = torch.eye(weights.config.anchors)[:1]
    assert torch.equal(again(latent, anchors), weights.realism(latent, anchors))


def test_there_is_a_branch_or_none() -> None:
    for config in (TINY, replace(TINY, realism_width=0, realism_blocks=0)):
        assert config_from_json(config_to_json(config)) == config
        assert ("realism" in config_to_json(config)) is (config is TINY)  # without, as before there were any
    assert PhotoConfig(realism_width=0, realism_blocks=0).realism_width == 0
    for wrong in ({"realism_width": -1}, {"realism_width": 16}, {"realism_blocks": 2}):
        with pytest.raises(ConfigError, match="realism_"):
            PhotoConfig(**wrong)
