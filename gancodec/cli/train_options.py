"""The options of `gancodec train`: what they are called, what they may be, what they are without being given.

Loads no torch: --help stays fast.
"""

from __future__ import annotations

import enum
import math
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from gancodec.errors import ConfigError

PRESETS: Final = Path(__file__).resolve().parents[1] / "presets"
CHANNELS: Final = (4, 8, 16)
SEED_MAX: Final = 2**32 - 1


class Family(enum.StrEnum):
    """What can be trained.

    The choices of this module repeat those of gancodec.training, which would load torch for every --help; a test
    compares them.
    """

    PHOTO = "photo"
    EXTREME = "extreme"


class StageChoice(enum.StrEnum):
    """Stages of ``photo``."""

    FIDELITY = "fidelity"
    SYNTHESIS = "synthesis"
    REALISM = "realism"
    ALL = "all"


class Adversarial(enum.StrEnum):
    """Losses of discriminators and generator."""

    CHI2 = "chi2"
    VANILLA = "vanilla"
    HINGE = "hinge"
    WASSERSTEIN = "wasserstein"


class Distortion(enum.StrEnum):
    """Distances between picture and reconstruction."""

    MSE = "mse"
    L1 = "l1"


class GeneratorScales(enum.StrEnum):
    """Whose verdicts the generator hears."""

    ALL = "all"
    FULL = "full"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainOptions:
    """What the user gave; None is what was not given."""

    codec: Family
    data: Path
    out: Path
    valid: Path | None
    lambda_x: str | None
    lambda_r: float | None
    lambda_fm: float | None
    lambda_adv: float | None
    lambda_p: float | None
    lambda_c: float | None
    lambda_grid: float | None
    adversarial: Adversarial | None
    distortion: Distortion | None
    generator_scales: GeneratorScales | None
    stage: StageChoice
    channels: int | None
    features: str | None
    init: str | None
    resume: bool
    max_minutes: float
    device: str
    seed: int | None
    batch: int | None
    crop: int | None
    preset: Path | None
    name: str | None
    licence: str | None

    def check(self) -> None:
        """Raises ConfigError, with the option's name, for values that no codec can be trained with."""
        self.lambdas()
        for option, value in (("--lambda-r", self.lambda_r), ("--max-minutes", self.max_minutes)):
            if value is not None and not 0 < value < math.inf:  # false for NaN, too
                raise ConfigError(f"{option} is {value:g}", hint="give a number above 0")
        for option, value in (
            ("--lambda-fm", self.lambda_fm), ("--lambda-adv", self.lambda_adv),
            ("--lambda-p", self.lambda_p), ("--lambda-c", self.lambda_c), ("--lambda-grid", self.lambda_grid),
        ):  # fmt: skip
            if value is not None and not 0 <= value < math.inf:
                raise ConfigError(f"{option} is {value:g}", hint="give 0 or more; 0 leaves the term out")
        if self.channels is not None and self.codec is not Family.EXTREME:
            raise ConfigError(f"--channels is for extreme, not for {self.codec}", hint="leave --channels out")
        if self.channels not in (None, *CHANNELS):
            raise ConfigError(f"--channels is {self.channels}", hint=f"use one of {', '.join(map(str, CHANNELS))}")
        if self.stage is not StageChoice.ALL and self.codec is not Family.PHOTO:
            raise ConfigError(f"--stage is for photo, {self.codec} has one stage", hint="leave --stage out")
        if self.crop is not None and (self.crop < 64 or self.crop % 64):
            raise ConfigError(f"--crop is {self.crop}", hint="use a multiple of 64")
        self._check_name()

    def _check_name(self) -> None:
        name = self.name if self.name is not None else self.out.resolve().name
        # It becomes the name of a file, beside checkpoint-STAGE.safetensors and hidden ones that are being written.
        if not name or name.startswith((".", "checkpoint-")) or "/" in name or not name.isprintable():
            seen = f"--name is {name!r}" if self.name is not None else f"--out ends with {name!r}"
            raise ConfigError(f"{seen}, no name for a codec", hint="give one such as --name holiday")

    def lambdas(self) -> tuple[float, ...]:
        """The values of --lambda-x; none if it was not given.  Raises ConfigError."""
        if self.lambda_x is None:
            return ()
        try:
            values = tuple(float(part) for part in self.lambda_x.split(","))
        except ValueError:
            values = ()
        if not values or not all(0 < value < math.inf for value in values):
            raise ConfigError(f"--lambda-x is {self.lambda_x!r}", hint="give numbers above 0, such as 12 or 6,12,24")
        if len(set(values)) < len(values):
            raise ConfigError(f"--lambda-x is {self.lambda_x!r}, one number twice", hint="each makes one codec")
        return values

    def model(self) -> dict[str, Any]:
        """Sizes of the model that were given."""
        return {} if self.channels is None else {"symbol_channels": self.channels}

    def training(self) -> dict[str, Any]:
        """Values of gancodec.training.config.TrainConfig that were given."""
        values = {
            "lambda_r": self.lambda_r,
            "lambda_fm": self.lambda_fm,
            "lambda_adv": self.lambda_adv,
            "lambda_p": self.lambda_p,
            "lambda_c": self.lambda_c,
            "lambda_grid": self.lambda_grid,
            "adversarial": self.adversarial,
            "distortion": self.distortion,
            "generator_scales": self.generator_scales,
            "seed": self.seed,
            "batch": self.batch,
            "crop_px": self.crop,
        }
        # Members of enumerations would show as such in messages and configurations.
        return {
            key: value.value if isinstance(value, enum.Enum) else value
            for key, value in values.items()
            if value is not None
        }


def preset_value(section: str, key: str) -> str:
    """A default as --help shows it: ``12``, or ``0.03 for photo, 1 for extreme`` where the presets differ."""
    texts = {}
    for name, preset in _presets().items():
        values = preset[section]
        if section == "training":  # stages differ in some values; what is asked for here counts in the last one
            values = values | list(preset["stage"].values())[-1]
        if key in values:
            texts[name] = f"{values[key]:g}" if isinstance(values[key], float) else str(values[key])
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return ", ".join(f"{text} for {name}" for name, text in texts.items())


@cache
def _presets() -> dict[str, dict[str, Any]]:
    return {family.value: tomllib.loads((PRESETS / f"{family}.toml").read_text(encoding="utf-8")) for family in Family}


def _weight(option: str, key: str, what: str, *, may_be_0: bool = True) -> Any:
    values = "0 or more" if may_be_0 else "above 0"
    text = f"{what} A factor, {values}. Default: {preset_value('training', key)}."
    return typer.Option(option, metavar="X", help=text, show_default=False)


def _choice(option: str, key: str, what: str) -> Any:
    return typer.Option(option, help=f"{what} Default: {preset_value('training', key)}.", show_default=False)


def _number(option: str, key: str, what: str, metavar: str, *, least: int, most: int | None = None) -> Any:
    text = f"{what} Default: {preset_value('training', key)}."
    return typer.Option(option, metavar=metavar, min=least, max=most, help=text, show_default=False)


CodecFamily = Annotated[Family, typer.Option("--codec", help="What to train.", show_default=False)]
Data = Annotated[
    Path,
    typer.Option("--data", metavar="DIR", help="Photos to train on, in any tree of folders.", show_default=False),
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Gets codec, checkpoints and log.", show_default=False)]
Valid = Annotated[
    Path | None,
    typer.Option("--valid", metavar="DIR", help="Photos to measure on; default: some of --data.", show_default=False),
]
LambdaX = Annotated[
    str | None,
    typer.Option(
        "--lambda-x",
        metavar="X[,X...]",
        help="Weight of the distortion: larger gives better pictures and larger files. Factors above 0; several make "
        f"one codec each, every next one started from its neighbour. Default: {preset_value('training', 'lambda_x')}.",
        show_default=False,
    ),
]
LambdaR = Annotated[float | None, _weight("--lambda-r", "lambda_r", "Price of bits (photo).", may_be_0=False)]
LambdaFm = Annotated[
    float | None, _weight("--lambda-fm", "lambda_fm", "Weight of feature matching, within --lambda-adv.")
]
LambdaAdv = Annotated[
    float | None,
    _weight("--lambda-adv", "lambda_adv", "Scales adversarial loss and feature matching; 0: no discriminators."),
]
LambdaP = Annotated[
    float | None, _weight("--lambda-p", "lambda_p", "Weight of the perceptual distance; needs --features.")
]
LambdaC = Annotated[float | None, _weight("--lambda-c", "lambda_c", "Weight of the contrastive margin.")]
LambdaGrid = Annotated[
    float | None, _weight("--lambda-grid", "lambda_grid", "Weight against invented detail that repeats as a grid.")
]
AdversarialLoss = Annotated[
    Adversarial | None, _choice("--adversarial", "adversarial", "Loss of generator and discriminators.")
]
DistortionLoss = Annotated[
    Distortion | None, _choice("--distortion", "distortion", "Distance of picture and reconstruction.")
]
Scales = Annotated[
    GeneratorScales | None,
    _choice("--generator-scales", "generator_scales", "Whose verdicts the generator hears: full is the largest's."),
]
WhichStage = Annotated[
    StageChoice, typer.Option("--stage", help="Of photo; synthesis and realism alone start from a codec: --init.")
]
Channels = Annotated[
    int | None,
    typer.Option(
        "--channels",
        metavar="4|8|16",
        help="Of extreme: symbols for each 16x16 pixels, one of the three numbers. "
        f"Default: {preset_value('model', 'symbol_channels')}.",
        show_default=False,
    ),
]
Features = Annotated[
    str | None,
    typer.Option(
        "--features",
        metavar="vgg19|PATH[:NET]",
        help="Network of the perceptual distance; vgg19 is torchvision's.",
        show_default=False,
    ),
]
Init = Annotated[
    str | None,
    typer.Option(
        "--init",
        metavar="NAME|PATH|none",
        help="Codec to start from; default: the shipped one of the same sizes, if any.",
        show_default=False,
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where the run in --out was interrupted.")]
MaxMinutes = Annotated[
    float,
    typer.Option(
        "--max-minutes", metavar="MINUTES", help="Of training, for each codec; above 0. Writing it comes on top."
    ),
]
Seed = Annotated[
    int | None,
    _number("--seed", "seed", "Of crops, noise and first weights; a whole number.", "N", least=0, most=SEED_MAX),
]
Batch = Annotated[
    int | None, _number("--batch", "batch", "Crops a step, for each process; a whole number.", "CROPS", least=1)
]
Crop = Annotated[
    int | None, _number("--crop", "crop_px", "Side of the crops in pixels, a multiple of 64.", "PX", least=64)
]
PresetFile = Annotated[
    Path | None,
    typer.Option(
        "--preset",
        metavar="FILE",
        help="A .toml laid out like the codec's preset: sizes, learning rates and all else that is to differ.",
        show_default=False,
    ),
]
Name = Annotated[
    str | None,
    typer.Option("--name", help="Of the codec; default: the last part of --out.", show_default=False),
]
Licence = Annotated[
    str | None,
    typer.Option("--licence", help="Of the weights, noted in their file.", show_default=False),
]
