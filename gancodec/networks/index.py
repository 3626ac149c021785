"""The integer half of the prior, as it is trained: its float twin.

It sees only coded integers, q_z and the q so far, and says log σ₀, which chooses the table.  Weights are rounded to
int8 and activations to uint8 on request (``rounding=True``, straight-through gradients), with the very steps that
``integer.py`` executes in integers.  Everything is laid out for that: no residual sums, one activation step for all.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancodec.networks.blocks import QualityBias, shuffle
from gancodec.networks.config import CONTEXT_STEPS, PhotoConfig
from gancodec.networks.half import Halvable, product

STEPS_PER_UNIT = 32
"""Activations are multiples of 1/32: uint8 holds 0 … 7.97, the int8 inputs hold ±3.97."""
ACTIVATION_MAX = 255
INPUT_MAX = 127
WEIGHT_MAX = 127
SQUASH_GAIN = 30.0
SQUASH_SCALE = 0.625


def straight_through_round(x: Tensor) -> Tensor:
    """round(x) with the gradient of x."""
    return x + (x.round() - x).detach()


def squash_latent(symbols: Tensor, gain: Tensor) -> Tensor:
    """0.625·asinh(30·q/g): nearly logarithmic, so that a step of quality shifts it and does not change its shape."""
    return torch.asinh(symbols * (SQUASH_GAIN / gain)) * SQUASH_SCALE


def squash_hyper(symbols: Tensor) -> Tensor:
    """asinh(q_z); z has no gain."""
    return torch.asinh(symbols)


def round_input(x: Tensor) -> Tensor:
    """To multiples of 1/32 within ±127/32: the values an int8 look-up table can hold."""
    return straight_through_round(x * STEPS_PER_UNIT).clamp(-INPUT_MAX, INPUT_MAX) / STEPS_PER_UNIT


def round_weight(weight: Tensor) -> Tensor:
    """Per output channel to 255 levels: w -> s·round(w/s), s = max|w|/127."""
    scale = weight_scale(weight).view(-1, 1, 1, 1)
    return straight_through_round(weight / scale) * scale


def weight_scale(weight: Tensor) -> Tensor:
    """[out] the step of the int8 weights; never zero."""
    return (weight.detach().abs().flatten(1).amax(1) / WEIGHT_MAX).clamp(min=1e-8)


class RoundedConv(nn.Conv2d, Halvable):
    """A convolution whose weights can be rounded to int8, followed (unless ``last``) by the clipped activation."""

    def __init__(self, inputs: int, outputs: int, *, depthwise: bool = False, last: bool = False) -> None:
        if depthwise:
            super().__init__(inputs, outputs, 3, padding=1, groups=inputs)
        else:
            super().__init__(inputs, outputs, 1)
        self.last = last

    def apply_rounded(self, x: Tensor, extra_bias: Tensor | None, rounding: bool) -> Tensor:
        """``extra_bias``: [B, out, 1, 1], the bias of the quality at hand."""
        weight = round_weight(self.weight) if rounding else self.weight
        if self.kernel_size == (1, 1):
            x = product(x, weight.flatten(1), self.bias, half=self.half_product and not rounding)
        else:
            x = F.conv2d(x, weight, self.bias, padding=self.padding, groups=self.groups)
        if extra_bias is not None:
            x = x + extra_bias
        if self.last:
            return x
        x = F.hardtanh(x, 0.0, ACTIVATION_MAX / STEPS_PER_UNIT)
        return straight_through_round(x * STEPS_PER_UNIT) / STEPS_PER_UNIT if rounding else x


class IndexStep(nn.Module):
    """One context step: squashed known symbols and hyper features to log σ₀ of all channels (the caller masks)."""

    def __init__(self, config: PhotoConfig) -> None:
        super().__init__()
        width = config.index_width
        self.input = RoundedConv(config.latent_channels + width, width)
        self.bias = QualityBias(config.anchors, width)
        self.depthwise = RoundedConv(width, width, depthwise=True)
        self.expand = RoundedConv(width, 2 * width)
        self.output = RoundedConv(2 * width, config.latent_channels, last=True)
        with torch.no_grad():
            self.output.weight.mul_(0.1)
            assert self.output.bias is not None
            self.output.bias.zero_()

    def forward(self, features_BChw: Tensor, anchor_weights_BA: Tensor, rounding: bool) -> Tensor:
        x = self.input.apply_rounded(features_BChw, self.bias(anchor_weights_BA), rounding)
        x = self.depthwise.apply_rounded(x, None, rounding)
        x = self.expand.apply_rounded(x, None, rounding)
        return self.output.apply_rounded(x, None, rounding)


class IndexNetwork(nn.Module):
    """q_z, and q as far as it is known, to log σ₀ in the un-gained domain."""

    def __init__(self, config: PhotoConfig) -> None:
        super().__init__()
        width = config.index_width
        self.rounding = False
        self.hyper_input = RoundedConv(config.hyper_channels, width)
        self.hyper_bias = QualityBias(config.anchors, width)
        self.hyper_depthwise = RoundedConv(width, width, depthwise=True)
        self.hyper_up = RoundedConv(width, 16 * width)
        self.steps = nn.ModuleList(IndexStep(config) for _ in range(CONTEXT_STEPS))

    def hyper(self, symbols_z_BCuv: Tensor, anchor_weights_BA: Tensor) -> Tensor:
        """q_z [B, hyper_channels, h/4, w/4] -> features [B, width, h, w]."""
        x = squash_hyper(symbols_z_BCuv)
        if self.rounding:
            x = round_input(x)
        x = self.hyper_input.apply_rounded(x, self.hyper_bias(anchor_weights_BA), self.rounding)
        x = self.hyper_depthwise.apply_rounded(x, None, self.rounding)
        return shuffle(self.hyper_up.apply_rounded(x, None, self.rounding), 4)

    def step(
        self, number: int, symbols_BMhw: Tensor, gain_BM11: Tensor, hyper_BChw: Tensor, anchor_weights_BA: Tensor
    ) -> Tensor:
        """log σ₀ [B, M, h, w] of step ``number``; symbols are zero where not yet decoded."""
        known = squash_latent(symbols_BMhw, gain_BM11)
        if self.rounding:
            known = round_input(known)
        features = torch.cat((known, hyper_BChw), 1)
        log_scale: Tensor = self.steps[number](features, anchor_weights_BA, self.rounding)
        return log_scale
