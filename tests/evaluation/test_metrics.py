"""Rate and distortion against numbers worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gancodec.errors import ConfigError
from gancodec.evaluation.metrics import bpp, ms_ssim, ms_ssim_db, perceptual, perceptual_label, psnr


def flat(value: int, height: int = 4, width: int = 4) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_bpp_counts_bits_of_the_whole_file() -> None:
    assert bpp(49_152, 768, 512) == 1.0


@pytest.mark.parametrize("arguments", [(-1, 4, 4), (10, 0, 4), (10, 4, 0)])
def test_bpp_refuses_impossible_sizes(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError):
        bpp(*arguments)


@pytest.mark.parametrize("values", [(100, 101), (101, 100)])
def test_psnr_of_one_level_everywhere(values: tuple[int, int]) -> None:
    assert psnr(flat(values[0]), flat(values[1])) == pytest.approx(20 * math.log10(255))  # 48.13 dB


def test_psnr_does_not_wrap_at_255() -> None:
    assert psnr(flat(0), flat(255)) == pytest.approx(0.0)


def test_psnr_is_of_the_mean_error_over_channels_not_the_mean_psnr_of_channels() -> None:
    other = flat(100)
    other[..., 0] += 3
    assert psnr(flat(100), other) == pytest.approx(10 * math.log10(255**2 / 3))


def test_psnr_of_equal_pictures_is_infinite() -> None:
    assert psnr(flat(7), flat(7)) == math.inf


def test_ms_ssim_of_equal_pictures_is_one(rng: np.random.Generator) -> None:
    picture = rng.integers(0, 256, (161, 170, 3), dtype=np.uint8)
    assert ms_ssim(picture, picture) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(("shape", "is_defined"), [((160, 300), False), ((300, 160), False), ((161, 161), True)])
def test_ms_ssim_is_none_where_five_scales_do_not_fit(shape: tuple[int, int], is_defined: bool) -> None:
    assert (ms_ssim(flat(9, *shape), flat(9, *shape)) is not None) is is_defined


def test_ms_ssim_has_the_data_range_of_8_bits() -> None:
    """A flat picture has the luminance term alone, (2·a·b + C1) / (a² + b² + C1) with C1 = (0.01·255)²,
    and only in the coarsest scale, whose exponent is 0.1333 (Wang et al. 2003)."""
    c1 = (0.01 * 255) ** 2
    luminance = (2 * 100 * 140 + c1) / (100**2 + 140**2 + c1)
    assert ms_ssim(flat(100, 176, 176), flat(140, 176, 176)) == pytest.approx(luminance**0.1333, abs=1e-4)


def test_ms_ssim_in_db() -> None:
    assert ms_ssim_db(0.99) == pytest.approx(20.0)
    assert ms_ssim_db(1.0) == math.inf


def test_perceptual_distance_is_of_float32_in_minus_one_to_one(features) -> None:
    assert perceptual(flat(0, 32, 40), flat(255, 32, 40), features) == pytest.approx(2)
    x, y = features.seen
    assert (x.dtype, x.shape, x.device.type) == (torch.float32, (1, 3, 32, 40), "cpu")
    assert (x.unique().tolist(), y.unique().tolist()) == ([-1], [1])


def test_perceptual_distance_does_not_depend_on_the_callers_precision(features) -> None:
    before = torch.backends.mkldnn.conv.fp32_precision
    try:
        torch.backends.mkldnn.conv.fp32_precision = "bf16"
        perceptual(flat(0, 32, 32), flat(9, 32, 32), features)
    finally:
        torch.backends.mkldnn.conv.fp32_precision = before
    assert features.precision_seen == {"ieee"}


def test_perceptual_distance_is_none_below_the_networks_side(features) -> None:
    assert perceptual(flat(0, 31, 40), flat(0, 31, 40), features) is None
    assert perceptual(flat(0, 32, 32), flat(0, 32, 32), features) == 0


@pytest.mark.parametrize(
    ("net", "label"), [("alex", "LPIPS (alex)"), ("squeeze", "LPIPS (squeeze)"), ("vgg16hed", "distance (vgg16hed)")]
)
def test_only_networks_with_all_heads_are_called_lpips(features, net: str, label: str) -> None:
    features.name = net
    assert perceptual_label(features) == label


@pytest.mark.parametrize("measure", [psnr, ms_ssim])
@pytest.mark.parametrize(
    "pair",
    [
        (flat(1), flat(1, height=5)),
        (flat(1).astype(np.float32), flat(1).astype(np.float32)),
        (flat(1)[..., 0], flat(1)[..., 0]),
        (flat(1)[..., :1], flat(1)[..., :1]),
    ],
    ids=["sizes differ", "float", "no channel axis", "grey"],
)
def test_measures_refuse_anything_but_two_8_bit_rgb_pictures_of_one_size(measure, pair) -> None:
    with pytest.raises(ConfigError):
        measure(*pair)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
