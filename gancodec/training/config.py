"""How a codec is trained: one frozen dataclass a stage, filled from the preset of its codec.

The presets (``gancodec/presets/*.toml``) hold every default; here is what the values mean.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from gancodec.errors import ConfigError
from gancodec.networks.config import FAMILIES, PIXEL_ALIGN, ModelConfig, config_from_values
from gancodec.training.losses import ADVERSARIAL, DISTORTIONS, GENERATOR_SCALES

STAGES: Final = {"photo": ("fidelity", "synthesis", "realism"), "extreme": ("joint",)}
"""The stages of each codec, in their order."""
REFINING: Final = frozenset({"synthesis", "realism"})
"""Stages that train a generator alone: files stay as they are."""
INVENTING: Final = frozenset({"realism", "joint"})
"""Stages whose generator learns from more than the distortion, so that it shows what no file said."""
ALL: Final = "all"
"""Every stage of a codec."""
TRAINING_EFFORT_MAX: Final = 4
"""Levels above it take seconds for a crop."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """One stage of a run.  ``max_minutes`` and ``minutes_share`` may change on resuming, nothing else."""

    lambda_x: float
    """Weight of the distortion between pictures in [−1, 1]; larger: better pictures, larger files."""
    lambda_r: float
    """Factor on the price of bits lambda_R(q)."""
    lambda_fm: float
    """Weight of feature matching, within what ``lambda_adv`` scales."""
    lambda_adv: float
    """Scales adversarial and feature-matching terms together; 0 does without discriminators."""
    lambda_p: float
    """Weight of the perceptual distance where there are features; without them the term does not exist."""
    lambda_c: float
    """Weight of the contrastive margin in the discriminator's features."""
    lambda_grid: float
    """Weight of detail that repeats from block to block, where a generator invents some."""
    adversarial: str
    """One of losses.ADVERSARIAL."""
    distortion: str
    """One of losses.DISTORTIONS."""
    generator_scales: str
    """Which scales' verdicts the generator hears: ``all``, or ``full``, the full-size one alone."""
    crop_px: int
    """Side of the square training crops, in pixels; a multiple of 64."""
    batch: int
    """Crops a step, for each process."""
    seed: int
    learning_rate: float
    """For 1×1 layers, gains and biases that depend on quality."""
    learning_rate_small: float
    """For biases and depthwise filters."""
    learning_rate_shortcut: float
    """For the linear shortcuts: Adam's step of 1e-3 would be 3 % of a KLT weight (DESIGN §3)."""
    learning_rate_discriminator: float
    warmup_steps: int
    """Steps in which the learning rates rise to their values."""
    warm_start_share: float
    """Factor on the three learning rates where a run starts from a codec, not from scratch."""
    final_share: float
    """The cosine ends at this share of the learning rates."""
    clip: float
    """Largest norm of all gradients together."""
    average_decay: float
    """Of the moving average that becomes the codec."""
    rounding_from: float
    """Share of the run after which the index network trains with its weights and activations rounded."""
    adversarial_from: float
    """Share of the run after which the discriminators train, where there is something to learn without them."""
    discriminator_warmup_steps: int
    """Steps the discriminators train before the generator hears them."""
    discriminator_widths: tuple[int, ...]
    """Channels of each discriminator's hidden layers."""
    discriminator_scales: int
    """Discriminators, each at half the size of the one before."""
    effort: int
    """Of the encoder whose latents the generator sees in stages ``synthesis`` and ``realism``, 0 … 4."""
    minutes_share: float
    """Of the minutes of a run with several stages."""
    max_minutes: float
    """Of training; validating and saving do not count."""

    def __post_init__(self) -> None:
        if not isinstance(self.crop_px, int) or self.crop_px < PIXEL_ALIGN or self.crop_px % PIXEL_ALIGN:
            raise ConfigError(f"crop_px is {self.crop_px}", hint=f"use a multiple of {PIXEL_ALIGN}")
        for name in ("lambda_x", "lambda_r", "batch", "learning_rate", "warmup_steps", "max_minutes", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name} is {getattr(self, name)}", hint="use a number above 0")
        for name in ("lambda_fm", "lambda_adv", "lambda_p", "lambda_c", "lambda_grid"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name} is {getattr(self, name)}", hint="use 0 or more; 0 leaves the term out")
        if self.effort not in range(TRAINING_EFFORT_MAX + 1):
            raise ConfigError(f"effort is {self.effort!r}", hint=f"use a whole number from 0 to {TRAINING_EFFORT_MAX}")
        if self.lambda_c > 0 and self.batch < 2:
            raise ConfigError("lambda_c needs another picture in the batch", hint="use a batch of 2 or more")
        for name, choices in (
            ("adversarial", ADVERSARIAL), ("distortion", DISTORTIONS), ("generator_scales", GENERATOR_SCALES)
        ):  # fmt: skip
            if getattr(self, name) not in choices:
                raise ConfigError(f"{name} is {getattr(self, name)!r}", hint=f"use one of {', '.join(choices)}")

    def identity(self) -> dict[str, Any]:
        """What must not change when a run is resumed."""
        values = asdict(self)
        del values["max_minutes"], values["minutes_share"]
        return values


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """What a codec is trained with: the sizes of its model, and each stage in its order."""

    model: ModelConfig
    stages: dict[str, TrainConfig]
    asked_sizes: frozenset[str] = frozenset()
    """Names of the model's sizes that were asked for, not taken as they are."""

    def changed(self, model: Mapping[str, Any], training: Mapping[str, Any]) -> Preset:
        """The preset with some values of model and all stages replaced.  Raises ConfigError for values that do not
        fit."""
        return Preset(
            model=replace(self.model, **model),
            stages={name: replace(stage, **training) for name, stage in self.stages.items()},
            asked_sizes=self.asked_sizes | model.keys(),
        )


def load_preset(codec: str, changes: Path | None = None, *, max_minutes: float = 60.0) -> Preset:
    """The preset of ``photo`` or ``extreme``, with the values of a file of the same layout in place of its own.

    Raises ConfigError for another codec, a file that cannot be read, and values that the preset does not have.
    """
    if codec not in FAMILIES:
        raise ConfigError(f"there is no codec {codec!r} to train", hint=f"use one of {', '.join(FAMILIES)}")
    values = tomllib.loads((files("gancodec") / "presets" / f"{codec}.toml").read_text(encoding="utf-8"))
    asked_sizes: frozenset[str] = frozenset()
    if changes is not None:
        changed = _read_changes(changes)
        values = _merged(values, changed, f"{changes}: ")
        asked_sizes = frozenset(changed.get("model", {}))
        if values["codec"] != codec:
            raise ConfigError(f"{changes} is for {values['codec']}, not {codec}", hint="give that with --codec")
    stages = {}
    for name in STAGES[codec]:
        given = values["training"] | values["stage"][name] | {"max_minutes": max_minutes}
        given["discriminator_widths"] = tuple(given["discriminator_widths"])
        wanted = {field.name for field in fields(TrainConfig)}
        if given.keys() != wanted:
            raise ConfigError(f"preset {codec}, stage {name}: {sorted(given.keys() ^ wanted)} missing or unknown")
        stages[name] = TrainConfig(**given)
    model = config_from_values(values["model"] | {"codec": codec})
    return Preset(model=model, stages=stages, asked_sizes=asked_sizes)


def _read_changes(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{path} cannot be read as a preset: {exc}", hint="copy one of gancodec/presets") from exc


def _merged(preset: Mapping[str, Any], changes: Mapping[str, Any], place: str) -> dict[str, Any]:
    """``preset`` with those of its values that ``changes`` has too; ``place`` names the table in messages."""
    merged = dict(preset)
    for name, value in changes.items():
        if name not in preset:
            raise ConfigError(f"{place}{name} is unknown", hint=f"known here: {', '.join(preset)}")
        before = preset[name]
        if isinstance(before, dict) and isinstance(value, dict):
            merged[name] = _merged(before, value, f"{place}{name}.")
        elif _kind(value) == _kind(before) or (_kind(before) is float and _kind(value) is int):
            merged[name] = value
        else:
            raise ConfigError(f"{place}{name} is {value!r}", hint=f"the preset has {before!r}")
    return merged


def _kind(value: Any) -> Any:
    """Type of a value; of a list, also those of its elements."""
    return (list, *sorted({type(each).__name__ for each in value})) if isinstance(value, list) else type(value)
