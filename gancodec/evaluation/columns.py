"""What can be measured of a decoded picture, by the names of ``--metrics``: one column of every table each.

A metric that needs a package or weights that are not there is left out and said to be, never silently.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gancodec.errors import ConfigError, GancodecError
from gancodec.evaluation.frechet import FrechetDistance, load_inception
from gancodec.evaluation.metrics import (
    Features,
    load_dists,
    load_lpips,
    ms_ssim,
    ms_ssim_db,
    perceptual,
    perceptual_label,
    psnr,
    ssimulacra2,
)

Picture = NDArray[np.uint8]
DEFAULT: Final = ("psnr", "ms-ssim")
INSTALL: Final = "pip install 'gancodec[eval]'"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One measure of how well a picture came back."""

    key: str
    """As in --metrics, JSON and CSV."""
    label: str
    """What tables and plots call it, with its unit."""
    digits: int
    """Behind the point, in tables."""
    lower_is_better: bool = False
    measure: Callable[[Picture, Picture], float | None] | None = None
    """uint8 [H, W, 3] original and decoded picture -> value, None where it is not defined.  None as a whole for a
    metric of all pictures together."""
    whole: FrechetDistance | None = None
    """Of a metric of all pictures together."""
    to_scale: Callable[[float], float] | None = None
    """To a scale on which steps are alike, if its own is not such a one."""
    from_scale: Callable[[float], float] | None = None
    scale_label: str = ""
    """What tables call that scale."""

    def rising(self, value: float) -> float:
        """The value where higher is better and steps are alike: what BD-rates and interpolation are about."""
        scaled = self.to_scale(value) if self.to_scale else value
        return -scaled if self.lower_is_better else scaled

    def value(self, rising: float) -> float:
        """The inverse of ``rising``."""
        scaled = -rising if self.lower_is_better else rising
        return self.from_scale(scaled) if self.from_scale else scaled


@dataclass(frozen=True, kw_only=True, slots=True)
class Unavailable:
    """A metric that was asked for and cannot be had here."""

    key: str
    reason: str


PSNR: Final = Metric(key="psnr", label="PSNR dB", digits=2, measure=psnr)
MS_SSIM: Final = Metric(
    key="ms-ssim",
    label="MS-SSIM",
    digits=4,
    measure=ms_ssim,
    to_scale=ms_ssim_db,
    from_scale=lambda db: 1 - 10 ** (-db / 10),
    scale_label="MS-SSIM dB",
)
SSIMULACRA2: Final = Metric(key="ssimulacra2", label="SSIMULACRA2", digits=1, measure=ssimulacra2)
NAMES: Final = ("psnr", "ms-ssim", "ssimulacra2", "lpips", "dists", "fid")
"""Of --metrics."""


def chosen_metrics(
    names: Sequence[str], features: Features | None = None
) -> tuple[tuple[Metric, ...], tuple[Unavailable, ...]]:
    """The metrics of these names, and those that cannot be had here with the reason.

    features: the network of ``lpips``, which is measured if there is one, named or not.  Raises ConfigError for unknown
    names and when nothing is left to measure.
    """
    wanted = list(dict.fromkeys(name.lower() for name in names))
    if features is not None and "lpips" not in wanted:
        wanted.append("lpips")
    found: list[Metric] = []
    missing: list[Unavailable] = []
    for name in wanted:
        try:
            found.append(_metric(name, features))
        except _Missing as exc:
            missing.append(Unavailable(key=name, reason=str(exc)))
    if not found:
        reasons = "; ".join(f"{each.key}: {each.reason}" for each in missing)
        raise ConfigError(f"nothing to measure ({reasons})", hint=f"--metrics takes {', '.join(NAMES)}")
    return tuple(found), tuple(missing)


def lpips_metric(features: Features) -> Metric:
    """LPIPS, or the distance of a network that has no LPIPS weights."""
    return Metric(
        key="lpips",
        label=perceptual_label(features),
        digits=4,
        lower_is_better=True,
        measure=lambda a, b: perceptual(a, b, features),
    )


class _Missing(Exception):
    """Why a metric cannot be had."""


def _metric(name: str, features: Features | None) -> Metric:
    if name == "psnr":
        return PSNR
    if name == "ms-ssim":
        _need("pytorch_msssim")
        return MS_SSIM
    if name == "ssimulacra2":
        _need("ssimulacra2")
        return SSIMULACRA2
    if name == "lpips":
        if features is not None:
            return lpips_metric(features)
        _need("lpips")
    try:
        if name == "lpips":
            return Metric(key="lpips", label="LPIPS (alex)", digits=4, lower_is_better=True, measure=load_lpips())
        if name == "dists":
            _need("torchmetrics")
            distance = load_dists()
            return Metric(key="dists", label="DISTS", digits=4, lower_is_better=True, measure=distance)
        if name == "fid":
            _need("torch_fidelity")
            whole = FrechetDistance(load_inception())
            return Metric(key="fid", label="FID", digits=2, lower_is_better=True, whole=whole)
    except GancodecError as exc:
        raise _Missing(exc.message) from exc
    raise ConfigError(f"no metric {name!r}", hint=f"known are {', '.join(NAMES)}")


def _need(module: str) -> None:
    if find_spec(module) is None:
        # torch-fidelity is in no extra of ours: it brings a package called `tests` along, which hides other people's.
        install = "pip install torch-fidelity" if module == "torch_fidelity" else INSTALL
        raise _Missing(f"needs {module.replace('_', '-')}; {install}")
