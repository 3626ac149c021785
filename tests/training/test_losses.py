"""The losses of the realism stage against numbers worked by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gancodec.errors import ConfigError
from gancodec.training.losses import (
    ADVERSARIAL,
    EQUILIBRIUM,
    adversarial_discriminator,
    adversarial_generator,
    contrastive_margin,
    distortion,
    feature_matching,
    grid_error,
    pooled,
    weighted_sum,
)

REAL = [torch.tensor([0.5, 2.0]), torch.tensor([[-1.0]])]
FAKE = [torch.tensor([-2.0, 1.0]), torch.tensor([[0.5]])]


def soft(a: float) -> float:
    """log(1 + exp(a)): the cross-entropy of logit a with target 0, and of logit −a with target 1."""
    return math.log1p(math.exp(a))


# Scale 0: a(x) = 0.5, 2 and a(x̂) = −2, 1.  Scale 1: a(x) = −1 and a(x̂) = 0.5.
DISCRIMINATOR = {
    "chi2": (0.25 + 1) / 2 + (4 + 1) / 2 + 4 + 0.25,
    "vanilla": (soft(-0.5) + soft(-2)) / 2 + (soft(-2) + soft(1)) / 2 + soft(1) + soft(0.5),
    "hinge": (0.5 + 0) / 2 + (0 + 2) / 2 + 2 + 1.5,
    "wasserstein": -1.25 - 0.5 + 1 + 0.5,
}
GENERATOR = {
    "chi2": ((9 + 0) / 2, 0.25),
    "vanilla": ((soft(2) + soft(-1)) / 2, soft(-0.5)),
    "hinge": (0.5, -0.5),
    "wasserstein": (0.5, -0.5),
}


@pytest.mark.parametrize("kind", ADVERSARIAL)
def test_adversarial_losses_equal_the_numbers_worked_by_hand(kind: str) -> None:
    assert adversarial_discriminator(kind, REAL, FAKE).item() == pytest.approx(DISCRIMINATOR[kind], rel=1e-6)
    full, other = GENERATOR[kind]
    assert adversarial_generator(kind, FAKE, scales="all").item() == pytest.approx(full + other, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("kind", ADVERSARIAL)
def test_generator_on_the_full_scale_hears_no_other_scale(kind: str) -> None:
    fake = [a.clone().requires_grad_() for a in FAKE]
    loss = adversarial_generator(kind, fake, scales="full")
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(GENERATOR[kind][0], rel=1e-6)
    assert fake[0].grad is not None and fake[1].grad is None


@pytest.mark.parametrize("kind", ADVERSARIAL)
def test_discriminator_wants_real_up_and_fake_down_and_the_generator_fake_up(kind: str) -> None:
    real, fake = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    to_real, to_fake = torch.autograd.grad(adversarial_discriminator(kind, [real], [fake]), (real, fake))
    # χ² has its target for x̂ at 0 itself: there the gradient is 0, above it positive.
    assert (to_real < 0).all() and (to_fake >= 0).all()
    above = torch.full((3,), 0.5, requires_grad=True)
    (to_fake,) = torch.autograd.grad(adversarial_discriminator(kind, [real], [above]), above)
    assert (to_fake > 0).all()
    (to_fake,) = torch.autograd.grad(adversarial_generator(kind, [fake], scales="all"), fake)
    assert (to_fake < 0).all()


@pytest.mark.parametrize("kind", sorted(EQUILIBRIUM))
def test_equilibrium_values_are_those_of_the_best_constant_discriminator(kind: str) -> None:
    """Equal distributions of x and x̂: D can only answer one constant, and takes the one with the smallest L_D."""
    answers = [torch.tensor([a]) for a in torch.linspace(-2, 2, 401).tolist()]
    losses = [adversarial_discriminator(kind, [a], [a]).item() for a in answers]
    best = min(range(len(answers)), key=losses.__getitem__)
    seen = (losses[best], adversarial_generator(kind, [answers[best]], scales="all").item())
    assert seen == pytest.approx(EQUILIBRIUM[kind], abs=1e-4)


def test_equilibrium_table_holds_the_known_values() -> None:
    assert EQUILIBRIUM["vanilla"] == pytest.approx((1.386294, 0.693147), abs=1e-6)
    assert EQUILIBRIUM["chi2"] == (0.5, 0.25)
    assert EQUILIBRIUM.keys() <= set(ADVERSARIAL)


@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_vanilla_is_finite_at_extreme_logits(logit: float) -> None:
    a = torch.full((2, 2), logit, requires_grad=True)
    for loss in (adversarial_discriminator("vanilla", [a], [a]), adversarial_generator("vanilla", [a], scales="all")):
        (gradient,) = torch.autograd.grad(loss, a)
        assert loss.isfinite() and gradient.isfinite().all()
    assert adversarial_discriminator("vanilla", [a], [a]).item() == pytest.approx(1e4)


def test_maps_in_half_precision_are_averaged_in_float32() -> None:
    a = torch.full((1000,), 3.0, dtype=torch.bfloat16)
    loss = adversarial_generator("hinge", [torch.cat([a, a[:1] * 0])], scales="all")
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(-3000 / 1001, rel=1e-6)


def test_wrong_scales_and_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="2 of the original, 1 of the reconstruction"):
        adversarial_discriminator("chi2", REAL, FAKE[:1])
    with pytest.raises(ConfigError, match="at least one"):
        adversarial_discriminator("chi2", [], [])
    with pytest.raises(ConfigError, match="at least one"):
        adversarial_generator("chi2", [], scales="all")
    with pytest.raises(ConfigError, match="'lsgan'; use one of chi2"):
        adversarial_discriminator("lsgan", REAL, FAKE)
    with pytest.raises(ConfigError, match="'lsgan'; use one of chi2"):
        adversarial_generator("lsgan", FAKE, scales="all")
    with pytest.raises(ConfigError, match="'half'; use one of all, full"):
        adversarial_generator("chi2", FAKE, scales="half")


def test_feature_matching_sums_means_over_scales_and_layers() -> None:
    real = [[torch.zeros(1, 2, 1, 1), torch.ones(1, 1, 2, 2)], [torch.zeros(1, 1, 1, 1)]]
    first, second = torch.tensor([1.0, -3.0]).view(1, 2, 1, 1), torch.full((1, 1, 2, 2), 0.5)
    fake = [[first, second], [torch.full((1, 1, 1, 1), 7.0)]]
    assert feature_matching(real, fake).item() == pytest.approx(2 + 0.5 + 7)


def test_feature_matching_moves_the_fake_only() -> None:
    real, fake = (torch.full((1, 1, 2, 2), value, requires_grad=True) for value in (0.0, 1.0))
    feature_matching([[real]], [[fake]]).backward()  # type: ignore[no-untyped-call]
    assert real.grad is None
    assert fake.grad is not None and torch.equal(fake.grad, torch.full((1, 1, 2, 2), 0.25))


def test_feature_matching_refuses_other_shapes_layers_and_scales() -> None:
    one = torch.zeros(1, 1, 2, 2)
    with pytest.raises(ConfigError, match="scale 0, layer 1"):
        feature_matching([[one, one]], [[one, one[:, :, :1]]])
    with pytest.raises(ConfigError, match="layers of scale 0"):
        feature_matching([[one, one]], [[one]])
    with pytest.raises(ConfigError, match="scales: 1 of the original, 2"):
        feature_matching([[one]], [[one], [one]])


def test_pooled_features_are_unit_vectors_of_channel_means() -> None:
    first = torch.tensor([[[[1.0, 5.0]], [[0.0, 0.0]]], [[[0.0, 2.0]], [[2.0, 0.0]]]])  # means 3, 0 and 1, 1
    second = torch.tensor([4.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 3, 3)
    third = math.sqrt(1 / 3)
    torch.testing.assert_close(pooled([[first], [second]]), torch.tensor([[0.6, 0.0, 0.8], [third, third, third]]))
    with pytest.raises(ConfigError, match="no features"):
        pooled([[], []])


def contrast(fake: list[float], real: list[float], other: list[float]) -> float:
    return contrastive_margin(*(torch.tensor([values]) for values in (fake, real, other))).item()


def test_contrastive_margin_equals_the_numbers_worked_by_hand() -> None:
    # d(x̂, x)² = 0.4² + 0.2² = 0.2; d(x̂, x′) = 0.25 is inside the margin: (1 − 0.25)² = 0.5625
    assert contrast([0.6, 0.8], [1.0, 1.0], [0.6, 0.55]) == pytest.approx(0.2 + 0.5625, rel=1e-5)
    # d(x̂, x′) = √2 is outside the margin and adds nothing
    assert contrast([1.0, 0.0], [1.0, 0.5], [0.0, 1.0]) == pytest.approx(0.25, rel=1e-5)
    # and on the margin itself
    assert contrast([1.0, 0.0], [1.0, 0.0], [0.0, 0.0]) == pytest.approx(0.0, abs=1e-6)


def test_contrastive_margin_is_the_mean_over_the_batch() -> None:
    fake = torch.tensor([[0.6, 0.8], [1.0, 0.0]])
    real, other = torch.tensor([[1.0, 1.0], [1.0, 0.5]]), torch.tensor([[0.6, 0.55], [0.0, 1.0]])
    assert contrastive_margin(fake, real, other).item() == pytest.approx((0.7625 + 0.25) / 2, rel=1e-5)


def test_contrastive_margin_moves_the_fake_only_towards_real_and_away_from_other() -> None:
    fake = torch.tensor([[0.6, 0.8]], requires_grad=True)
    real, other = (torch.tensor([values], requires_grad=True) for values in ([0.6, 1.0], [0.5, 0.8]))
    contrastive_margin(fake, real, other).backward()  # type: ignore[no-untyped-call]
    assert real.grad is None and other.grad is None
    # 2·(x̂ − x) = (0, −0.4); −2·(1 − d)·(x̂ − x′)/d = (−1.8, 0)
    torch.testing.assert_close(fake.grad, torch.tensor([[-1.8, -0.4]]), rtol=1e-4, atol=1e-5)


def test_contrastive_margin_has_a_finite_gradient_where_the_distances_are_zero() -> None:
    fake = torch.tensor([[0.6, 0.8]], requires_grad=True)
    loss = contrastive_margin(fake, fake, fake)
    (gradient,) = torch.autograd.grad(loss, fake)
    assert loss.item() == pytest.approx(1.0, abs=1e-5) and torch.equal(gradient, torch.zeros(1, 2))


@pytest.mark.parametrize("wrong", [(2, 1), (1, 2)])
def test_contrastive_margin_refuses_other_shapes(wrong: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match="shapes"):
        contrastive_margin(torch.zeros(2, 2), torch.zeros(2, 2), torch.zeros(wrong))
    with pytest.raises(ConfigError, match="3 axes"):
        contrastive_margin(*(torch.zeros(2, 2, 1) for _ in range(3)))


def test_distortions_are_means_over_all_elements() -> None:
    x = torch.zeros(1, 1, 2, 2)
    x_hat = torch.tensor([1.0, -1.0, 0.5, 0.0]).view(1, 1, 2, 2)
    assert distortion("mse", x_hat, x).item() == pytest.approx(2.25 / 4)
    assert distortion("l1", x_hat, x).item() == pytest.approx(2.5 / 4)
    with pytest.raises(ConfigError, match="'l2'; use one of mse, l1"):
        distortion("l2", x_hat, x)
    with pytest.raises(ConfigError, match="shapes"):
        distortion("mse", x_hat, x[:, :, :1])


def blocks_of(pattern: Tensor, shares: Tensor) -> Tensor:
    """[1, 3, 64, 64]: one 16×16 pattern in each of 4×4 blocks, times a share of its own."""
    return torch.kron(shares.view(4, 4), pattern.contiguous()).expand(1, 3, 64, 64)


def made_pattern() -> Tensor:
    """16×16, mean 0, mean square 1."""
    values = torch.randn(16, 16, generator=torch.Generator().manual_seed(4))
    values -= values.mean()
    return values / values.square().mean().sqrt()


def test_grid_error_equals_the_numbers_worked_by_hand() -> None:
    pattern, flat, everywhere = made_pattern(), torch.zeros(1, 3, 64, 64), torch.ones(16)
    floor = (4 / 127.5) ** 2
    # The same pattern everywhere: its mean square, relative to what hides it.
    assert grid_error(blocks_of(0.1 * pattern, everywhere), flat).item() == pytest.approx(0.01 / floor, rel=1e-4)
    # In one block of sixteen it repeats nowhere; in two it makes 2 of 240 pairs.
    shares = torch.zeros(16)
    shares[3] = 1
    assert grid_error(blocks_of(0.1 * pattern, shares), flat).item() == pytest.approx(0, abs=1e-5)
    shares[9] = 1
    two = grid_error(blocks_of(0.1 * pattern, shares), flat).item()
    assert two == pytest.approx(2 / 240 * 0.01 / floor, rel=1e-4)
    # Once the other way round, it is an error as large, and no repetition: neither punished nor rewarded.
    shares[9] = -1
    assert grid_error(blocks_of(0.1 * pattern, shares), flat).item() == 0
    # Beside an original of variance 0.04 in every block.
    busy = blocks_of(0.2 * pattern.T, everywhere)
    hidden = grid_error(busy + blocks_of(0.1 * pattern, everywhere), busy).item()
    assert hidden == pytest.approx(0.01 / (0.04 + floor), rel=1e-4)


def test_grid_error_sees_each_window_by_itself_and_no_shift_of_brightness() -> None:
    flat, pattern = torch.zeros(2, 3, 64, 128), made_pattern()
    opposite = torch.cat((blocks_of(pattern, torch.ones(16)), -blocks_of(pattern, torch.ones(16))), 3)
    both = grid_error(0.1 * opposite.expand(2, 3, 64, 128), flat)
    assert both.item() == pytest.approx(0.01 * (127.5 / 4) ** 2, rel=1e-4)
    for colour in range(3):
        tinted = flat.clone()
        tinted[:, colour] += 0.3
        assert grid_error(tinted, flat).item() == pytest.approx(0, abs=1e-6)


def test_grid_error_rewards_nothing() -> None:
    # Blocks that cancel one another: without the bound, the larger the better.
    signs = torch.tensor([1.0, -1.0]).repeat(2).view(4, 1) * torch.tensor([1.0, -1.0]).repeat(2)
    for size in (0.02, 2.0):
        x_hat = blocks_of(size * made_pattern(), signs).clone().requires_grad_()
        error = grid_error(x_hat, torch.zeros(1, 3, 64, 64))
        error.backward()  # type: ignore[no-untyped-call]
        assert error.item() == 0 and x_hat.grad is not None and not x_hat.grad.any()


def test_grid_error_is_indifferent_to_detail_that_differs_from_block_to_block() -> None:
    draw = torch.Generator().manual_seed(5)
    invented = 0.1 * torch.randn(64, 3, 64, 64, generator=draw)
    once = grid_error(invented, torch.zeros_like(invented)).item()
    repeated = grid_error(invented[:, :, :16, :16].repeat(1, 1, 4, 4), torch.zeros_like(invented)).item()
    assert once < 0.005 * repeated


@pytest.mark.parametrize("size", [(64, 32), (48, 64)])
def test_grid_error_refuses_other_shapes(size: tuple[int, int]) -> None:
    with pytest.raises(ConfigError) as caught:
        grid_error(torch.zeros(1, 3, *size), torch.zeros(1, 3, *size))
    assert str(size[0]) in caught.value.message and "multiples of 64" in (caught.value.hint or "")
    with pytest.raises(ConfigError, match="pictures"):
        grid_error(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, *size))


def test_weighted_sum_is_the_sum_of_weight_times_term() -> None:
    terms = {"mse": torch.tensor(0.5, requires_grad=True), "fm": torch.tensor(3.0, requires_grad=True)}
    total = weighted_sum(terms, {"fm": 10.0, "mse": 12.0})
    total.backward()  # type: ignore[no-untyped-call]
    gradients = {name: term.grad.item() for name, term in terms.items() if term.grad is not None}
    assert total.item() == pytest.approx(36.0) and gradients == {"mse": 12.0, "fm": 10.0}


@pytest.mark.parametrize("weights", [{"mse": 1.0}, {"mse": 1.0, "fm": 1.0, "rate": 1.0}, {"mse": 1.0, "fn": 1.0}])
def test_weighted_sum_names_the_keys_that_differ(weights: dict[str, float]) -> None:
    terms = {"mse": torch.tensor(1.0), "fm": torch.tensor(1.0)}
    differing = sorted(weights.keys() ^ terms.keys())
    with pytest.raises(ConfigError) as caught:
        weighted_sum(terms, weights)
    assert all(repr(name) in caught.value.message for name in differing) and "'mse'" not in caught.value.message


def test_weighted_sum_refuses_nothing_and_terms_that_are_not_scalars() -> None:
    with pytest.raises(ConfigError, match="one at least"):
        weighted_sum({}, {})
    with pytest.raises(ConfigError, match=r"'mse' has the shape \(1,\)"):
        weighted_sum({"mse": torch.ones(1)}, {"mse": 1.0})


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_weight_of_zero_leaves_its_term_out_of_the_graph(bad: float) -> None:
    def term(value: float) -> Tensor:
        return torch.tensor(value, requires_grad=True)

    terms = {"mse": term(2.0), "adversarial": term(bad)}
    total = weighted_sum(terms, {"mse": 1.0, "adversarial": 0.0})
    total.backward()  # type: ignore[no-untyped-call]
    assert total.item() == 2.0 and terms["adversarial"].grad is None
    assert weighted_sum(terms, {"mse": 0.0, "adversarial": 0.0}).item() == 0.0
