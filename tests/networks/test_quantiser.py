"""The soft-to-hard quantiser of ``extreme``: hard values forward, the soft assignment's gradient backward."""

from __future__ import annotations

import torch

from gancodec.networks.extreme import SHARPNESS, ExtremeModel, soft_to_hard
from tests.tiny import TINY_EXTREME, made_picture, make_tiny_extreme_model

CENTRES = torch.arange(-2.0, 3.0)


def soft(y: torch.Tensor) -> torch.Tensor:
    """Σ c·softmax(−σ·(y − c)²), written out."""
    weight = torch.exp(-SHARPNESS * (y[:, None] - CENTRES) ** 2)
    return (weight * CENTRES).sum(1) / weight.sum(1)


def test_every_centre_is_reachable_and_nothing_else_is() -> None:
    y = torch.linspace(-5, 5, 1001)
    assert soft_to_hard(y).unique().tolist() == CENTRES.tolist()
    assert torch.equal(soft_to_hard(torch.tensor([-1e9, -0.49, 0.51, 1e9])), torch.tensor([-2.0, 0.0, 1.0, 2.0]))


def test_every_centre_occurs_on_photographs() -> None:
    model = make_tiny_extreme_model()
    pictures = [torch.from_numpy(made_picture(seed, 128, 128)).permute(2, 0, 1)[None] / 127.5 - 1 for seed in range(6)]
    from gancodec.networks.blocks import unshuffle

    with torch.no_grad():
        symbols = torch.cat([model(unshuffle(picture, 8)).symbols_BChw.flatten() for picture in pictures])
    assert symbols.unique().tolist() == CENTRES.tolist()


def test_gradient_is_that_of_the_soft_assignment() -> None:
    y = torch.linspace(-3, 3, 61, requires_grad=True)
    hard = soft_to_hard(y)
    hard.sum().backward()
    again = y.detach().double().requires_grad_(True)
    soft(again).sum().backward()
    assert y.grad is not None and again.grad is not None
    torch.testing.assert_close(y.grad, again.grad.float(), rtol=1e-3, atol=1e-5)
    inside = y.detach().abs() < 2
    assert (y.grad[inside] > 1e-3).all()  # steep between centres, flat at them, nowhere dead


def test_gradient_reaches_the_encoders_first_layer_at_the_start() -> None:
    """With last layers at zero, as training begins: after the first step of the last layer, at the latest."""
    torch.manual_seed(0)
    model = ExtremeModel(TINY_EXTREME)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        patches = torch.rand(2, 192, 8, 8) * 2 - 1
        optimiser.zero_grad()
        (model(patches).patches_BChw - patches).square().mean().backward()
        optimiser.step()
    first = model.encoder.input.weight.grad
    assert first is not None and first.abs().sum() > 0
