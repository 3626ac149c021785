"""Channels that are not worth their bits fall silent, and nothing else changes."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gancodec.networks.photo import PhotoModel
from gancodec.training.config import TrainConfig
from gancodec.training.muting import mute_channels
from gancodec.training.objective import rate_distortion
from gancodec.training.stage import to_patches
from tests.tiny import TINY, made_picture, make_tiny_model
from tests.training.conftest import small_config

CPU = torch.device("cpu")
USELESS = 20


def made_pictures(seeds: range) -> Tensor:
    return torch.stack([to_patches(made_picture(seed, 128, 128)[None], CPU) for seed in seeds])


@pytest.fixture(scope="module")
def config() -> TrainConfig:
    return small_config("fidelity")


@pytest.fixture(scope="module")
def noisy() -> PhotoModel:
    """A model with one channel that fires all the time and that the generator does not hear."""
    model = make_tiny_model().eval().requires_grad_(False)
    model.index.rounding = True
    model.gains.log_gain_AM[:, USELESS] += 3
    model.generator_gains.log_gain_AM[:, USELESS] -= 20
    return model


@pytest.fixture(scope="module")
def muted(noisy: PhotoModel, config: TrainConfig) -> tuple[PhotoModel, Tensor]:
    model = deepcopy(noisy)
    return model, mute_channels(model, made_pictures(range(3)), made_pictures(range(10, 16)), config)


def test_a_channel_that_restores_nothing_is_muted(muted: tuple[PhotoModel, Tensor], noisy: PhotoModel) -> None:
    model, muted_AM = muted
    assert muted_AM.shape == (TINY.anchors, TINY.latent_channels) and bool(muted_AM[:, USELESS].all())
    assert int(muted_AM.sum()) < muted_AM.numel() / 2
    lowered = noisy.gains.log_gain_AM - model.gains.log_gain_AM
    assert bool((lowered[~muted_AM].abs() < 1e-5).all()) and bool((lowered[muted_AM] > 0).all())
    torch.testing.assert_close(
        model.gains.log_gain_AM + model.generator_gains.log_gain_AM,
        noisy.gains.log_gain_AM + noisy.generator_gains.log_gain_AM,
    )


def test_a_muted_channel_has_no_symbols(muted: tuple[PhotoModel, Tensor], noisy: PhotoModel) -> None:
    model, muted_AM = muted
    for anchor in range(TINY.anchors):
        at = torch.tensor([100 * anchor / (TINY.anchors - 1)])
        for patches in made_pictures(range(10, 16)):
            assert noisy.latent(patches, at).symbols_BMhw[:, USELESS].any()
            assert not model.latent(patches, at).symbols_BMhw[:, muted_AM[anchor]].any()


@pytest.mark.parametrize("quality", [0.0, 100.0])
def test_the_objective_falls_on_the_pictures_that_decide(
    muted: tuple[PhotoModel, Tensor], noisy: PhotoModel, config: TrainConfig, quality: float
) -> None:
    losses = [
        sum(
            float(rate_distortion(model(patches, at), patches, at, config).loss)
            for patches in made_pictures(range(10, 16))
        )
        for model in (noisy, muted[0])
        for at in [torch.tensor([quality])]
    ]
    assert losses[1] < losses[0]


def test_nothing_is_muted_where_everything_is_worth_its_bits(config: TrainConfig) -> None:
    model = make_tiny_model().eval().requires_grad_(False)
    model.index.rounding = True
    before = deepcopy(model.state_dict())
    pictures = made_pictures(range(3))
    generous = replace(config, lambda_r=1e-6)
    assert not mute_channels(model, pictures, pictures, generous).any()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
