"""Latent channels that cost more bits than their squared error is worth are muted, quality by quality.

Straight-through gradients tell an encoder that a latent which rounds to 0 arrives all the same, so weak channels grow
until symbols fire, whether these are worth their bits or not; ``round_latent`` lessens that and does not end it.  What
no gradient says, real symbols do.  At every anchor quality

    ratio_c = lambda_X·(D without the symbols of channel c − D) / (lambda_R·bits per pixel of channel c)

is measured, and of all channels below one of THRESHOLDS the set is muted that lowers the objective most on other
pictures: their gains become so small that their symbols are 0 and, in silent tables, cost nothing.
docs/decisions/0006-muted-channels.md.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from gancodec.networks.photo import Latent, PhotoModel
from gancodec.networks.quality import lambda_r
from gancodec.training.config import TrainConfig
from gancodec.training.losses import distortion
from gancodec.training.objective import rate_distortion

THRESHOLDS: Final = (0.05, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85)
"""Below 1, since what several channels restore together is more than the sum of what each does by itself."""
PAST: Final = 0.003
"""Of the objective above the best: higher thresholds are not tried."""
SILENT: Final = 0.25
"""In steps: the largest residual of a muted channel that was measured; from 0.5 on symbols would fire.  Less would mute
the channel further on the way to the next anchor, where it is worth its bits."""
LEAST_BITS: Final = 0.02
"""A channel that costs fewer in a picture, on average, is as good as muted."""
TOGETHER: Final = 8
"""Latents that the generator sees at a time, each without one of the channels."""


@torch.no_grad()
def mute_channels(model: PhotoModel, measured_NBChw: Tensor, checked_NBChw: Tensor, config: TrainConfig) -> Tensor:
    """Mute channels of ``model`` in place; returns which, bool [A, M].

    measured, checked: [N, B, 192, H/8, W/8] in [−1, 1], pictures the channels are measured on and others that decide.
    Anchors are visited from quality 0 on, up to the first that has nothing to mute.  What is taken from a muted
    channel's gain the generator's gain gets back, so its mean arrives as before.
    """
    anchors = model.config.anchors
    muted = torch.zeros(anchors, model.config.latent_channels, dtype=torch.bool)
    for anchor in range(anchors):
        quality = 100 * anchor / (anchors - 1)
        ratio_M, peak_M = _ratios(model, measured_NBChw, quality, config)
        silencing_M = (peak_M / SILENT).log().clamp(min=0)
        best = _objective(model, checked_NBChw, quality, config)
        gains = [each.log_gain_AM[anchor].clone() for each in (model.gains, model.generator_gains)]
        chosen_M, tried_M = None, torch.zeros_like(ratio_M, dtype=torch.bool)
        for threshold in THRESHOLDS:
            candidate_M = ratio_M < threshold
            if torch.equal(candidate_M, tried_M):
                continue
            tried_M = candidate_M
            _lower(model, anchor, silencing_M * candidate_M)
            found = _objective(model, checked_NBChw, quality, config)
            model.gains.log_gain_AM[anchor], model.generator_gains.log_gain_AM[anchor] = gains
            if found < best:
                best, chosen_M = found, candidate_M
            elif found > (1 + PAST) * best:
                break
        if chosen_M is None:
            break
        _lower(model, anchor, silencing_M * chosen_M)
        muted[anchor] = chosen_M.cpu()
    return muted


def _lower(model: PhotoModel, anchor: int, by_M: Tensor) -> None:
    model.gains.log_gain_AM[anchor] -= by_M
    model.generator_gains.log_gain_AM[anchor] += by_M


def _objective(model: PhotoModel, pictures_NBChw: Tensor, quality: float, config: TrainConfig) -> float:
    """Loss with rounded symbols, the mean over all pictures."""
    losses = []
    for patches in pictures_NBChw:
        at_B = patches.new_full((len(patches),), quality)
        losses.append(float(rate_distortion(model(patches, at_B), patches, at_B, config).loss))
    return sum(losses) / len(losses)


def _ratios(
    model: PhotoModel, pictures_NBChw: Tensor, quality: float, config: TrainConfig
) -> tuple[Tensor, Tensor]:
    """What channels are worth for their bits, infinite where they cost none, and their largest |y − gμ₀|; both [M]."""
    channels = model.config.latent_channels
    price = config.lambda_r * float(lambda_r(torch.tensor(quality)))
    bits_M, worth_M, peak_M = (pictures_NBChw.new_zeros(channels) for _ in range(3))
    pictures = pictures_NBChw.flatten(0, 1)
    pixels = pictures[0].numel() / 3
    for patches in torch.split(pictures, 1):
        latent = model.latent(patches, patches.new_full((1,), quality))
        bits_M += model.residual_bits(latent.symbols_BMhw, model.log_scale(latent)).sum((0, 2, 3))
        residual_BMhw = latent.y_BMhw - latent.log_gain_BM11.exp() * latent.mean0_BMhw
        peak_M = torch.maximum(peak_M, residual_BMhw.abs().amax((0, 2, 3)))
        before = distortion(config.distortion, model.synthesise(latent), patches)
        fires = latent.symbols_BMhw.any(3).any(2)[0].nonzero().flatten()
        for some in torch.split(fires, TOGETHER):
            without = model.synthesise(_without(latent, some))
            for channel, restored in zip(some.tolist(), without, strict=True):
                worth_M[channel] += distortion(config.distortion, restored[None], patches) - before
    ratio_M = config.lambda_x * worth_M * pixels / (price * bits_M)
    ratio_M[bits_M < LEAST_BITS * len(pictures)] = torch.inf
    return ratio_M, peak_M


def _without(latent: Latent, channels_C: Tensor) -> Latent:
    """The latent of one picture as often as there are channels, each time with the symbols of one of them at 0."""
    count = len(channels_C)
    known = latent.known_BMhw.repeat(count, 1, 1, 1)
    steps = latent.symbols_BMhw[0, channels_C] / latent.log_gain_BM11.exp()[0, channels_C]
    known[torch.arange(count, device=channels_C.device), channels_C] -= steps
    return latent._replace(
        known_BMhw=known,
        anchor_weights_BA=latent.anchor_weights_BA.expand(count, -1),
        log_gain_BM11=latent.log_gain_BM11.expand(count, -1, -1, -1),
    )
