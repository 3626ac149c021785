"""Gradient refinement of y and z for the pictures at hand: stochastic Gumbel annealing.

Every value x is rounded down or up at random, with the probabilities of a relaxed two-way choice whose logits are
−atanh of the distance divided by the temperature τ, which falls (Yang, Bamler and Mandt 2020, arXiv:2006.04240,
section 3.2).  Rate and distortion are those of that choice, differentiated through the whole chain of context steps:
the means, and the scales by the float twin of the integer network, move with every symbol before them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from gancodec.effort.objective import Objective, core_slices, latent_slices
from gancodec.effort.rounding import Latents
from gancodec.networks.config import LATENT_STRIDE, PIXEL_ALIGN
from gancodec.networks.index import IndexNetwork
from gancodec.networks.photo import logistic_bits
from gancodec.networks.prior import HYPER_STRIDE
from gancodec.networks.steps import step_masks
from gancodec.picture import Tile

HALO_PX: Final = 128
"""Around a tile: what reaches into it through generator and context is small beyond that."""
TEMPERATURES: Final = (0.5, 0.1)
RATE: Final = 0.02
RATE_UP_TO: Final = 80
"""Iterations; where there are more, the rate falls with their root."""
BETAS: Final = (0.9, 0.99)
LAST_SHARE: Final = 0.05
"""Of the rate, in the last iteration; on the way there it follows a cosine."""
EDGE: Final = 1e-5


def anneal(
    objective: Objective, index: IndexNetwork, start: Latents, *, iterations: int, seed: int, step: Callable[[], bool]
) -> Latents:
    """Refine all pictures together, in tiles.

    index: the float twin.  step is called after each iteration, and returns whether to go on.
    """
    latents = Latents(y_BMhw=_leaf(start.y_BMhw), z_BCuv=_leaf(start.z_BCuv))
    both = [latents.y_BMhw, latents.z_BCuv]
    rate = RATE * math.sqrt(RATE_UP_TO / max(RATE_UP_TO, iterations))
    optimiser = torch.optim.Adam(both, lr=rate, betas=BETAS)
    random = torch.Generator(device=objective.pipeline.device).manual_seed(seed)
    high, low = TEMPERATURES
    for number in range(iterations):
        done = number / iterations
        for group in optimiser.param_groups:
            group["lr"] = rate * (LAST_SHARE + (1 - LAST_SHARE) * 0.5 * (1 + math.cos(math.pi * done)))
        choice = _Choice(high * (low / high) ** done, [_noise(each, random) for each in both])
        optimiser.zero_grad(set_to_none=True)
        for tile in objective.tiles(HALO_PX, align=PIXEL_ALIGN):
            objective.pipeline.between()
            with torch.enable_grad():
                _cost(objective, index, latents, choice, tile).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if not step():
            break
    return Latents(y_BMhw=latents.y_BMhw.detach(), z_BCuv=latents.z_BCuv.detach())


@dataclass(frozen=True, slots=True, eq=False)
class _Choice:
    """Of one iteration, for every value of y and z; noise: without the axis of pictures."""

    temperature: float
    noise: list[Tensor]

    def up(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The lower neighbour, and the weight of the upper one."""
        low = x.detach().floor()
        fraction = (x - low).clamp(EDGE, 1 - EDGE)
        logit = (torch.atanh(fraction) - torch.atanh(1 - fraction)) / self.temperature
        return low, torch.sigmoid((logit + noise) / self.temperature)


def _cost(objective: Objective, index: IndexNetwork, latents: Latents, choice: _Choice, tile: Tile) -> Tensor:
    """J of a tile's core, all pictures together."""
    pipeline, weights_BA = objective.pipeline, objective.anchor_weights_BA
    weights = pipeline.weights
    rows, columns = latent_slices(tile)
    y, noise_y = (each[..., rows, columns] for each in (latents.y_BMhw, choice.noise[0]))
    hyper_rows, hyper_columns = (_strided(each, HYPER_STRIDE) for each in (rows, columns))
    z, noise_z = (each[..., hyper_rows, hyper_columns] for each in (latents.z_BCuv, choice.noise[1]))

    low_z, up_z = choice.up(z, noise_z)
    symbols_z = low_z + up_z
    hyper = objective.prepared.means.hyper(symbols_z + weights.prior.medians[:, None, None])
    index_hyper = index.hyper(symbols_z, weights_BA)
    gain = objective.gain_BM11
    log_scale = gain.log().expand_as(y)
    known, symbols = torch.zeros_like(y), torch.zeros_like(y)
    for number, mask in enumerate(step_masks(y.shape[1], y.shape[2], y.shape[3], y.device).to(y.dtype)):
        mean = objective.prepared.means.step(number, known, hyper) * gain
        log_scale = log_scale + index.step(number, symbols, gain, index_hyper, weights_BA) * mask
        low, up = choice.up(y - mean, noise_y)
        known = known + (mean + low + up) * (mask / gain)
        symbols = symbols + (low + up) * mask

    core = core_slices(tile, LATENT_STRIDE)
    bits = logistic_bits(symbols[core], log_scale[core]).flatten(1).sum(1)
    hyper_core = core_slices(tile, PIXEL_ALIGN)
    bits = bits + _hyper_bits(objective, low_z[hyper_core], up_z[hyper_core])
    y0 = (known * (gain * objective.synthesis.gains(weights_BA))).contiguous(memory_format=torch.channels_last)
    distortion = objective.distortion_of(objective.synthesis.generator(y0, weights_BA), tile)
    return (bits + objective.slope_B * distortion).sum()


def _hyper_bits(objective: Objective, low_z: Tensor, up_z: Tensor) -> Tensor:
    """[B] expected bits of z under its tables."""
    tables = objective.hyper_tables(low_z)
    bits_low, bits_high = (objective.hyper_costs(tables, each) for each in (low_z, low_z + 1))
    return torch.lerp(bits_low, bits_high, up_z).flatten(1).sum(1)


def _strided(part: slice, stride: int) -> slice:
    return slice(part.start // stride, part.stop // stride)


def _leaf(x: Tensor) -> Tensor:
    return x.detach().clone().requires_grad_(True)


def _noise(x: Tensor, random: torch.Generator) -> Tensor:
    """The difference of two Gumbel variables, the same for every picture: what others go along must not matter."""
    return torch.logit(torch.rand(x.shape[1:], generator=random, device=x.device, dtype=x.dtype), eps=1e-6)
