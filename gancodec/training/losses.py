"""Losses of the realism stage as pure functions of tensors (DESIGN §1).

A loss takes what networks gave and returns a scalar; it knows no network, no weight and no step.  Means are over all
elements of one map, sums over scales and layers are sums: the weights 1, 12 and 10 belong to that convention.  Half
precision maps are averaged in float32.

Axes: B batch, C channels, F features.  a is a discriminator's raw patch map (no sigmoid), x the original, x̂ the
reconstruction.  For the discriminator's step x̂ is detached *before* it enters the discriminator: from its patch maps
alone a loss cannot tell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional as F

from gancodec.errors import ConfigError
from gancodec.networks.config import LATENT_STRIDE

ADVERSARIAL = ("chi2", "vanilla", "hinge", "wasserstein")
GENERATOR_SCALES = ("all", "full")
DISTORTIONS = ("mse", "l1")

CONTRASTIVE_MARGIN = 1.0
"""Distance beyond which another picture no longer counts; unit vectors are at most 2 apart."""
WINDOW_BLOCKS = 4
"""Latent positions a side of the windows in which repetition is looked for."""
HIDING_FLOOR = (4 / 127.5) ** 2
"""Variance that every original is taken to have, pictures in [−1, 1]: 4 levels, squared."""
DISTANCE_FLOOR = 1e-12
"""Added to a squared distance, so that its root has the gradient 0 at 0; moves a distance by at most 1e-6."""

EQUILIBRIUM: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "chi2": (0.5, 0.25),  # a = 1/2 everywhere
        "vanilla": (2 * math.log(2), math.log(2)),  # a = 0, probability 1/2
    }
)
"""(L_D, L_G) per scale when nobody can tell x̂ from x and D is at its best.  Far from them one side has won; near them
nothing is said about quality.  hinge and wasserstein have no entry: there a may be shifted at equilibrium, and L_G
with it."""


def _mean(values: Tensor) -> Tensor:
    return values.mean(dtype=torch.promote_types(values.dtype, torch.float32))


def _check_shape(what: str, seen: Tensor, wanted: Tensor) -> None:
    # Without this, broadcasting would turn a wrong shape into a plausible number.
    if seen.shape != wanted.shape:
        raise ConfigError(f"{what}: shapes {tuple(seen.shape)} and {tuple(wanted.shape)}", hint="they must be equal")


def _check_choice(what: str, seen: str, choices: Sequence[str]) -> None:
    if seen not in choices:
        raise ConfigError(f"{what} is {seen!r}", hint=f"use one of {', '.join(choices)}")


def _check_count(what: str, seen: int, wanted: int) -> None:
    if seen != wanted or not seen:
        raise ConfigError(f"{what}: {wanted} of the original, {seen} of the reconstruction", hint="equal, at least one")


def chi2_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """mean((a(x) − 1)²) + mean(a(x̂)²)   least squares with targets 1 and 0 (Mao et al. 2017, arXiv:1611.04076).

    The name is the study notes'.  Mao et al. show that G minimises a Pearson χ² divergence with the targets 1 and −1
    for D and 0 for G.  This 0/1 variant, theirs too, has its minimum at the same place but is not exactly that χ².
    """
    return _mean((real - 1).square()) + _mean(fake.square())


def chi2_generator(fake: Tensor) -> Tensor:
    """mean((a(x̂) − 1)²)   the 0/1 variant as above (Mao et al. 2017, arXiv:1611.04076)."""
    return _mean((fake - 1).square())


def _cross_entropy(logits: Tensor, target: float) -> Tensor:
    """max(a, 0) − a·z + log(1 + exp(−|a|)) with target z, finite for every finite a."""
    targets = torch.full_like(logits, target)
    return _mean(F.binary_cross_entropy_with_logits(logits, targets, reduction="none"))


def vanilla_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """BCE(a(x), 1) + BCE(a(x̂), 0)   on logits (Goodfellow et al. 2014, arXiv:1406.2661)."""
    return _cross_entropy(real, 1.0) + _cross_entropy(fake, 0.0)


def vanilla_generator(fake: Tensor) -> Tensor:
    """BCE(a(x̂), 1)   the non-saturating form (Goodfellow et al. 2014, arXiv:1406.2661)."""
    return _cross_entropy(fake, 1.0)


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """mean(relu(1 − a(x))) + mean(relu(1 + a(x̂)))   (Lim and Ye 2017, arXiv:1705.02894)."""
    return _mean(F.relu(1 - real)) + _mean(F.relu(1 + fake))


def hinge_generator(fake: Tensor) -> Tensor:
    """−mean(a(x̂))   (Lim and Ye 2017, arXiv:1705.02894)."""
    return -_mean(fake)


def wasserstein_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """−mean(a(x)) + mean(a(x̂))   (Arjovsky et al. 2017, arXiv:1701.07875).

    Unbounded below unless D is Lipschitz: build it with ``spectral=True`` or add a gradient penalty.
    """
    return -_mean(real) + _mean(fake)


def wasserstein_generator(fake: Tensor) -> Tensor:
    """−mean(a(x̂))   (Arjovsky et al. 2017, arXiv:1701.07875)."""
    return -_mean(fake)


_DISCRIMINATOR: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "chi2": chi2_discriminator,
    "vanilla": vanilla_discriminator,
    "hinge": hinge_discriminator,
    "wasserstein": wasserstein_discriminator,
}
_GENERATOR: Mapping[str, Callable[[Tensor], Tensor]] = {
    "chi2": chi2_generator,
    "vanilla": vanilla_generator,
    "hinge": hinge_generator,
    "wasserstein": wasserstein_generator,
}


def adversarial_discriminator(kind: str, real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """L_D = Σ_s D(a_s(x), a_s(x̂)), with D of the kind, one of ADVERSARIAL.

    real, fake: one raw patch map per scale, of any shape, the same scales in the same order.  Returns a scalar.
    """
    _check_choice("adversarial loss", kind, ADVERSARIAL)
    _check_count("scales", len(fake), len(real))
    loss = _DISCRIMINATOR[kind]
    return torch.stack([loss(a_real, a_fake) for a_real, a_fake in zip(real, fake, strict=True)]).sum()


def adversarial_generator(kind: str, fake: Sequence[Tensor], *, scales: str) -> Tensor:
    """L_G = Σ_s G(a_s(x̂)) for ``scales="all"``, G(a_0(x̂)) for ``"full"``, the full-size picture's map alone.

    fake: one raw patch map per scale, the full-size one first.  Returns a scalar.
    """
    _check_choice("adversarial loss", kind, ADVERSARIAL)
    _check_choice("generator scales", scales, GENERATOR_SCALES)
    if not fake:
        raise ConfigError("no patch maps", hint="a discriminator has at least one scale")
    loss = _GENERATOR[kind]
    return torch.stack([loss(a_fake) for a_fake in (fake if scales == "all" else fake[:1])]).sum()


def feature_matching(real: Sequence[Sequence[Tensor]], fake: Sequence[Sequence[Tensor]]) -> Tensor:
    """L_FM = Σ_s Σ_l mean|f_{s,l}(x) − f_{s,l}(x̂)|   (Wang et al. 2018, pix2pixHD, arXiv:1711.11585).

    real, fake: for each scale the activations of each hidden layer, of equal shapes.  f(x) is detached.  Returns a
    scalar that grows with the number of scales and layers.
    """
    _check_count("scales", len(fake), len(real))
    terms: list[Tensor] = []
    for scale, (layers_real, layers_fake) in enumerate(zip(real, fake, strict=True)):
        _check_count(f"layers of scale {scale}", len(layers_fake), len(layers_real))
        for layer, (f_real, f_fake) in enumerate(zip(layers_real, layers_fake, strict=True)):
            _check_shape(f"features of scale {scale}, layer {layer}", f_fake, f_real)
            terms.append(_mean((f_real.detach() - f_fake).abs()))
    return torch.stack(terms).sum()


def pooled(features: Sequence[Sequence[Tensor]]) -> Tensor:
    """One unit vector per picture: the mean of every channel of every map, concatenated, divided by its length.

    features: for each scale the activations [B, C, ·, ·] of each hidden layer.  Returns [B, F], F the sum of all C.
    """
    maps = [layer for layers in features for layer in layers]
    if not maps:
        raise ConfigError("no features to pool", hint="a discriminator has at least one hidden layer")
    means = [layer.mean(dim=(2, 3), dtype=torch.promote_types(layer.dtype, torch.float32)) for layer in maps]
    return F.normalize(torch.cat(means, dim=1), dim=1)


def contrastive_margin(fake: Tensor, real: Tensor, other: Tensor) -> Tensor:
    """L_C = mean over the batch of d(x̂, x)² + max(0, 1 − d(x̂, x′))²   (Hadsell, Chopra and LeCun, CVPR 2006).

    fake, real, other: ``pooled`` features [B, F] of x̂, of x and of x′, another picture of the batch; d is Euclidean.
    real and other are detached: x̂ moves towards x, never the discriminator's view of x towards x̂.
    """
    _check_shape("features of x̂ and x", fake, real)
    _check_shape("features of x̂ and x′", fake, other)
    if fake.ndim != 2:
        raise ConfigError(f"features have {fake.ndim} axes", hint="pass [B, F], as from pooled()")
    near_B = (fake - real.detach()).square().sum(1)
    far_B = ((fake - other.detach()).square().sum(1) + DISTANCE_FLOOR).sqrt()
    return _mean(near_B + F.relu(CONTRASTIVE_MARGIN - far_B).square())


def distortion(kind: str, x_hat: Tensor, x: Tensor) -> Tensor:
    """"mse": mean((x̂ − x)²); "l1": mean|x̂ − x|.  Over all elements of equal shapes, pictures in [−1, 1].

    The gradient of l1 jumps at 0, so it wants a learning rate that decays.
    """
    _check_choice("distortion", kind, DISTORTIONS)
    _check_shape("pictures", x_hat, x)
    difference = x_hat - x
    return _mean(difference.square() if kind == "mse" else difference.abs())


def grid_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """G = mean over windows of max(0, mean_{i≠j}⟨d_i, d_j⟩) / (v + HIDING_FLOOR), pictures [B, 3, H, W] in [−1, 1].

    i and j are the 16 blocks of a window of 64×64 pixels, d_i is what x̂ adds to x in block i, 16×16 pixels, less the
    mean of each colour, ⟨·,·⟩ the mean of products over pixels and colours, and v the blocks' mean variance of x, less
    these means too: a pattern shows where there is little else.  H and W: multiples of 64.

    A network without noise makes equal blocks of equal latents, so that detail which it invents repeats every 16
    pixels.  The products of a pattern are its mean square, those of errors that are independent from block to block 0
    on average: unlike a distortion this hardly minds what is invented, only that it comes again next door.  Without
    the bound blocks that cancel one another would be rewarded, the more the larger they are.
    """
    _check_shape("pictures", x_hat, x)
    if x.ndim != 4 or any(side % (LATENT_STRIDE * WINDOW_BLOCKS) for side in x.shape[2:]):
        raise ConfigError(f"pictures of shape {tuple(x.shape)}", hint="sides must be multiples of 64 pixels")
    added_BWND, original_BWND = _blocks(x_hat - x), _blocks(x)
    count = WINDOW_BLOCKS**2
    pairs_BW = added_BWND.sum(2).square().mean(2) - added_BWND.square().mean(3).sum(2)
    variance_BW = original_BWND.square().mean((2, 3))
    return (pairs_BW.clamp(min=0) / (count * (count - 1)) / (variance_BW + HIDING_FLOOR)).mean()


def _blocks(pictures_BCHW: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, windows, blocks of a window, C·16·16] in float32; of each block and colour less its mean."""
    batch, colours, height, width = pictures_BCHW.shape
    rows, columns = height // (LATENT_STRIDE * WINDOW_BLOCKS), width // (LATENT_STRIDE * WINDOW_BLOCKS)
    split = pictures_BCHW.float().reshape(
        batch, colours, rows, WINDOW_BLOCKS, LATENT_STRIDE, columns, WINDOW_BLOCKS, LATENT_STRIDE
    )
    blocks = split.permute(0, 2, 5, 3, 6, 1, 4, 7)
    blocks = blocks - blocks.mean((6, 7), keepdim=True)
    return blocks.reshape(batch, rows * columns, WINDOW_BLOCKS**2, colours * LATENT_STRIDE**2)


def weighted_sum(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """L = Σ weight·term over scalars with the same names on both sides: a misspelt weight is an error, not a 0.

    A weight of 0 leaves its term out of value and graph, so that a switched-off term that is not finite does no harm.
    """
    if terms.keys() != weights.keys() or not terms:
        raise ConfigError(
            f"losses without a weight: {sorted(terms.keys() - weights.keys())}, "
            f"weights without a loss: {sorted(weights.keys() - terms.keys())}",
            hint="every loss needs one weight, and there must be one at least",
        )
    total = next(iter(terms.values())).new_zeros(())
    for name, term in terms.items():
        if term.ndim:
            raise ConfigError(f"loss {name!r} has the shape {tuple(term.shape)}", hint="a loss is one number")
        if weights[name] != 0:
            total = total + weights[name] * term
    return total
