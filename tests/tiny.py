"""Complete codecs of a few thousand weights, made in a second, and pictures to feed them.

Untrained but for its transform: the networks hold noise, so that every part of the path has something to say.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gancodec.networks.config import ExtremeConfig, PhotoConfig
from gancodec.networks.extreme import ExtremeModel
from gancodec.networks.klt import initialise_klt, initialise_shortcuts
from gancodec.networks.photo import PhotoModel
from gancodec.training.export_extreme import assemble_extreme, fit_extreme_tables
from gancodec.training.export_photo import assemble, fit_tables
from gancodec.weights import save_weights

TINY = PhotoConfig(
    channels_8=12, channels_16=12, latent_channels=24, hyper_channels=4, hyper_width=8,
    means_width=12, index_width=12, blocks_8=1, blocks_16=1,
)  # fmt: skip
TINY_EXTREME = ExtremeConfig(symbol_channels=4, channels_8=8, channels_16=8, blocks_8=1, blocks_16=1)


def made_picture(seed: int, height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    """Something photograph-like: 1/f noise, correlated between channels, and a few hard edges."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]) + 1 / max(height, width)
    noise = rng.normal(size=(2, height, width))
    planes = [np.fft.irfft2(np.fft.rfft2(plane) / frequency**1.2, (height, width)) for plane in noise]
    shade, tint = ((plane - plane.mean()) / (plane.std() + 1e-9) for plane in planes)
    picture = np.stack([shade + 0.3 * tint * sign for sign in (-1, 0, 1)], 2)
    for _ in range(4):
        top, left = rng.integers(0, height), rng.integers(0, width)
        picture[top : top + height // 3, left : left + width // 3] += rng.normal(size=3)
    return (picture[..., :channels] * 45 + 128).clip(0, 255).astype(np.uint8)


def make_tiny_model(seed: int = 0) -> PhotoModel:
    """The float model, its last layers filled with noise."""
    torch.manual_seed(seed)
    model = PhotoModel(TINY)
    squares = np.stack([made_picture(seed + number, 64, 64) for number in range(96)])
    initialise_klt(model, torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 127.5 - 1)
    with torch.no_grad():
        for layer in (model.encoder.output, model.generator.output):
            layer.weight.normal_(std=0.01)
        model.hyper_encoder.down_64.weight.mul_(8)  # so that z has symbols other than 0, escapes among them
        for step in model.index.steps:
            step.output.weight.mul_(15)
            step.output.bias.sub_(1)
        for name, parameter in model.named_parameters():
            if name.endswith("table_AC"):
                parameter.normal_(std=0.1)
    return model.eval()


def make_tiny_weights(path: Path, seed: int = 0) -> bytes:
    """Write the codec ``tiny``; returns its model id."""
    weights = assemble(make_tiny_model(seed))
    pictures = [made_picture(1000 + number, 128, 128) for number in range(12)]
    with torch.inference_mode():
        fit_tables(weights, pictures, [100 * (number + 0.5) / 12 for number in range(12)])
    return save_weights(path, weights, name="tiny", licence="Apache-2.0", notes={})


def make_tiny_extreme_model(seed: int = 0, channels: int = 4) -> ExtremeModel:
    """The float model: whitened principal components and noise."""
    torch.manual_seed(seed)
    model = ExtremeModel(replace(TINY_EXTREME, symbol_channels=channels))
    squares = np.stack([made_picture(seed + number, 64, 64) for number in range(96)])
    pictures = torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 127.5 - 1
    initialise_shortcuts(model.encoder.shortcut, model.generator.shortcut, pictures)
    with torch.no_grad():
        for layer in (model.encoder.output, model.generator.output):
            layer.weight.normal_(std=0.02)
    return model.eval()


def make_tiny_extreme_weights(path: Path, seed: int = 0, channels: int = 4) -> bytes:
    """Write the codec ``tiny-extreme``; returns its model id."""
    weights = assemble_extreme(make_tiny_extreme_model(seed, channels))
    fit_extreme_tables(weights, [made_picture(1000 + number, 256, 256) for number in range(12)])
    return save_weights(path, weights, name="tiny-extreme", licence="Apache-2.0", notes={})
