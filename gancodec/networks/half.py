"""Training twice as fast on processors that multiply bfloat16: only the matrix products are rounded.

Autocast on a CPU loses more than it gains, for it takes depthwise convolutions and everything between the products
along (docs/decisions/0004).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Halvable(nn.Module):
    """A layer that is a matrix product and may be asked to round it."""

    half_product = False
    is_precise = False
    """Whether its results are pixels, or latents, in which rounding shows."""


def use_half_products(*networks: nn.Module, use: bool = True, everywhere: bool = False) -> None:
    """Let all layers of these networks that can round their products do so, or no longer.

    everywhere: whether also those where it shows.
    """
    for network in networks:
        for module in network.modules():
            if isinstance(module, Halvable):
                module.half_product = use and (everywhere or not module.is_precise)


def halves_well(device: torch.device) -> bool:
    """Whether the processor has instructions for products of bfloat16; always False on other devices."""
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def product(x_BChw: Tensor, weight_OC: Tensor, bias_O: Tensor | None, *, half: bool) -> Tensor:
    """A 1×1 convolution, computed as the matrix product that it is: [B, C, h, w] -> [B, O, h, w].

    torch picks slow paths for 1×1 convolutions of one picture on one thread; the product is fast everywhere as long as
    the memory is channels_last.  ``half``: operands and result, there and in the gradients, are rounded to bfloat16.
    """
    x_BhwC = x_BChw.permute(0, 2, 3, 1)
    if not half:
        return F.linear(x_BhwC, weight_OC, bias_O).permute(0, 3, 1, 2)
    rounded: Tensor = _HalfProduct.apply(x_BhwC, weight_OC)
    return (rounded if bias_O is None else rounded + bias_O).permute(0, 3, 1, 2)


class _HalfProduct(torch.autograd.Function):
    """x·Wᵀ, float32 on both ends."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        rows, half_weight = x.flatten(0, -2).bfloat16(), weight.bfloat16()
        ctx.save_for_backward(rows, half_weight)
        ctx.shape = x.shape
        return (rows @ half_weight.t()).float().view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        rows, half_weight = ctx.saved_tensors
        half_gradient = gradient.flatten(0, -2).bfloat16()
        of_x = (half_gradient @ half_weight).float().view(ctx.shape) if ctx.needs_input_grad[0] else None
        of_weight = (half_gradient.t() @ rows).float() if ctx.needs_input_grad[1] else None
        return of_x, of_weight
