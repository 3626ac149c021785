"""What a run starts from: a codec, read once as the run begins, or the transform codec of the photos' own channels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gancodec.networks.config import ExtremeConfig, PhotoConfig
from gancodec.networks.extreme import ExtremeModel
from gancodec.networks.klt import initialise_klt, initialise_shortcuts
from gancodec.networks.photo import PhotoModel
from gancodec.registry import read_entry
from gancodec.training.config import TrainConfig
from gancodec.training.data import CropPlan, Photos, make_batch
from gancodec.training.export import trained_with
from gancodec.training.growth import grown
from gancodec.training.warm_start import carry_over, extreme_model, photo_model, shift_quality
from gancodec.weights import ExtremeWeights, PhotoWeights, Synthesis, Weights, load_weights
from gancodec.weights.tensors import tensors_digest

KLT_MEGAPIXELS = 26.0
"""Of crops that a run takes its transform from, if it begins from scratch, or the channels by which a codec grows."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Start:
    """A codec as it was when the run began: whatever becomes of its file, the run ends with what it began with."""

    path: Path
    weights: Weights
    price: float
    """lambda_X/lambda_R that it was trained with."""

    @property
    def digest(self) -> str:
        """SHA-256 of all its tensors."""
        return tensors_digest(self.weights.tensors(), "").hex()

    def cheaper_bits(self, config: TrainConfig) -> float:
        """By which factor bits are cheaper in a run."""
        return config.lambda_x / config.lambda_r / self.price

    def carried_over(self, fidelity: Synthesis, config: TrainConfig) -> Synthesis | None:
        """What it had learnt of realism, on top of the generator that stage fidelity has made; None if nothing."""
        if not isinstance(self.weights, PhotoWeights) or self.weights.realism is None:
            return None
        return carry_over(fidelity, self.weights.fidelity, self.weights.realism, self.cheaper_bits(config))


def read_start(path: Path) -> Start:
    """Raises ModelError for a file that is not a codec, or not a whole one."""
    lambdas = trained_with(path)
    weights = load_weights(read_entry(path), torch.device("cpu"))
    return Start(path=path, weights=weights, price=lambdas["lambda_x"] / lambdas["lambda_r"])


def photo_at_start(
    start: Start | None, sizes: PhotoConfig, config: TrainConfig, photos: Photos, report: Callable[[str], None]
) -> PhotoModel:
    """The model of stage fidelity before its first step."""
    if start is None:
        model = PhotoModel(sizes)
        initialise_klt(model, _klt_pictures(photos, config), config.lambda_x / config.lambda_r)
        report("fidelity: starting from scratch, at the transform codec")
        return model
    assert isinstance(start.weights, PhotoWeights)
    report(f"starting from {start.path}")
    model = photo_model(start.weights)
    if sizes.latent_channels > model.config.latent_channels:
        report(f"growing to {sizes.latent_channels} latent channels")
        model = grown(model, sizes.latent_channels, _klt_pictures(photos, config), start.price)
    shift_quality(model, start.cheaper_bits(config))
    return model


def extreme_at_start(
    start: Start | None, sizes: ExtremeConfig, config: TrainConfig, photos: Photos, report: Callable[[str], None]
) -> ExtremeModel:
    """The model of stage joint before its first step."""
    if start is None:
        model = ExtremeModel(sizes)
        initialise_shortcuts(model.encoder.shortcut, model.generator.shortcut, _klt_pictures(photos, config))
        report("joint: starting from scratch, at the transform codec")
        return model
    assert isinstance(start.weights, ExtremeWeights)
    report(f"starting from {start.path}")
    return extreme_model(start.weights)


def _klt_pictures(photos: Photos, config: TrainConfig) -> Tensor:
    """[N, 3, crop, crop] in [−1, 1]."""
    crops = max(8, round(KLT_MEGAPIXELS * 1e6 / config.crop_px**2))
    plan = CropPlan([p.size for p in photos.pictures], side=config.crop_px, batch=crops, seed=config.seed + 1)
    pixels = torch.from_numpy(make_batch(photos, plan, 0))
    return pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
