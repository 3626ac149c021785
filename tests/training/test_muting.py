"""Channels that are not worth their bits fall silent, and nothing else changes."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gancodec.networks.photo import PhotoModel
from gancodec.training import muting
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
        # It was muted once, and no further than needed.
        peaks = [residuals(model, patches, at)[:, USELESS].abs().max() for patches in made_pictures(range(3))]
        assert 0.15 < float(max(peaks)) < 0.35


def residuals(model: PhotoModel, patches: Tensor, quality: Tensor) -> Tensor:
    """y − gμ₀."""
    latent = model.latent(patches, quality)
    return latent.y_BMhw - latent.log_gain_BM11.exp() * latent.mean0_BMhw


@pytest.mark.parametrize("quality", [0.0, 60.0])
def test_ratio_is_what_the_symbols_restore_for_what_they_cost(config: TrainConfig, quality: float) -> None:
    model, silent = make_tiny_model().eval().requires_grad_(False), 3
    model.index.rounding = True
    model.gains.log_gain_AM[:, silent] -= 12
    pictures, at = made_pictures(range(2)), torch.tensor([quality])
    ratio_M, peak_M = muting._ratios(model, pictures, quality, config)
    bits_M, worth_M, peaks = torch.zeros(TINY.latent_channels), torch.zeros(TINY.latent_channels), []
    for patches in pictures:
        latent = model.latent(patches, at)
        bits_M += model.residual_bits(latent.symbols_BMhw, model.log_scale(latent)).sum((0, 2, 3))
        peaks.append(residuals(model, patches, at).abs().amax((0, 2, 3)))
        whole = (model.synthesise(latent) - patches).square().sum()
        for channel in range(TINY.latent_channels):
            symbols = latent.symbols_BMhw.clone()
            symbols[:, channel] = 0
            known = latent.mean0_BMhw + symbols / latent.log_gain_BM11.exp()
            less = (model.synthesise(latent._replace(known_BMhw=known)) - patches).square().sum()
            worth_M[channel] += (less - whole) / 3  # D is the mean over three colours, this a sum over pixels
    price = 1.64 * 400 ** (-quality / 100)
    expected_M = 12 * worth_M / (price * bits_M)
    costs = bits_M > 0.02 * len(pictures)
    assert not costs[silent] and bool(torch.isinf(ratio_M[~costs]).all())
    torch.testing.assert_close(ratio_M[costs], expected_M[costs], rtol=2e-2, atol=2e-3)
    torch.testing.assert_close(peak_M, torch.stack(peaks).amax(0))


def muted_by_table(monkeypatch: pytest.MonkeyPatch, config: TrainConfig, *, best: int, from_quality: float) -> Tensor:
    """How many channels are muted at each anchor, if ratios rise from 0 to 1 and ``best`` is the best number.

    Below a quality no channel has a ratio at all.
    """
    model, pictures = make_tiny_model().eval().requires_grad_(False), made_pictures(range(1))
    before = model.gains.log_gain_AM.clone()
    ratio_M = torch.linspace(0, 1, TINY.latent_channels)

    def ratios(_: PhotoModel, __: Tensor, quality: float, ___: TrainConfig) -> tuple[Tensor, Tensor]:
        return ratio_M if quality >= from_quality else ratio_M + torch.inf, torch.ones_like(ratio_M)

    def objective(_: PhotoModel, __: Tensor, quality: float, ___: TrainConfig) -> float:
        anchor = round(quality / 100 * (TINY.anchors - 1))
        lowered = int((model.gains.log_gain_AM[anchor] < before[anchor] - 1e-6).sum())
        return 1 + abs(lowered - best) / 10

    monkeypatch.setattr(muting, "_ratios", ratios)
    monkeypatch.setattr(muting, "_objective", objective)
    muted_AM = mute_channels(model, pictures, pictures, config)
    lowered_AM = before - model.gains.log_gain_AM
    assert torch.equal(lowered_AM > 1e-6, muted_AM)
    torch.testing.assert_close(lowered_AM[muted_AM], torch.full((int(muted_AM.sum()),), 4.0).log())
    assert torch.equal(model.gains.log_gain_AM[~muted_AM], before[~muted_AM])
    return muted_AM.sum(1)


def test_of_the_thresholds_the_best_one_counts(monkeypatch: pytest.MonkeyPatch, config: TrainConfig) -> None:
    below_half = int((torch.linspace(0, 1, TINY.latent_channels) < 0.5).sum())
    counts = muted_by_table(monkeypatch, config, best=below_half, from_quality=0)
    assert counts.tolist() == [below_half] * TINY.anchors


def test_anchors_are_visited_up_to_the_first_that_has_nothing_to_mute(
    monkeypatch: pytest.MonkeyPatch, config: TrainConfig
) -> None:
    assert not muted_by_table(monkeypatch, config, best=8, from_quality=1).any()


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
