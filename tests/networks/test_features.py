"""Feature networks made of tensors: distances worked by hand, gradients, sizes, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancodec.errors import ConfigError, WrongModelError
from gancodec.networks.features import ARCHITECTURES, FeatureNetwork, unit_length

EVERY = list(ARCHITECTURES)
RED_OF_ZERO, RED_OF_ONE = -0.030, 0.428
"""Red in [−1, 1] that ImageNet's mean 0.485 and deviation 0.229 bring to 0 and to 1."""


def random_tensors(name: str, seed: int = 0) -> dict[str, Tensor]:
    """Weights as large as a trained network's, so that deep taps are alive; heads in [0, 1)."""
    architecture = ARCHITECTURES[name]
    draw = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        shapes = nn.ModuleList(nn.Sequential(*stage) for stage in architecture.stages()).state_dict()
    tensors = {}
    for key, value in shapes.items():
        scale = math.sqrt(2 / value[0].numel()) if value.ndim == 4 else 0.01
        tensors[f"stages.{key}"] = scale * torch.randn(value.shape, generator=draw)
    if architecture.learned_heads:
        for index, channels in enumerate(architecture.tap_channels):
            tensors[f"heads.{index}"] = torch.rand(channels, generator=draw)
    return tensors


def silent_tensors(name: str) -> dict[str, Tensor]:
    """All zero."""
    return {key: torch.zeros_like(value) for key, value in random_tensors(name).items()}


def random_pictures(side: int = 64, seed: int = 1) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    x, y = 2 * torch.rand(2, 2, 3, side, side, generator=draw) - 1
    return x, y


def plain(red: float) -> Tensor:
    """A picture of one colour, [1, 3, 6, 8]."""
    return torch.tensor([red, 0.5, -0.5]).view(1, 3, 1, 1).expand(1, 3, 6, 8)


def test_lpips_of_two_vectors_is_what_the_equation_says() -> None:
    """Tap 0 holds (red, 1, 0 …): of unit length (0, 1) and (1, 1)/√2; tap 1 is the same for both."""
    tensors = silent_tensors("vgg16low")
    tensors["stages.0.0.weight"][0, 0, 1, 1] = 1
    tensors["stages.0.0.bias"][1] = 1
    for channel in (0, 1):
        tensors["stages.0.1.weight"][channel, channel, 1, 1] = 1
    tensors["heads.0"][:2] = torch.tensor([3.0, 5.0])
    tensors["heads.1"].fill_(1)
    network = FeatureNetwork("vgg16low", tensors)
    tap = network.taps(plain(RED_OF_ONE))[0]
    assert tap[0, :3, 3, 4].tolist() == pytest.approx([1, 1, 0], abs=1e-6)
    assert network.taps(plain(RED_OF_ZERO))[0][0, :3, 3, 4].tolist() == pytest.approx([0, 1, 0], abs=1e-6)
    wanted = 3 * 0.5 + 5 * (1 - math.sqrt(0.5)) ** 2
    assert network.distance(plain(RED_OF_ZERO), plain(RED_OF_ONE)).tolist() == pytest.approx([wanted], rel=1e-5)


def test_distance_of_vgg19_is_the_weighted_l1_of_pix2pixhd() -> None:
    """One of the 64 channels of relu1_1 differs by 1: (1/32)/64; the last tap by 1 in 2 of 512 channels: 2/512."""
    tensors = silent_tensors("vgg19")
    tensors["stages.0.0.weight"][0, 0, 1, 1] = 1
    network = FeatureNetwork("vgg19", tensors)
    low, high = (plain(red).repeat(1, 1, 4, 4) for red in (RED_OF_ZERO, RED_OF_ONE))
    assert network.distance(low, high).tolist() == pytest.approx([1 / 32 / 64], rel=1e-5)
    for key, value in tensors.items():
        if key.endswith("weight") and key != "stages.0.0.weight":
            value[0, 0, 1, 1] = 1
    tensors["stages.4.4.weight"][1, 0, 1, 1] = 1
    wanted = (1 / 32 + 1 / 16 / 2 + 1 / 8 / 4 + 1 / 4 / 8 + 2 / 8) / 64
    network = FeatureNetwork("vgg19", tensors)
    assert network.distance(low, high).tolist() == pytest.approx([wanted], rel=1e-5)


def test_lpips_agrees_with_its_equation_written_as_loops() -> None:
    tensors = random_tensors("vgg16low")
    x, y = random_pictures(16)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    sums = torch.zeros(2)
    for b in range(2):
        taps = []
        for picture in (x[b], y[b]):
            f = ((picture + 1) / 2 - mean[:, None, None]) / deviation[:, None, None]
            for place in ("0.0", "0.1", "1.1", "1.2"):
                if place == "1.1":
                    taps.append(f)
                    f = F.max_pool2d(f, 2)
                f = F.conv2d(f, tensors[f"stages.{place}.weight"], tensors[f"stages.{place}.bias"], padding=1).relu()
            taps.append(f)
        for layer in (0, 1):
            a, c = (tap / tap.norm(dim=0) for tap in (taps[layer], taps[layer + 2]))
            sums[b] += torch.einsum("chw,c->hw", (a - c) ** 2, tensors[f"heads.{layer}"]).mean()
    torch.testing.assert_close(FeatureNetwork("vgg16low", tensors).distance(x, y), sums)


def test_without_learned_heads_all_channels_of_all_taps_weigh_alike() -> None:
    network = FeatureNetwork("vgg16hed", random_tensors("vgg16hed"))
    x, y = random_pictures(32)
    terms = [
        (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1).mean((1, 2)) / 4
        for a, b in zip(network.taps(x), network.taps(y), strict=True)
    ]
    torch.testing.assert_close(network.distance(x, y), torch.stack(terms).sum(0))


def test_hed_sees_levels_of_8_bits_without_caffes_mean() -> None:
    network = FeatureNetwork("vgg16hed", silent_tensors("vgg16hed"))
    black, white = ((torch.full((1, 3, 1, 1), v) - network.shift_1C11) / network.scale_1C11 for v in (-1.0, 1.0))
    assert black.flatten().tolist() == pytest.approx([-122.67892, -116.66877, -104.00699], rel=1e-5)
    assert (white - black).flatten().tolist() == pytest.approx([255] * 3, rel=1e-5)


@pytest.mark.parametrize("name", EVERY)
def test_distance_is_zero_for_equal_pictures_positive_and_symmetric_for_others(name: str) -> None:
    network = FeatureNetwork(name, random_tensors(name))
    x, y = random_pictures()
    assert network.distance(x, x).tolist() == [0, 0]
    distance = network.distance(x, y)
    assert distance.shape == (2,) and bool((distance > 0).all())
    torch.testing.assert_close(network.distance(y, x), distance)
    torch.testing.assert_close(network(x[:1], y[:1]), distance[:1])


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("case", ["different", "equal", "black", "silent network"])
def test_gradients_are_finite_and_reach_both_pictures(name: str, case: str) -> None:
    network = FeatureNetwork(name, silent_tensors(name) if case == "silent network" else random_tensors(name))
    x, y = random_pictures(48)
    x, y = {"equal": (x, x.clone()), "black": (torch.full_like(x, -1), y)}.get(case, (x, y))
    x.requires_grad_()
    y.requires_grad_()
    gradients = torch.autograd.grad(network.distance(x, y).sum(), (x, y))
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    if case == "different":
        assert all(bool((gradient.abs().amax((1, 2, 3)) > 0).all()) for gradient in gradients)


def test_unit_length_is_smooth_at_zero() -> None:
    zero = torch.zeros(1, 4, 2, 2, requires_grad=True)
    unit = unit_length(zero)
    (gradient,) = torch.autograd.grad((unit - torch.ones(4)[None, :, None, None]).square().sum(), zero)
    assert bool((unit == 0).all()) and bool(gradient.isfinite().all())
    lengths = unit_length(torch.full((1, 4, 1, 1), 3.0)).square().sum()
    assert lengths.item() == pytest.approx(1)


@pytest.mark.parametrize("name", EVERY)
def test_network_is_frozen_and_draws_no_random_numbers(name: str) -> None:
    tensors = random_tensors(name)
    before = torch.get_rng_state()
    network = FeatureNetwork(name, tensors)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(parameter.requires_grad or parameter.is_meta for parameter in network.parameters())
    assert not any(value.is_meta for value in network.buffers())
    assert [tap.shape[1] for tap in network.taps(torch.zeros(1, 3, 64, 64))] == [*ARCHITECTURES[name].tap_channels]
    tensors["stages.0.0.weight"].fill_(0)  # the network has its own copy
    assert network.state_dict()["stages.0.0.weight"].any()


@pytest.mark.parametrize("name", EVERY)
def test_smallest_side_is_the_smallest_that_leaves_something_at_the_last_tap(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = FeatureNetwork(name, random_tensors(name))
    side = network.min_side_px
    for height, width in ((side, side), (side, 70), (70, side)):
        picture = torch.zeros(1, 3, height, width)
        assert network.distance(picture, picture).tolist() == [0]
    for height, width in ((side - 1, 70), (70, side - 1)):
        with pytest.raises(ConfigError, match=f"too small for {name}; its sides must be at least {side} pixels"):
            network.taps(torch.zeros(1, 3, height, width))
    monkeypatch.setattr(network, "_check_picture", lambda picture: None)
    with pytest.raises(RuntimeError):
        network.taps(torch.zeros(1, 3, side - 1, 70))


def test_distance_stays_float32_under_autocast() -> None:
    network = FeatureNetwork("squeeze", random_tensors("squeeze"))
    x, y = random_pictures()
    exact = network.distance(x, y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = network.distance(x, y)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=0.05, atol=0)


def test_half_precision_weights_become_float32() -> None:
    halves = {key: value.half() for key, value in random_tensors("vgg16low").items()}
    network = FeatureNetwork("vgg16low", halves)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_unknown_network_is_refused_with_the_known_names() -> None:
    with pytest.raises(ConfigError, match="'vgg11' is no feature network; known ones: alex, squeeze"):
        FeatureNetwork("vgg11", {})


def test_tensors_that_do_not_serve_are_refused() -> None:
    good = random_tensors("vgg16low")
    key = "stages.1.2.weight"
    without = {name: value for name, value in good.items() if name != key}
    bad = {
        f"vgg16low lacks {key}; expected the 10 tensors": without,
        "lacks heads.0 and 9 more": {},
        "has no use for stages.2.1.weight": good | {"stages.2.1.weight": torch.zeros(1)},
        r"stages.1.2.weight of shape \(128, 64, 3, 3\), not \(128, 128": good | {key: torch.zeros(128, 64, 3, 3)},
        "does not hold finite floats": good | {"heads.1": torch.full((128,), math.nan)},
        r"int64\) does not hold": good | {"heads.1": torch.ones(128, dtype=torch.int64)},
    }
    for message, tensors in bad.items():
        with pytest.raises(WrongModelError, match=message):
            FeatureNetwork("vgg16low", tensors)


def test_heads_are_never_made_up_where_lpips_has_learned_some() -> None:
    headless = {key: value for key, value in random_tensors("alex").items() if not key.startswith("heads")}
    with pytest.raises(WrongModelError, match=r"alex lacks heads\.0 and 4 more"):
        FeatureNetwork("alex", headless)


@pytest.mark.parametrize(
    "picture",
    [torch.zeros(3, 64, 64), torch.zeros(1, 1, 64, 64), torch.zeros(1, 3, 64, 64, dtype=torch.uint8)],
    ids=["no batch", "grey", "8 bit"],
)
def test_other_than_float_rgb_in_batches_is_refused(picture: Tensor) -> None:
    network = FeatureNetwork("vgg16low", random_tensors("vgg16low"))
    with pytest.raises(ConfigError, match=r"give RGB in \[-1, 1\]"):
        network.distance(picture, picture)


def test_pictures_of_two_shapes_are_refused() -> None:
    network = FeatureNetwork("vgg16low", random_tensors("vgg16low"))
    with pytest.raises(ConfigError, match="compare pictures of one size"):
        network.distance(torch.zeros(2, 3, 16, 16), torch.zeros(1, 3, 16, 16))
