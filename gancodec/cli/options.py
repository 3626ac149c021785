"""Values of options: what they may be, and errors that say so."""

from __future__ import annotations

import enum
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from gancodec.effort.request import Effort, Step
from gancodec.errors import ConfigError

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+) ?([kKmMgG]?)(i?)[bB]?")
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3}


class Device(enum.StrEnum):
    """Where networks run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Fallback(enum.StrEnum):
    """What `compress` does where the .gnc file would not be smaller than its source."""

    WRITE = "write"
    KEEP = "keep"


class Tune(enum.StrEnum):
    """What effort is spent on.  Repeats gancodec.defaults.TUNES; a test compares them."""

    FIDELITY = "fidelity"
    REALISM = "realism"


class OnInterrupt(enum.StrEnum):
    """What becomes of pictures that are being refined when Ctrl-C comes."""

    KEEP = "keep"
    DISCARD = "discard"


class PictureFormat(enum.StrEnum):
    """Formats that `decompress` writes.

    This and SUFFIX_OF_FORMAT repeat gancodec.picture.OUTPUT_FORMATS, which would load Pillow for every --help; a test
    compares them.
    """

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"
    AVIF = "avif"


FORMAT_OF_SUFFIX = {
    ".png": PictureFormat.PNG,
    ".jpg": PictureFormat.JPEG,
    ".jpeg": PictureFormat.JPEG,
    ".webp": PictureFormat.WEBP,
    ".avif": PictureFormat.AVIF,
}
SUFFIX_OF_FORMAT = {
    PictureFormat.PNG: ".png",
    PictureFormat.JPEG: ".jpg",
    PictureFormat.WEBP: ".webp",
    PictureFormat.AVIF: ".avif",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """How large the result shall be: at most one of the three is given; none is the codec's own default."""

    quality: float | None = None
    """0 to 100."""
    target_bpp: float | None = None
    """Bits of the whole file per pixel."""
    target_size: int | None = None
    """Bytes of the whole file."""


def effort_from(level: int, tune: Tune, features: str | None, step: Step) -> Effort:
    """The effort that the options ask for.  Raises ConfigError if they do not fit together, in their own names."""
    if tune is Tune.REALISM and features is None:
        raise ConfigError("--tune realism needs a feature network", hint="add --features vgg19 or --features PATH")
    if tune is Tune.REALISM and level == 0:
        raise ConfigError("--tune realism has no meaning for --effort 0", hint="use --effort 1 or more")
    if tune is not Tune.REALISM and features is not None:
        raise ConfigError(f"--features has no meaning for --tune {tune}", hint="add --tune realism")
    return Effort(level=level, tune=tune.value, features=features, step=step)


def rate_from(quality: float | None, target_bpp: float | None, target_size: str | None) -> Rate:
    """The rate that the options ask for.  Raises ConfigError if they exclude each other or are out of range."""
    if sum(value is not None for value in (quality, target_bpp, target_size)) > 1:
        raise ConfigError(
            "--quality, --target-bpp and --target-size exclude each other", hint="give one of them; Try --help"
        )
    if target_bpp is not None:
        if not 0 < target_bpp < math.inf:  # false for NaN, too
            raise ConfigError(f"--target-bpp is {target_bpp:g}", hint="give bits per pixel above 0, such as 0.25")
        return Rate(target_bpp=target_bpp)
    if target_size is not None:
        return Rate(target_size=parse_size(target_size))
    return Rate(quality=None if quality is None else in_range("--quality", quality, 100))


def in_range(option: str, value: float, most: float) -> float:
    """`value`, if it is in 0..`most`.  Raises ConfigError."""
    if not 0 <= value <= most:  # false for NaN, too
        raise ConfigError(f"{option} is {value:g}", hint=f"give 0 to {most:g}")
    return value


def parse_size(text: str) -> int:
    """Bytes: ``50k`` is 50,000 and ``50KiB`` 51,200; also M and G, with or without B, in either case.

    Fractions of a byte are dropped.  Raises ConfigError.
    """
    match = _SIZE.fullmatch(text.strip())
    number, prefix, binary = match.groups() if match and len(text) < 32 else ("0", "", "")
    size = int(Decimal(number) * (1024 if binary else 1000) ** _POWERS[prefix.lower()])
    if size < 1 or (binary and not prefix):
        raise ConfigError(f"--target-size is {text!r}", hint="give bytes, such as 50000, 50k, 1.5M or 50KiB")
    return size


def format_from(chosen: PictureFormat | None, output: str | None, *, output_is_folder: bool) -> PictureFormat:
    """The chosen format, else that of the suffix of the file -o, else PNG.  Raises ConfigError for other suffixes."""
    suffix = "" if output is None or output_is_folder else Path(output).suffix.lower()
    if chosen is not None:
        return chosen
    if suffix and suffix not in FORMAT_OF_SUFFIX:
        raise ConfigError(f"no format belongs to the suffix {suffix}", hint="choose one with --format")
    return FORMAT_OF_SUFFIX.get(suffix, PictureFormat.PNG)
