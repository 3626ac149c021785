"""More latent channels for a trained codec: what it coded before it codes as before, and it loses less."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gancodec.errors import ConfigError
from gancodec.networks.blocks import unshuffle
from gancodec.networks.photo import PhotoModel
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


def test_flat_pictures_make_sound_weights() -> None:
    """They have no directions at all."""
    larger = grown(make_tiny_model(), MORE, torch.full((8, 3, 64, 64), 0.25))
    assert all(bool(value.isfinite().all()) for value in larger.state_dict().values())
    assemble(larger)


@pytest.mark.parametrize("channels", [8, TINY.latent_channels])
def test_a_codec_cannot_shrink(channels: int, pictures: Tensor) -> None:
    with pytest.raises(ConfigError, match="can only grow"):
        grown(make_tiny_model(), channels, pictures)
