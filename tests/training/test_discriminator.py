"""The patch discriminators: shapes, scales, condition, spectral norm and where gradients go."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gancodec.errors import ConfigError
from gancodec.training.discriminator import Convolution, MultiScaleDiscriminator, PatchDiscriminator

WIDTHS = (4, 6, 8)


def made(**options: object) -> MultiScaleDiscriminator:
    torch.manual_seed(0)
    return MultiScaleDiscriminator(**{"widths": WIDTHS, **options})  # type: ignore[arg-type]


def picture(height: int, width: int, *, batch: int = 2) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


def latent(rows: int, columns: int, *, batch: int = 2, channels: int = 5) -> Tensor:
    return torch.randn(batch, channels, rows, columns, generator=torch.Generator().manual_seed(2)) * 10


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 128), (65, 111), (127, 97)])
def test_each_scale_halves_the_picture_and_each_hidden_layer_the_map(height: int, width: int) -> None:
    outputs = made()(picture(height, width))
    assert len(outputs) == 3
    for scale, output in enumerate(outputs):
        sides = [(height >> (scale + depth), width >> (scale + depth)) for depth in (1, 2, 3)]
        assert [f.shape for f in output.features] == [(2, w, *s) for w, s in zip(WIDTHS, sides, strict=True)]
        assert output.logits.shape == (2, 1, sides[-1][0] - 1, sides[-1][1] - 1)


@pytest.mark.parametrize("scales", [1, 2, 4])
def test_number_of_scales_and_smallest_picture_go_together(scales: int) -> None:
    network = made(scales=scales)
    side = network.minimum_side
    assert side == 2 ** (3 + scales)
    outputs = network(picture(side, side))
    assert len(outputs) == scales and outputs[-1].logits.shape == (2, 1, 1, 1)
    with pytest.raises(ConfigError, match=f"{side} px or more"):
        network(picture(side - 1, 2 * side))


def test_scales_are_separate_networks_and_the_first_sees_the_full_size() -> None:
    network, x = made(), picture(64, 64)
    before = network(x)
    with torch.no_grad():
        for parameter in network.scales[0].parameters():
            parameter.zero_()
    after = network(x)
    assert not after[0].logits.any() and before[0].logits.any()
    assert torch.equal(before[1].logits, after[1].logits) and torch.equal(before[2].logits, after[2].logits)


def test_a_change_at_the_finest_detail_is_seen_by_the_full_scale_alone() -> None:
    network, x = made(), picture(64, 64)
    checkers = 0.1 * (1 - 2 * ((torch.arange(64)[:, None] + torch.arange(64)) % 2))  # its 2×2 means are 0
    before, after = network(x), network(x + checkers)
    change = [(a.logits - b.logits).abs().max().item() for a, b in zip(before, after, strict=True)]
    assert change[0] > 1e-3 and max(change[1:]) < 1e-4


def test_logits_are_raw_and_features_are_behind_the_leaky_relu() -> None:
    network, x = made(scales=1), picture(64, 64)
    output = network(x)[0]
    patches = network.scales[0]
    assert isinstance(patches, PatchDiscriminator)
    hidden = patches.hidden[0](x)
    torch.testing.assert_close(output.features[0], torch.where(hidden > 0, hidden, 0.2 * hidden))
    torch.testing.assert_close(output.logits, patches.output(output.features[-1]))


@pytest.mark.parametrize("channels", [0, 5])
def test_activations_keep_their_size_through_the_layers(channels: int) -> None:
    """Without a normalisation layer the start decides it, and with it how much feature matching weighs."""
    network = made(widths=(32, 64, 128), condition_channels=channels)
    outputs = network(picture(128, 128), latent(8, 8) if channels else None)
    for output in outputs:
        sizes = [f.square().mean().sqrt().item() for f in output.features]
        assert max(sizes) < 2.5 * min(sizes)
        assert output.logits.square().mean().sqrt() < 0.5


def test_condition_changes_the_judgement_at_every_scale() -> None:
    network, x, y = made(condition_channels=5), picture(64, 96), latent(4, 6)
    for one, two in zip(network(x, y), network(x, -y), strict=True):
        assert not torch.allclose(one.logits, two.logits)


def test_condition_lies_on_the_pixels_it_was_made_from() -> None:
    network, x, y = made(condition_channels=5, scales=1), picture(80, 65), latent(5, 5)
    moved = y.clone()
    moved[:, :, 1, 4] += 5  # pixels 16..31 down, column 64 across
    change = (network._with_condition(x, y) - network._with_condition(x, moved)).abs().amax((0, 1))
    assert change.shape == (80, 65)
    rows, columns = change.nonzero(as_tuple=True)
    assert set(rows.tolist()) == set(range(16, 32)) and set(columns.tolist()) == {64}


def test_missing_unexpected_and_misshapen_conditions_are_refused() -> None:
    x, y = picture(64, 80), latent(4, 5)
    with pytest.raises(ConfigError, match="no condition was passed"):
        made(condition_channels=5)(x)
    with pytest.raises(ConfigError, match="a condition was passed"):
        made()(x, y)
    for wrong in (y[:1], y[:, :4], y[:, :, :3], y[0]):
        with pytest.raises(ConfigError, match="condition has the shape"):
            made(condition_channels=5)(x, wrong)


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64)])
def test_pictures_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="picture has the shape"):
        made()(torch.zeros(shape))


@pytest.mark.parametrize(
    "wrong", [{"widths": ()}, {"widths": (4, 0)}, {"scales": 0}, {"condition_channels": -1}], ids=str
)
def test_impossible_configuration_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        made(**wrong)


@pytest.mark.parametrize("spectral", [False, True])
def test_gradient_reaches_the_picture_and_every_parameter_but_not_the_latent(spectral: bool) -> None:
    network = made(condition_channels=5, spectral=spectral)
    x, y = picture(64, 64).requires_grad_(), latent(4, 4).requires_grad_()
    torch.stack([output.logits.square().mean() for output in network(x, y)]).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None and (x.grad != 0).float().mean() > 0.9
    assert y.grad is None
    assert not [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]


@pytest.mark.parametrize("spectral", [False, True])
def test_frozen_discriminator_still_leads_the_picture(spectral: bool) -> None:
    """The generator's step: D's parameters take no gradient, x̂ does; the latent needs none."""
    network = made(condition_channels=5, spectral=spectral).requires_grad_(False)
    x = picture(64, 64).requires_grad_()
    network(x, latent(4, 4))[2].logits.sum().backward()
    assert x.grad is not None and x.grad.any()
    assert all(p.grad is None for p in network.parameters())


def test_spectral_norm_bounds_every_convolution() -> None:
    network = made(condition_channels=5, spectral=True)
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert len(layers) == 1 + 3 * (len(WIDTHS) + 1)
    with torch.no_grad():
        for layer in layers:
            layer.parametrizations.weight.original.mul_(50)  # type: ignore[union-attr, operator]
        for _ in range(60):
            network(picture(64, 64), latent(4, 4))
    network.eval()
    largest = [torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2).item() for layer in layers]
    assert largest == pytest.approx([1.0] * len(layers), abs=0.02)


def test_without_spectral_norm_there_is_none() -> None:
    assert not any(nn.utils.parametrize.is_parametrized(layer) for layer in made().modules())


def test_real_and_fake_may_be_judged_one_after_the_other_before_the_backward_pass() -> None:
    """Spectral norm moves its buffers at every call; the first call's graph must not notice."""
    network = made(spectral=True)
    real, fake = network(picture(64, 64)), network(-picture(64, 64))
    (real[0].logits.mean() - fake[0].logits.mean()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.scales[0].parameters())


@pytest.mark.parametrize("spectral", [False, True])
def test_memory_layout_does_not_change_the_judgement(spectral: bool) -> None:
    network = made(condition_channels=5, spectral=spectral).eval()
    x, y = picture(64, 80), latent(4, 5)
    wanted = [output.logits for output in network(x, y)]
    network.to(memory_format=torch.channels_last)
    seen = network(x.contiguous(memory_format=torch.channels_last), y.contiguous(memory_format=torch.channels_last))
    for one, two in zip(wanted, seen, strict=True):
        torch.testing.assert_close(two.logits, one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spectral", [False, True])
def test_autocast_comes_near_float32_and_trains(spectral: bool) -> None:
    network = made(condition_channels=5, spectral=spectral)
    x, y = picture(64, 64).requires_grad_(), latent(4, 4)
    network.eval()
    wanted = network(x, y)[0].logits.detach()
    network.train()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = network(x, y)
    assert outputs[0].logits.dtype == torch.bfloat16
    assert (outputs[0].logits.float() - wanted).abs().max() < 0.05 * wanted.abs().max() + 0.02
    torch.stack([output.logits.float().mean() for output in outputs]).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None and x.grad.isfinite().all()


def test_spectral_norm_is_computed_outside_autocast() -> None:
    network = made(spectral=True)
    layer = next(layer for layer in network.modules() if isinstance(layer, Convolution))
    seen: list[bool] = []
    layer.parametrizations.weight[0].register_forward_hook(  # type: ignore[index, union-attr]
        lambda *_: seen.append(torch.is_autocast_enabled("cpu"))
    )
    with torch.autocast("cpu", torch.bfloat16):
        network(picture(64, 64))
        assert torch.is_autocast_enabled("cpu")
    assert seen and not any(seen)
