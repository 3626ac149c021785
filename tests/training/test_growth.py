"""More latent channels for a trained codec: what it coded before it codes as before, and it loses less."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gancodec.errors import ConfigError
from gancodec.networks.blocks import unshuffle
from gancodec.networks.klt import patch_rows
from gancodec.networks.photo import Latent, PhotoModel
from gancodec.training.export_photo import assemble
from gancodec.training.growth import grown
from gancodec.training.stage import to_patches
from tests.tiny import TINY, made_picture, make_tiny_model

CPU = torch.device("cpu")
MORE = TINY.latent_channels + 16


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    squares = np.stack([made_picture(500 + number, 64, 64) for number in range(128)])
    return torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 127.5 - 1


@pytest.fixture(scope="module")
def larger(pictures: Tensor) -> PhotoModel:
    return grown(make_tiny_model(), MORE, pictures).eval()


@pytest.mark.parametrize("quality", [0.0, 45.0, 100.0])
def test_old_channels_are_coded_as_before(larger: PhotoModel, quality: float) -> None:
    model, old = make_tiny_model(), TINY.latent_channels
    patches, at = to_patches(made_picture(7, 128, 128)[None], CPU), torch.tensor([quality])
    with torch.no_grad():
        before, after = model.latent(patches, at), larger.latent(patches, at)
        torch.testing.assert_close(after.y_BMhw[:, :old], before.y_BMhw)
        assert torch.equal(after.symbols_BMhw[:, :old], before.symbols_BMhw)
        assert torch.equal(after.symbols_z, before.symbols_z)
        torch.testing.assert_close(larger.log_scale(after)[:, :old], model.log_scale(before))
        assert not after.mean0_BMhw[:, old:].any()


def test_more_is_restored_at_high_quality(larger: PhotoModel) -> None:
    """Of a picture that the new channels were not made from."""
    model, patches = make_tiny_model(), to_patches(made_picture(7, 128, 128)[None], CPU)
    errors = []
    with torch.no_grad():
        for each in (model, larger):
            latent = each.latent(patches, torch.tensor([100.0]))
            errors.append(float((each.synthesise(latent) - patches).square().mean()))
    assert errors[1] < 0.9 * errors[0]


def test_new_channels_are_of_unit_variance_and_become_a_codec(larger: PhotoModel, pictures: Tensor) -> None:
    with torch.no_grad():
        latent = larger.latent(to_patches(made_picture(500, 64, 64)[None], CPU), torch.tensor([100.0]))
        assert latent.symbols_BMhw[:, TINY.latent_channels :].any()
        parts = [larger.latent(unshuffle(part, 8), torch.full((1,), 100.0)) for part in pictures[:, None]]
        y0_MN = torch.cat([(part.y_BMhw / part.log_gain_BM11.exp())[0].flatten(1) for part in parts], 1)
    assert 0.5 < float(y0_MN[TINY.latent_channels :].square().mean()) < 2
    assert assemble(larger).config.latent_channels == MORE


def test_new_channels_are_the_best_linear_ones_for_what_rounding_loses(
    pictures: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what is lost the largest part is noise here, as at coarse steps, which no linear channel knows of."""
    model, count, random, synthesise = make_tiny_model(), 8, torch.Generator(), PhotoModel.synthesise

    def noisy(self: PhotoModel, latent: Latent) -> Tensor:
        patches = synthesise(self, latent)
        patches[:, :8] += 2 * torch.randn(patches[:, :8].shape, generator=random)
        return patches

    monkeypatch.setattr(PhotoModel, "synthesise", noisy)
    with torch.no_grad():
        patches = unshuffle(pictures, 8)
        rebuilt = [
            model.synthesise(model.latent(some, torch.full((len(some),), 100.0))) for some in torch.split(patches, 4)
        ]
        x, error = (patch_rows(each).double() for each in (patches, patches - torch.cat(rebuilt)))
        random.manual_seed(random.initial_seed())
        larger = grown(model, TINY.latent_channels + count, pictures).requires_grad_(False)
    encoder, generator = larger.encoder.shortcut, larger.generator.shortcut
    assert encoder.bias is not None
    analysis = encoder.weight[TINY.latent_channels :, :, 0, 0].double()
    new = x @ analysis.T + encoder.bias[TINY.latent_channels :].double()
    restored = new @ generator.weight[:, TINY.latent_channels :, 0, 0].double().T
    x, error = x - x.mean(0), error - error.mean(0)
    fitted = x @ torch.linalg.lstsq(x, error, driver="gelsd").solution
    left, values, right = torch.linalg.svd(fitted, full_matrices=False)
    best = (left[:, :count] * values[:count]) @ right[:count]
    gained, possible = (float(error.square().sum() - (error - each).square().sum()) for each in (restored, best))
    assert 0.97 * possible < gained < 1.001 * possible
    assert float(new.mean(0).abs().max()) < 0.01
    torch.testing.assert_close(torch.cov(new.T), torch.eye(count, dtype=torch.float64), atol=0.02, rtol=0)


@pytest.mark.parametrize("price", [12.0, 48.0])
def test_steps_of_new_channels_fit_the_price_of_bits(pictures: Tensor, price: float) -> None:
    larger, old = grown(make_tiny_model(), MORE, pictures, price), TINY.latent_channels
    sigma = larger.generator.shortcut.weight[:, old:, 0, 0].detach().norm(dim=0)
    # g = 4·σ·sqrt(lambda/0.0483), and lambda = 4·price/(255²·lambda_R) with lambda_R = 1.64·400^(−q/100).
    lambda_A = 4 * price / (65025 * 1.64 * 400 ** -torch.linspace(0, 1, TINY.anchors))
    wanted = torch.log(4 * sigma) + 0.5 * torch.log(lambda_A / 0.0483)[:, None]
    torch.testing.assert_close(larger.gains.log_gain_AM[:, old:], wanted, atol=1e-4, rtol=0)
    torch.testing.assert_close(larger.generator_gains.log_gain_AM[:, old:], -wanted, atol=1e-4, rtol=0)


def test_flat_pictures_make_sound_weights() -> None:
    """They have no directions at all."""
    larger = grown(make_tiny_model(), MORE, torch.full((8, 3, 64, 64), 0.25))
    assert all(bool(value.isfinite().all()) for value in larger.state_dict().values())
    assemble(larger)


@pytest.mark.parametrize("channels", [8, TINY.latent_channels])
def test_a_codec_cannot_shrink(channels: int, pictures: Tensor) -> None:
    with pytest.raises(ConfigError, match="can only grow"):
        grown(make_tiny_model(), channels, pictures)
