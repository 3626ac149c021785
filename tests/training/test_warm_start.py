"""A codec's file is enough to go on training from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gancodec.networks.quality import LAMBDA_R_RATIO
from gancodec.registry import read_entry, shipped_folder
from gancodec.training.export_photo import assemble, file_against_estimate
from gancodec.training.stage import to_patches
from gancodec.training.warm_start import extreme_model, photo_model, shift_quality
from gancodec.weights import ExtremeWeights, PhotoWeights, load_weights
from tests.tiny import made_picture, make_tiny_extreme_weights, make_tiny_model, make_tiny_weights

CPU = torch.device("cpu")
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "coffee.png"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> PhotoWeights:
    path = tmp_path_factory.mktemp("warm") / "tiny.safetensors"
    make_tiny_weights(path)
    loaded = load_weights(read_entry(path), CPU)
    assert isinstance(loaded, PhotoWeights)
    return loaded


def test_index_network_comes_back_as_the_very_integers(weights: PhotoWeights) -> None:
    again = assemble(photo_model(weights))
    wanted = weights.prior.index.state_dict()
    for name, value in again.prior.index.state_dict().items():
        # Weights pass through float32, so a multiplier of 2^27 may differ in its last bits.
        rtol, atol = (1e-6, 1.0) if "multiplier" in name or "bias" in name else (0.0, 0.0)
        torch.testing.assert_close(value.double(), wanted[name].double(), rtol=rtol, atol=atol, msg=name)


def test_model_says_what_the_trained_one_said(weights: PhotoWeights) -> None:
    """Up to the rounding of weights to fp16 and int8, and to z's density, which only tables remember."""
    trained, restored = make_tiny_model(), photo_model(weights).eval()
    trained.index.rounding = restored.index.rounding = True
    patches = to_patches(made_picture(5, 128, 128)[None], CPU)
    with torch.no_grad():
        for quality in (10.0, 60.0):
            one, other = (model(patches, torch.tensor([quality])) for model in (trained, restored))
            assert (one.patches_BChw - other.patches_BChw).abs().max() < 0.02
            assert other.bits_y_B.item() == pytest.approx(one.bits_y_B.item(), rel=0.01)


def test_density_of_z_is_that_of_the_tables(weights: PhotoWeights) -> None:
    density = photo_model(weights).factorised
    tables, medians = weights.hyper_tables, weights.prior.medians
    np.testing.assert_allclose(density.medians(), medians, atol=1e-5)
    for channel in range(len(medians)):
        reach = int(tables.range_T[channel])
        share = tables.frequencies(channel)[:-1] / 65536
        values = torch.arange(-reach, reach + 1) + medians[channel]
        full = torch.zeros(1, len(medians), len(values), 1)
        full[0, channel, :, 0] = values
        with torch.no_grad():
            cross = float((density.bits(full)[0, channel, :, 0].numpy() * share).sum())
        entropy = float(-(share * np.log2(share)).sum())
        assert cross < 1.1 * entropy + 0.1


def test_cheaper_bits_shift_the_qualities(weights: PhotoWeights) -> None:
    """Bits at half the price: quality q is what q + 100·log_400(2) was."""
    model, shifted = photo_model(weights).eval(), photo_model(weights).eval()
    shift_quality(shifted, 2.0)
    patches = to_patches(made_picture(5, 64, 64)[None], CPU)
    step = 100 * np.log(2) / np.log(LAMBDA_R_RATIO)
    anchor = 100 / (model.config.anchors - 1)  # at anchors interpolation of interpolated tables is exact
    with torch.no_grad():
        there = model.gains(torch.nn.functional.one_hot(torch.tensor([2]), 8).float())
        assert not torch.allclose(there, shifted.gains(torch.nn.functional.one_hot(torch.tensor([2]), 8).float()))
        before = model(patches, torch.tensor([2 * anchor + step], dtype=torch.float32))
        after = shifted(patches, torch.tensor([2 * anchor], dtype=torch.float32))
    torch.testing.assert_close(before.patches_BChw, after.patches_BChw, atol=1e-3, rtol=0)
    unchanged = photo_model(weights)
    shift_quality(unchanged, 1.0)
    assert torch.equal(unchanged.gains.log_gain_AM, photo_model(weights).gains.log_gain_AM)


@pytest.mark.parametrize(("ratio", "end", "inner"), [(0.5, 0, 1), (2.0, 7, 6)])
def test_gains_beyond_the_last_anchor_do_not_follow_a_muted_channel(
    weights: PhotoWeights, ratio: float, end: int, inner: int
) -> None:
    shifted, muted = photo_model(weights), photo_model(weights)
    with torch.no_grad():
        muted.gains.log_gain_AM[inner, 5] -= 3
    for model in (shifted, muted):
        shift_quality(model, ratio)
    torch.testing.assert_close(muted.gains.log_gain_AM[end], shifted.gains.log_gain_AM[end], atol=0.05, rtol=0)
    before = photo_model(weights)
    rise = muted.gains.log_gain_AM[end] - before.gains.log_gain_AM[end]
    assert bool((rise < 0).all() if ratio < 1 else (rise > 0).all())
    # What an encoder's gain takes a generator's gives back: pictures keep their contrast.
    contrast_before, contrast = (
        (model.gains.log_gain_AM + model.generator_gains.log_gain_AM)[end] for model in (before, shifted)
    )
    torch.testing.assert_close(contrast, contrast_before, atol=1e-5, rtol=0)


def test_extreme_comes_back(tmp_path: Path) -> None:
    make_tiny_extreme_weights(tmp_path / "e.safetensors")
    loaded = load_weights(read_entry(tmp_path / "e.safetensors"), CPU)
    assert isinstance(loaded, ExtremeWeights)
    model = extreme_model(loaded)
    assert all(torch.equal(a, b) for a, b in zip(model.encoder.parameters(), loaded.analysis.parameters(), strict=True))


def test_files_are_as_large_as_training_thought() -> None:
    """With the shipped codec on a photo; the tables of the tiny one are far from what its untrained networks say."""
    folder = shipped_folder()
    if folder is None:
        pytest.skip("no shipped weights here")
    loaded = load_weights(read_entry(folder / "photo.safetensors"), CPU)
    assert isinstance(loaded, PhotoWeights)
    model = photo_model(loaded).eval()
    model.index.rounding = True
    photo = np.asarray(Image.open(EXAMPLE).convert("RGB"))[64:320, 64:320]
    file_bits, estimated = file_against_estimate(loaded, model, [photo])
    assert file_bits == pytest.approx(estimated, rel=0.04)
