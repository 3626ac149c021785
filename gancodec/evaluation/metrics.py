"""Rate, distortion and perceptual distance of one picture.

Axes: H rows, W columns, C channels.  Every measure states its data range; all are for 8-bit RGB as it would be read
back from disk, never for a network's float output, which rounds more kindly.
"""

from __future__ import annotations

import contextlib
import io
import math
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gancodec.errors import ConfigError, MissingModelError

if TYPE_CHECKING:
    from torch import Tensor

PEAK: Final = 255
"""Largest sample of 8 bits: the data range of every measure here."""
MS_SSIM_MIN_SIDE: Final = 161
"""Pixels.  Five scales halve the picture four times, and the 11-tap window must still fit: (11 − 1) · 2⁴ < side."""
SSIMULACRA2_MIN_SIDE: Final = 8
"""Pixels."""
LPIPS_MIN_SIDE: Final = 31
"""Pixels, of AlexNet."""
LPIPS_NETS: Final = ("alex", "squeeze")
"""Feature networks that have all taps and learned weights of LPIPS: the distances of others are not called that."""


class Features(Protocol):
    """The part of `gancodec.features.FeatureNetwork` that is measured with; tests have their own."""

    @property
    def name(self) -> str:
        """One of gancodec.networks.features.ARCHITECTURES."""

    @property
    def min_side_px(self) -> int:
        """Smallest height and width of a picture, in pixels."""

    def distance(self, x_BCHW: Tensor, y_BCHW: Tensor, /) -> Tensor:
        """RGB in [−1, 1], float32 [B, 3, H, W] -> how different two pictures look, [B]; 0 for equal ones."""


def bpp(size_bytes: int, width: int, height: int) -> float:
    """Rate in bits per pixel of a whole file of `size_bytes` bytes, header and metadata included.

    width, height: of the picture as its reader sees it, in pixels, without the codec's padding.
    Raises ConfigError unless all three make sense.
    """
    if size_bytes < 0 or width < 1 or height < 1:
        seen = f"{size_bytes} bytes for {width}x{height} pixels"
        raise ConfigError(f"no rate for {seen}", hint="give a file's size and its picture's sides")
    return 8 * size_bytes / (width * height)


def psnr(a_HWC: NDArray[np.uint8], b_HWC: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio 10·log10(255² / MSE) in dB; inf for equal pictures.

    a_HWC, b_HWC: uint8 RGB in 0..255, [H, W, 3], of one shape.  MSE is the mean over all samples of all three channels
    together, as CompressAI and most papers have it; the mean of three channels' PSNR would be a little higher.
    """
    _check_pair(a_HWC, b_HWC)
    difference = a_HWC.astype(np.int32) - b_HWC.astype(np.int32)
    mse = float(np.square(difference).mean(dtype=np.float64))
    return 10 * math.log10(PEAK**2 / mse) if mse > 0 else math.inf


def ms_ssim(a_HWC: NDArray[np.uint8], b_HWC: NDArray[np.uint8]) -> float | None:
    """Multi-scale structural similarity (Wang et al. 2003) in 0..1, linear, not in dB; 1 for equal pictures.

    a_HWC, b_HWC: uint8 RGB in 0..255, [H, W, 3], of one shape; data range 255; mean over the three channels, with the
    usual five scales.  None where a side is shorter than 161 pixels: the measure is not defined there.
    """
    _check_pair(a_HWC, b_HWC)
    if min(a_HWC.shape[:2]) < MS_SSIM_MIN_SIDE:
        return None
    try:
        import pytorch_msssim
        import torch
    except ImportError as exc:
        raise ConfigError(f"MS-SSIM needs {exc.name}", hint="pip install 'gancodec[eval]'") from exc
    # Always on the CPU, whatever device the codec uses: the figure must not depend on it.
    pair = [torch.tensor(picture_HWC).permute(2, 0, 1)[None].float() for picture_HWC in (a_HWC, b_HWC)]
    with torch.inference_mode():
        return float(pytorch_msssim.ms_ssim(*pair, data_range=PEAK))


def ms_ssim_db(value: float) -> float:
    """MS-SSIM v in 0..1 on a scale in dB, −10·log10(1 − v); inf for 1.  Differences near 1 become readable."""
    return -10 * math.log10(1 - value) if value < 1 else math.inf


def perceptual(a_HWC: NDArray[np.uint8], b_HWC: NDArray[np.uint8], features: Features) -> float | None:
    """How different two pictures look to a feature network on the CPU: 0 for equal pictures, lower is better.

    a_HWC, b_HWC: uint8 RGB in 0..255, [H, W, 3], of one shape; the network gets them as exact float32 in [−1, 1].
    LPIPS (Zhang et al. 2018, arXiv:1801.03924) for the networks in LPIPS_NETS.  None where a side is shorter than
    the network can take.
    """
    _check_pair(a_HWC, b_HWC)
    if min(a_HWC.shape[:2]) < features.min_side_px:
        return None
    import torch

    from gancodec.networks.exactness import exact_arithmetic

    x_1CHW, y_1CHW = (torch.tensor(picture_HWC).permute(2, 0, 1)[None] / 127.5 - 1 for picture_HWC in (a_HWC, b_HWC))
    with torch.inference_mode(), exact_arithmetic():
        return float(features.distance(x_1CHW, y_1CHW))


def ssimulacra2(a_HWC: NDArray[np.uint8], b_HWC: NDArray[np.uint8]) -> float | None:
    """SSIMULACRA2 (Sneyers 2022): 100 for equal pictures, about 90 where no difference is seen, 30 for low quality;
    may be below 0.

    a_HWC, b_HWC: uint8 sRGB in 0..255, [H, W, 3], of one shape; the first one is the original.  None where a side is
    shorter than 8 pixels.
    """
    _check_pair(a_HWC, b_HWC)
    if min(a_HWC.shape[:2]) < SSIMULACRA2_MIN_SIDE:
        return None
    from ssimulacra2 import compute_ssimulacra2

    files = []
    for picture_HWC in (a_HWC, b_HWC):
        files.append(io.BytesIO())
        Image.fromarray(picture_HWC).save(files[-1], format="BMP")
    with np.errstate(all="ignore"):
        return float(compute_ssimulacra2(*files))


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without torchvision's warnings on how it is called, and with torch.hub's news of downloads on standard error."""
    with warnings.catch_warnings(action="ignore"), contextlib.redirect_stdout(sys.stderr):
        yield


def load_lpips() -> Callable[[NDArray[np.uint8], NDArray[np.uint8]], float | None]:
    """LPIPS (Zhang et al. 2018, arXiv:1801.03924) of two pictures by the lpips package with AlexNet.

    Raises MissingModelError where torchvision's weights of AlexNet are not there and cannot be downloaded.
    """
    import lpips
    import torch

    try:
        with quietly():
            network = lpips.LPIPS(net="alex", verbose=False).eval()
    except (OSError, RuntimeError) as exc:
        raise MissingModelError(f"the weights of AlexNet cannot be had: {exc}; or give --features PATH") from exc

    def distance(a_HWC: NDArray[np.uint8], b_HWC: NDArray[np.uint8]) -> float | None:
        _check_pair(a_HWC, b_HWC)
        if min(a_HWC.shape[:2]) < LPIPS_MIN_SIDE:
            return None
        pair = [torch.tensor(picture_HWC).permute(2, 0, 1)[None] / 127.5 - 1 for picture_HWC in (a_HWC, b_HWC)]
        with torch.inference_mode():
            return float(network(*pair))

    return distance


def load_dists() -> Callable[[NDArray[np.uint8], NDArray[np.uint8]], float | None]:
    """DISTS (Ding et al. 2020, arXiv:2004.07728) of two pictures, 0 for equal ones, by torchmetrics.

    Raises MissingModelError where the weights of its VGG16 are not there and cannot be downloaded.
    """
    import torch
    from torchmetrics.image.dists import DeepImageStructureAndTextureSimilarity

    try:
        with quietly():
            network = DeepImageStructureAndTextureSimilarity()
            network(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64))  # loads the weights
    except (OSError, RuntimeError, ImportError) as exc:
        raise MissingModelError(f"the weights of DISTS' VGG16 cannot be had: {exc}") from exc

    def distance(a_HWC: NDArray[np.uint8], b_HWC: NDArray[np.uint8]) -> float | None:
        _check_pair(a_HWC, b_HWC)
        pair = [torch.tensor(picture_HWC).permute(2, 0, 1)[None] / PEAK for picture_HWC in (a_HWC, b_HWC)]
        with torch.inference_mode():
            network.reset()
            return float(network(*pair))

    return distance


def perceptual_label(features: Features) -> str:
    """What `perceptual` measures with this network, as tables call it."""
    return f"LPIPS ({features.name})" if features.name in LPIPS_NETS else f"distance ({features.name})"


def _check_pair(a_HWC: NDArray[np.uint8], b_HWC: NDArray[np.uint8]) -> None:
    for array in (a_HWC, b_HWC):
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
            seen = f"{array.dtype} of shape {array.shape}"
            raise ConfigError(f"cannot measure {seen}", hint="give 8-bit RGB: uint8 [H, W, 3] in 0..255")
    if a_HWC.shape != b_HWC.shape:
        raise ConfigError(f"the pictures are {a_HWC.shape} and {b_HWC.shape}", hint="compare pictures of one size")
