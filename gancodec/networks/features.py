"""Frozen image classifiers, tapped at several depths, and perceptual distances: a training loss and the metric LPIPS.

Axes: B batch, C channels, H W pixels of the picture, h w rows and columns of a tap.  Tensors of a network are named
``stages.I.J.weight``, ``stages.I.J.bias`` and ``heads.I``; stage I ends with tap I.  This file knows no files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancodec.errors import ConfigError, WrongModelError

EPSILON: Final = 1e-10
"""Added to a squared length before its root: at zero features the gradient stays finite."""


class ReluConv(nn.Conv2d):
    """A convolution followed by ReLU."""

    def forward(self, x_BChw: Tensor) -> Tensor:
        return F.relu(super().forward(x_BChw))


class Fire(nn.Module):
    """SqueezeNet's block: 1×1 to few channels, then 1×1 and 3×3 side by side, concatenated (arXiv:1602.07360)."""

    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = ReluConv(inputs, squeezed, 1)
        self.expand1x1 = ReluConv(squeezed, expanded, 1)
        self.expand3x3 = ReluConv(squeezed, expanded, 3, padding=1)

    def forward(self, x_BChw: Tensor) -> Tensor:
        squeezed = self.squeeze(x_BChw)
        return torch.cat((self.expand1x1(squeezed), self.expand3x3(squeezed)), 1)


Stages = list[list[nn.Module]]


def alex_stages() -> Stages:
    """AlexNet as torchvision has it (arXiv:1404.5997): relu1 … relu5."""
    return [
        [ReluConv(3, 64, 11, stride=4, padding=2)],
        [nn.MaxPool2d(3, 2), ReluConv(64, 192, 5, padding=2)],
        [nn.MaxPool2d(3, 2), ReluConv(192, 384, 3, padding=1)],
        [ReluConv(384, 256, 3, padding=1)],
        [ReluConv(256, 256, 3, padding=1)],
    ]


def squeeze_stages() -> Stages:
    """SqueezeNet 1.1 as torchvision has it: conv1, fire3, fire5, fire6, fire7, fire8, fire9."""
    return [
        [ReluConv(3, 64, 3, stride=2)],
        [nn.MaxPool2d(3, 2, ceil_mode=True), Fire(64, 16, 64), Fire(128, 16, 64)],
        [nn.MaxPool2d(3, 2, ceil_mode=True), Fire(128, 32, 128), Fire(256, 32, 128)],
        [nn.MaxPool2d(3, 2, ceil_mode=True), Fire(256, 48, 192)],
        [Fire(384, 48, 192)],
        [Fire(384, 64, 256)],
        [Fire(512, 64, 256)],
    ]


def vgg_stages(plan: str, *, ceil_mode: bool = False) -> Stages:
    """VGG (arXiv:1409.1556) from a plan: a digit d is a 3×3 convolution to 64·d channels, P a 2×2 pool, a space a tap.

    ceil_mode: pools keep an odd last row and column, as Caffe's do; torchvision's drop them.
    """
    stages: Stages = []
    inputs = 3
    for word in plan.split():
        stage: list[nn.Module] = []
        for letter in word:
            if letter == "P":
                stage.append(nn.MaxPool2d(2, 2, ceil_mode=ceil_mode))
            else:
                stage.append(ReluConv(inputs, 64 * int(letter), 3, padding=1))
                inputs = 64 * int(letter)
        stages.append(stage)
    return stages


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """One kind of feature network: its layers, what it wants as input, and how its taps make a distance."""

    stages: Callable[[], Stages]
    """Makes the layers; the last one of every stage is tapped."""
    tap_channels: tuple[int, ...]
    min_side_px: int
    """Smallest height and width, in pixels, that leave something at the last tap."""
    mean_RGB: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Of pictures in [0, 1]; the default is ImageNet's, as torchvision has it."""
    deviation_RGB: tuple[float, float, float] = (0.229, 0.224, 0.225)
    learned_heads: bool = False
    """Whether LPIPS has learned a weight per channel; without, all channels of all taps weigh 1 / taps."""
    tap_weights: tuple[float, ...] = ()
    """If given, the distance is not LPIPS' but the L1 distance of the plain taps with these weights."""


ARCHITECTURES: Final[Mapping[str, Architecture]] = {
    "alex": Architecture(
        stages=alex_stages, tap_channels=(64, 192, 384, 256, 256), min_side_px=31, learned_heads=True
    ),
    "squeeze": Architecture(
        stages=squeeze_stages, tap_channels=(64, 128, 256, 384, 384, 512, 512), min_side_px=17, learned_heads=True
    ),
    # The first two of LPIPS-vgg's five taps: relu1_2, relu2_2.
    "vgg16low": Architecture(
        stages=lambda: vgg_stages("11 P22"), tap_channels=(64, 128), min_side_px=2, learned_heads=True
    ),
    # Fine-tuned for edges (HED, Xie & Tu 2015, arXiv:1504.06375): relu1_2, relu2_2, relu3_3, relu4_3.
    "vgg16hed": Architecture(
        stages=lambda: vgg_stages("11 P22 P444 P888", ceil_mode=True),
        tap_channels=(64, 128, 256, 512),
        min_side_px=1,
        mean_RGB=(122.67892 / 255, 116.66877 / 255, 104.00699 / 255),  # Caffe's, and no division by a deviation
        deviation_RGB=(1 / 255, 1 / 255, 1 / 255),
    ),
    # Taps relu1_1 … relu5_1 and weights of pix2pixHD (Wang et al. 2018, arXiv:1711.11585; its code, `VGGLoss`).
    "vgg19": Architecture(
        stages=lambda: vgg_stages("1 1P2 2P4 444P8 888P8"),
        tap_channels=(64, 128, 256, 512, 512),
        min_side_px=16,
        tap_weights=(1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0),
    ),
}
"""Feature networks by name."""


class FeatureNetwork(nn.Module):
    """A frozen network: its parameters never learn, but gradients pass through it to the pictures.

    name: one of ARCHITECTURES.  tensors: weights, biases and heads by their names, floating point of any width; they
    are copied to float32.  Raises ConfigError for an unknown name, WrongModelError if tensors are missing, left over,
    of a wrong shape or type, or not finite.  No random numbers are drawn.
    """

    shift_1C11: Tensor
    scale_1C11: Tensor

    def __init__(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        if name not in ARCHITECTURES:
            raise ConfigError(f"{name!r} is no feature network", hint=f"known ones: {', '.join(ARCHITECTURES)}")
        self.name = name
        self.architecture = ARCHITECTURES[name]
        taps = len(self.architecture.tap_channels)
        with torch.device("meta"):  # without memory, and without moving the caller's random numbers
            self.stages = nn.ModuleList(nn.Sequential(*stage) for stage in self.architecture.stages())
            self.heads = nn.ParameterList()
            if self.architecture.learned_heads:
                self.heads.extend(nn.Parameter(torch.empty(width)) for width in self.architecture.tap_channels)
        self._check(tensors)
        copies = {key: value.detach().to(torch.float32, copy=True).contiguous() for key, value in tensors.items()}
        self.load_state_dict(copies, strict=True, assign=True)
        if not self.architecture.learned_heads and not self.architecture.tap_weights:
            self.heads.extend(nn.Parameter(torch.full((w,), 1 / taps)) for w in self.architecture.tap_channels)
        # (p + 1) / 2 brings p in [−1, 1] to the range of mean and deviation: together the scaling layer of LPIPS.
        mean_1C11 = torch.tensor(self.architecture.mean_RGB).view(1, 3, 1, 1)
        deviation_1C11 = torch.tensor(self.architecture.deviation_RGB).view(1, 3, 1, 1)
        self.register_buffer("shift_1C11", 2 * mean_1C11 - 1, persistent=False)
        self.register_buffer("scale_1C11", 2 * deviation_1C11, persistent=False)
        self.eval().requires_grad_(False)

    @property
    def min_side_px(self) -> int:
        """Smallest height and width of a picture, in pixels."""
        return self.architecture.min_side_px

    def taps(self, picture_BCHW: Tensor) -> list[Tensor]:
        """Feature maps [B, C, h, w] after the ReLU of each stage, shallow to deep.

        picture_BCHW: RGB in [−1, 1], floating point, [B, 3, H, W]; values beyond are not clamped.
        Raises ConfigError for another shape or type, or a side below ``min_side_px``.
        """
        self._check_picture(picture_BCHW)
        x = (picture_BCHW - self.shift_1C11) / self.scale_1C11
        taps = []
        for stage in self.stages:
            x = stage(x)
            taps.append(x)
        return taps

    def distance(self, x_BCHW: Tensor, y_BCHW: Tensor) -> Tensor:
        """How different two pictures look, per picture: [B], float32, 0 for equal ones.

        LPIPS, Zhang et al. 2018, arXiv:1801.03924:  d = Σ_l mean_hw Σ_c head_lc·(x̂_lc − ŷ_lc)², where x̂_l is tap l of
        x divided by its length over the channels.  For vgg19 the perceptual loss of pix2pixHD, arXiv:1711.11585:
        d = Σ_l w_l·mean|x_l − y_l|; unlike theirs, on pictures normalised as torchvision's weights want them.

        x_BCHW, y_BCHW: RGB in [−1, 1], [B, 3, H, W], of one shape.  Symmetric: gradients reach each that wants one.
        Raises ConfigError as ``taps`` does, and for pictures of two shapes.
        """
        if x_BCHW.shape != y_BCHW.shape:
            seen = f"{tuple(x_BCHW.shape)} and {tuple(y_BCHW.shape)}"
            raise ConfigError(f"the pictures are {seen}", hint="compare pictures of one size")
        # Half precision of an autocast region would lose small differences: from here on float32.
        pairs = [(a.float(), b.float()) for a, b in zip(self.taps(x_BCHW), self.taps(y_BCHW), strict=True)]
        if weights := self.architecture.tap_weights:
            terms = [w * (a - b).abs().mean((1, 2, 3)) for w, (a, b) in zip(weights, pairs, strict=True)]
        else:
            terms = [
                ((unit_length(a) - unit_length(b)).square().mean((2, 3)) * head_C).sum(1)
                for head_C, (a, b) in zip(self.heads, pairs, strict=True)
            ]
        return torch.stack(terms).sum(0)

    def forward(self, x_BCHW: Tensor, y_BCHW: Tensor) -> Tensor:
        """``distance``, for those who wrap modules."""
        return self.distance(x_BCHW, y_BCHW)

    def _check(self, tensors: Mapping[str, Tensor]) -> None:
        wanted = {key: tuple(value.shape) for key, value in self.state_dict().items()}
        hint = f"expected the {len(wanted)} tensors of {self.name!r}"
        if missing := sorted(wanted.keys() - tensors.keys()):
            raise WrongModelError(f"{self.name} lacks {named(missing)}", hint=hint)
        if surplus := sorted(tensors.keys() - wanted.keys()):
            raise WrongModelError(f"{self.name} has no use for {named(surplus)}", hint=hint)
        for key, value in tensors.items():
            if tuple(value.shape) != wanted[key]:
                seen = f"{key} of shape {tuple(value.shape)}, not {wanted[key]}"
                raise WrongModelError(f"{self.name} got {seen}", hint=hint)
            if not value.is_floating_point() or not bool(torch.isfinite(value.float()).all()):
                raise WrongModelError(f"{self.name}: {key} ({value.dtype}) does not hold finite floats", hint=hint)

    def _check_picture(self, picture_BCHW: Tensor) -> None:
        if picture_BCHW.ndim != 4 or picture_BCHW.shape[1] != 3 or not picture_BCHW.is_floating_point():
            seen = f"{picture_BCHW.dtype} of shape {tuple(picture_BCHW.shape)}"
            raise ConfigError(f"features of {seen}", hint="give RGB in [-1, 1]: floating point, [B, 3, H, W]")
        height, width = picture_BCHW.shape[2:]
        if min(height, width) < self.min_side_px:
            raise ConfigError(
                f"a picture of {width}x{height} pixels is too small for {self.name}",
                hint=f"its sides must be at least {self.min_side_px} pixels",
            )


def unit_length(x_BChw: Tensor) -> Tensor:
    """The channel vector of each place divided by its length; ε inside the root, so that zero stays zero, smoothly."""
    return x_BChw * torch.rsqrt(x_BChw.square().sum(1, keepdim=True) + EPSILON)


def named(keys: list[str]) -> str:
    """The first of some names, and how many more there are: a message stays one line."""
    return keys[0] if len(keys) == 1 else f"{keys[0]} and {len(keys) - 1} more"
