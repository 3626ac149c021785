"""Two pictures side by side: how far apart they are, and where."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gancodec.errors import ConfigError, OutputError, PictureError
from gancodec.evaluation.columns import Metric, Unavailable, chosen_metrics
from gancodec.evaluation.images import as_picture_file
from gancodec.evaluation.metrics import bpp
from gancodec.evaluation.sweep import load_rgb, opaque_rgb
from gancodec.writing import write_file

GNC_SUFFIX = ".gnc"


@dataclass(frozen=True, kw_only=True, eq=False)
class Side:
    """One of the two pictures."""

    name: str
    size_bytes: int
    """Of its file."""
    rgb_HWC: NDArray[np.uint8]

    @property
    def bpp(self) -> float:
        """Of its file, in bits per pixel."""
        return bpp(self.size_bytes, self.rgb_HWC.shape[1], self.rgb_HWC.shape[0])


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """What was found."""

    a: Side
    b: Side
    metrics: Sequence[Metric]
    values: Mapping[str, float | None]
    unavailable: Sequence[Unavailable]

    @property
    def greatest_difference(self) -> int:
        """Of any sample, 0..255."""
        return int(difference(self.a.rgb_HWC, self.b.rgb_HWC).max())


def compare_files(
    a: Path,
    b: Path,
    *,
    metrics: Sequence[str],
    features: str | None = None,
    realism: float | None = None,
    device: str = "auto",
) -> Pair:
    """Measure picture ``b`` against the original ``a``; .gnc files are decoded, at that realism.

    Raises PictureError, FormatError for files that cannot be read, ConfigError for two sizes, unknown metrics and those
    of sets of pictures, ModelError for codecs and features that do not serve.
    """
    if "fid" in [name.lower() for name in metrics]:
        raise ConfigError("FID compares sets of pictures, not two", hint="use `gancodec eval`")
    sides = [_open(path, realism, device) for path in (a, b)]
    shapes = [side.rgb_HWC.shape for side in sides]
    if shapes[0] != shapes[1]:
        seen = " and ".join(f"{width}x{height}" for height, width, _ in shapes)
        raise ConfigError(f"the pictures are {seen} pixels", hint="compare pictures of one size")
    network = None
    if features is not None:
        from gancodec.features import load_features

        network = load_features(features, "cpu")
    chosen, unavailable = chosen_metrics(metrics, network)
    pixels = [side.rgb_HWC for side in sides]
    values = {metric.key: metric.measure(*pixels) for metric in chosen if metric.measure}
    return Pair(a=sides[0], b=sides[1], metrics=chosen, values=values, unavailable=unavailable)


def difference(a_HWC: NDArray[np.uint8], b_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """|a − b| of every sample, uint8."""
    levels: NDArray[np.uint8] = np.maximum(a_HWC, b_HWC) - np.minimum(a_HWC, b_HWC)
    return levels


def check_difference(path: Path, pictures: Sequence[Path]) -> None:
    """Raise ConfigError for a suffix without a format and for one of the pictures itself, OutputError for no folder."""
    if path.exists() and any(picture.exists() and path.samefile(picture) for picture in pictures):
        raise ConfigError(f"{path} is one of the two pictures", hint="give the difference another name")
    if not path.parent.is_dir():
        raise OutputError(f"cannot write {path}: there is no folder {path.parent}", hint="make it first")
    as_picture_file(Image.new("RGB", (1, 1)), path)


def write_difference(pair: Pair, path: Path, *, gain: float) -> None:
    """Write |a − b|·gain, cut off at 255, as a picture of the format that the suffix names.

    Raises as ``check_difference``, and OutputError if it cannot be written.
    """
    check_difference(path, [Path(side.name) for side in (pair.a, pair.b)])
    factor = np.float32(min(gain, 255.0))  # more says no more, and times infinity 0 has no value
    levels = np.minimum(difference(pair.a.rgb_HWC, pair.b.rgb_HWC) * factor, 255).round().astype(np.uint8)
    write_file(path, as_picture_file(Image.fromarray(levels), path))


def as_lines(pair: Pair) -> list[str]:
    """For a terminal."""
    lines = [f"{side.name}: {side.size_bytes:,} bytes, {side.bpp:.3f} bpp" for side in (pair.a, pair.b)]
    for metric in pair.metrics:
        value = pair.values[metric.key]
        if value is None:
            lines.append(f"{metric.label}: – (not defined for pictures as small as these)")
            continue
        scaled = f" ({metric.to_scale(value):.2f} dB)" if metric.to_scale else ""
        better = ", lower is better" if metric.lower_is_better else ""
        lines.append(f"{metric.label}: {value:.{metric.digits}f}{scaled}{better}")
    return [*lines, f"greatest difference of a sample: {pair.greatest_difference} of 255"]


def as_row(pair: Pair) -> dict[str, Any]:
    """For JSON; infinite PSNR becomes null."""
    finite = {key: value if value is None or math.isfinite(value) else None for key, value in pair.values.items()}
    return {
        "a": pair.a.name,
        "b": pair.b.name,
        "width": pair.a.rgb_HWC.shape[1],
        "height": pair.a.rgb_HWC.shape[0],
        "a_bytes": pair.a.size_bytes,
        "b_bytes": pair.b.size_bytes,
        **finite,
        "greatest_difference": pair.greatest_difference,
        "unavailable": {each.key: each.reason for each in pair.unavailable},
    }


def _open(path: Path, realism: float | None, device: str) -> Side:
    try:
        size_bytes = path.stat().st_size
        if path.suffix.lower() != GNC_SUFFIX:
            return Side(name=str(path), size_bytes=size_bytes, rgb_HWC=np.asarray(load_rgb(path)))
        data = path.read_bytes()
    except OSError as exc:
        raise PictureError(f"{path}: {exc.strerror}", hint="check the name, and that it may be read") from exc
    from gancodec.codec import Codec

    picture = Codec.for_file(data, device).decompress_picture(data, realism=realism)
    return Side(name=str(path), size_bytes=size_bytes, rgb_HWC=opaque_rgb(picture, str(path)))
