"""Products rounded to bfloat16: close in value and gradient, only where asked for, never in the precise layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gancodec.networks.blocks import Block, Pointwise, PrecisePointwise
from gancodec.networks.half import halves_well, product, use_half_products
from gancodec.networks.index import RoundedConv


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


def inputs(requires_grad: bool = False) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x, weight, bias = (
        torch.randn(shape, generator=generator) for shape in ((2, 24, 5, 3), (16, 24), (16,))
    )  # fmt: skip
    return tuple(each.requires_grad_(requires_grad) for each in (x, weight, bias))  # type: ignore[return-value]


def test_a_rounded_product_is_near_the_exact_one_and_not_equal() -> None:
    x, weight, bias = inputs()
    exact, rounded = product(x, weight, bias, half=False), product(x, weight, bias, half=True)
    assert rounded.shape == exact.shape == (2, 16, 5, 3)
    assert rounded.dtype == torch.float32
    assert 0 < relative(rounded, exact) < 2**-7


def test_the_bias_is_not_rounded() -> None:
    x, weight, bias = inputs()
    assert torch.equal(product(torch.zeros_like(x), weight, bias, half=True)[0, :, 0, 0], bias)


def test_gradients_are_near_the_exact_ones() -> None:
    gradients = []
    for half in (False, True):
        leaves = inputs(requires_grad=True)
        product(*leaves, half=half).square().sum().backward()  # type: ignore[no-untyped-call]
        gradients.append([leaf.grad for leaf in leaves])
    for exact, rounded in zip(*gradients, strict=True):
        assert rounded.dtype == torch.float32
        assert relative(rounded, exact) < 2**-6


def test_what_needs_no_gradient_gets_none() -> None:
    x, weight, bias = inputs()
    weight.requires_grad_()
    product(x, weight, bias, half=True).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is None and weight.grad is not None


@pytest.mark.parametrize("layer", [Pointwise(8, 8), Block(8), RoundedConv(8, 8)])
def test_layers_round_only_while_asked_to(layer: nn.Module) -> None:
    x = torch.randn(1, 8, 4, 4, generator=torch.Generator().manual_seed(2))

    def run() -> torch.Tensor:
        out = layer.apply_rounded(x, None, False) if isinstance(layer, RoundedConv) else layer(x)
        assert isinstance(out, torch.Tensor)
        return out

    before = run()
    use_half_products(layer)
    assert not torch.equal(run(), before)
    use_half_products(layer, use=False)
    assert torch.equal(run(), before)


def test_precise_layers_never_round() -> None:
    layer = PrecisePointwise(8, 8)
    x = torch.randn(1, 8, 4, 4)
    before = layer(x)
    use_half_products(layer)
    assert torch.equal(layer(x), before)


def test_the_index_network_stays_exact_where_it_is_rounded_to_integers() -> None:
    layer = RoundedConv(8, 8)
    x = torch.randint(-127, 128, (1, 8, 4, 4)) / 32
    before = layer.apply_rounded(x, None, True)
    use_half_products(layer)
    assert torch.equal(layer.apply_rounded(x, None, True), before)


def test_only_processors_with_the_instructions_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False, "amx_bf16": False}, raising=False)
    assert not halves_well(torch.device("cpu"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert halves_well(torch.device("cpu"))
    assert not halves_well(torch.device("cuda"))
