"""A folder of made photos, and stages of all kinds on the tiny models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from gancodec.training.config import TrainConfig, load_preset
from gancodec.training.data import CropPlan, Photos, load_photos, make_batch
from gancodec.training.export_photo import assemble, fit_tables
from gancodec.training.fidelity import FidelityStage
from gancodec.training.generative import ExtremeStage, RealismStage
from gancodec.training.stage import Stage
from gancodec.training.synthesis import SynthesisStage
from gancodec.training.world import World
from gancodec.weights import PhotoWeights
from tests.tiny import made_picture, make_tiny_extreme_model, make_tiny_model

CPU = torch.device("cpu")
SMALL = {
    "crop_px": 64, "batch": 2, "warmup_steps": 5, "discriminator_widths": (8, 8), "discriminator_scales": 2,
    "discriminator_warmup_steps": 2, "adversarial_from": 0.0,
}  # fmt: skip


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    (folder / "nested" / "deeper").mkdir(parents=True)
    for number in range(5):
        Image.fromarray(made_picture(number, 96, 128)).save(folder / "nested" / f"{number}.png")
    Image.fromarray(made_picture(6, 100, 90)).save(folder / "nested" / "deeper" / "6.JPG", quality=95)
    Image.fromarray(made_picture(9, 40, 40)).save(folder / "small.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 not a picture")
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="session")
def photos(photo_folder: Path) -> Photos:
    return load_photos(photo_folder, 64)


def small_config(stage: str, **changes: Any) -> TrainConfig:
    """The preset of the codec with that stage, small."""
    from dataclasses import replace

    preset = load_preset("extreme" if stage == "joint" else "photo")
    return replace(preset.stages[stage], **(SMALL | changes))


def tiny_codec() -> PhotoWeights:
    """Its tables fitted; without curvature, which encoders then measure on each picture."""
    weights = assemble(make_tiny_model())
    pictures = [made_picture(1000 + number, 128, 128) for number in range(12)]
    with torch.inference_mode():
        fit_tables(weights, pictures, [100 * (number + 0.5) / 12 for number in range(12)])
    return weights


def make_stage(kind: str, *, seed: int = 0, **changes: Any) -> Stage:
    """Stage ``fidelity``, ``synthesis``, ``realism`` or ``joint`` on a tiny model."""
    config = small_config(kind, **changes)
    torch.manual_seed(seed)
    if kind == "fidelity":
        return FidelityStage(make_tiny_model().train(), config, CPU, World())
    if kind == "synthesis":
        return SynthesisStage(tiny_codec(), config, CPU, World())
    if kind == "realism":
        return RealismStage(tiny_codec(), config, CPU, World(), features=None)
    return ExtremeStage(make_tiny_extreme_model().train(), config, CPU, World(), features=None)


@pytest.fixture(params=["fidelity", "synthesis", "realism", "joint"])
def make(request: pytest.FixtureRequest) -> Callable[..., Stage]:
    """Makes the stage of this round, fresh each time."""
    return lambda **changes: make_stage(request.param, **changes)


def run_steps(stage: Stage, photos: Photos, steps: int, done: float = 0.5) -> list[float]:
    """So many steps from where the stage is; their losses."""
    config = stage.config
    plan = CropPlan([p.size for p in photos.pictures], side=config.crop_px, batch=config.batch, seed=config.seed)
    return [stage.advance(make_batch(photos, plan, stage.progress.step), done)["loss"] for _ in range(steps)]
