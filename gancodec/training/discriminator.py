"""The patch discriminators of the realism stage; never shipped.

One small network per scale looks at the picture, at its half and at its quarter, and judges every patch; on request
each also sees the latent from which the picture was made, and can then punish what is realistic but not this picture.

Axes: B batch, C channels, H W pixels, M channels of the latent, h w its rows and columns (H/16, W/16, rounded up).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from gancodec.errors import ConfigError

LEAK = 0.2
CONDITION_WIDTH = 12
CONDITION_STRIDE = 16
QUIET_GAIN = 0.25
"""Of the last layer, so that logits start near 0, undecided; of the condition's layer, so that latents, larger and in
more channels than the picture, do not drown it.  Without effect under spectral norm."""


class ScaleOutput(NamedTuple):
    logits: Tensor
    """[B, 1, ·, ·], the raw judgement of each patch: no sigmoid."""
    features: tuple[Tensor, ...]
    """The activations after each hidden layer, [B, width, ·, ·], for feature matching."""


class Convolution(nn.Conv2d):
    """A convolution whose weight is computed outside autocast.

    Spectral norm iterates with matrix–vector products.  Autocast would round them to half precision, and with them the
    estimated norm and the vectors that are kept from step to step.
    """

    def forward(self, x_BCHW: Tensor) -> Tensor:
        with torch.autocast(x_BCHW.device.type, enabled=False):
            weight = self.weight
        y: Tensor = self._conv_forward(x_BCHW, weight, self.bias)
        return y


def convolution(inputs: int, outputs: int, kernel: int, *, stride: int = 1, gain: float, spectral: bool) -> Convolution:
    """Padded by 1 if the kernel is larger than 1.  Weights have the variance gain²/fan-in, biases start at 0.

    There is no normalisation layer that would set the activations' size, so it has to be right from the start: with
    torch's own initialisation every layer would shrink them, and feature matching with them.

    ``spectral``: the weight, as a matrix [outputs, inputs·kernel²], has the largest singular value 1 (Miyato et al.
    2018, arXiv:1802.05957).  That bounds the convolution's slope up to a factor for the overlap of its windows.
    """
    layer = Convolution(inputs, outputs, kernel, stride=stride, padding=min(kernel - 1, 1))
    nn.init.normal_(layer.weight, std=gain * (inputs * kernel * kernel) ** -0.5)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    if spectral:
        spectral_norm(layer)  # in place
    return layer


class PatchDiscriminator(nn.Module):
    """picture ── 4×4 ↓2, leaky ──► … ── 4×4 ↓2, leaky ──► 4×4 ──► logits   (PatchGAN, arXiv:1611.07004)

    Each hidden layer halves the sides, rounding down; the last convolution makes them smaller by 1.
    """

    def __init__(self, inputs: int, widths: Sequence[int], *, spectral: bool) -> None:
        super().__init__()
        gain = nn.init.calculate_gain("leaky_relu", LEAK)
        self.hidden = nn.ModuleList(
            convolution(before, after, 4, stride=2, gain=gain, spectral=spectral)
            for before, after in pairwise((inputs, *widths))
        )
        self.output = convolution(widths[-1], 1, 4, gain=QUIET_GAIN, spectral=spectral)

    def forward(self, x_BCHW: Tensor) -> ScaleOutput:
        features: list[Tensor] = []
        x = x_BCHW
        for layer in self.hidden:
            x = F.leaky_relu(layer(x), LEAK)
            features.append(x)
        return ScaleOutput(self.output(x), tuple(features))


class MultiScaleDiscriminator(nn.Module):
    """A PatchDiscriminator per scale, the full size first (Wang et al. 2018, pix2pixHD, arXiv:1711.11585).

    Differs from pix2pixHD: smaller, without instance norm (which would hide a wrong contrast), halved by 2×2 means.

    With ``condition_channels`` = M > 0 every scale also sees the latent: asinh, a learned 1×1 to 12 channels, repeated
    16×16 times, concatenated to the picture (Mentzer et al. 2020, HiFiC, arXiv:2006.09965).  As in HiFiC no gradient
    goes back into the latent: it is the question, not the answer.
    """

    def __init__(
        self,
        *,
        widths: tuple[int, ...] = (32, 64, 128),
        scales: int = 3,
        spectral: bool = False,
        condition_channels: int = 0,
    ) -> None:
        super().__init__()
        if not widths or min(widths) < 1:
            raise ConfigError(f"widths are {widths}", hint="give the channels of at least one hidden layer")
        if scales < 1:
            raise ConfigError(f"scales is {scales}", hint="use at least 1")
        if condition_channels < 0:
            raise ConfigError(f"condition_channels is {condition_channels}", hint="0 means that no latent is shown")
        self.condition_channels = condition_channels
        self.minimum_side = 2 ** (scales + len(widths))
        """Shortest side of a picture in pixels: the smallest scale's last hidden map is then 2×2 and judges 1 patch."""
        self.condition = (
            convolution(condition_channels, CONDITION_WIDTH, 1, gain=QUIET_GAIN, spectral=spectral)
            if condition_channels
            else None
        )
        inputs = 3 + (CONDITION_WIDTH if condition_channels else 0)
        self.scales = nn.ModuleList(PatchDiscriminator(inputs, widths, spectral=spectral) for _ in range(scales))

    def forward(self, picture_BCHW: Tensor, condition_BMhw: Tensor | None = None) -> list[ScaleOutput]:
        """Judge pictures [B, 3, H, W] in [−1, 1], of any size with sides of ``minimum_side`` or more.

        condition: the latent ŷ₀ before gains, [B, M, ⌈H/16⌉, ⌈W/16⌉], if and only if the network has
        ``condition_channels``.  Returns one output per scale, the full-size one first.
        """
        if picture_BCHW.ndim != 4 or picture_BCHW.shape[1] != 3:
            raise ConfigError(f"picture has the shape {tuple(picture_BCHW.shape)}", hint="pass [B, 3, H, W]")
        if min(picture_BCHW.shape[2:]) < self.minimum_side:
            height, width = picture_BCHW.shape[2:]
            raise ConfigError(f"picture is {width}×{height}", hint=f"sides must be {self.minimum_side} px or more")
        x = self._with_condition(picture_BCHW, condition_BMhw)
        outputs: list[ScaleOutput] = []
        for scale, network in enumerate(self.scales):
            x = F.avg_pool2d(x, 2) if scale else x
            outputs.append(network(x))
        return outputs

    def _with_condition(self, picture_BCHW: Tensor, condition_BMhw: Tensor | None) -> Tensor:
        if self.condition is None:
            if condition_BMhw is not None:
                raise ConfigError("a condition was passed", hint="build the discriminator with condition_channels")
            return picture_BCHW
        batch, _, height, width = picture_BCHW.shape
        wanted = (batch, self.condition_channels, -(-height // CONDITION_STRIDE), -(-width // CONDITION_STRIDE))
        if condition_BMhw is None:
            raise ConfigError("no condition was passed", hint=f"pass the latent, {wanted}")
        if condition_BMhw.shape != wanted:
            raise ConfigError(f"condition has the shape {tuple(condition_BMhw.shape)}", hint=f"pass {wanted}")
        # asinh: a few latents are in the hundreds, where only their order of magnitude matters.
        seen = self.condition(torch.asinh(condition_BMhw.detach()))
        seen = F.interpolate(seen, scale_factor=CONDITION_STRIDE, mode="nearest")
        return torch.cat((picture_BCHW, seen[:, :, :height, :width]), dim=1)
