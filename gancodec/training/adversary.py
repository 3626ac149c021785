"""The discriminators' side of a stage: their own update, and the terms that they give the generator."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from gancodec.networks.features import FeatureNetwork
from gancodec.training.config import TrainConfig
from gancodec.training.discriminator import MultiScaleDiscriminator, ScaleOutput
from gancodec.training.losses import (
    adversarial_discriminator,
    adversarial_generator,
    contrastive_margin,
    distortion,
    feature_matching,
    grid_error,
    pooled,
    weighted_sum,
)
from gancodec.training.stage import WARMUP_SHARE, Stage, adam
from gancodec.training.views import View
from gancodec.training.world import World

NEEDS_LIPSCHITZ = ("hinge", "wasserstein")
"""Losses whose discriminators get spectral norm: without it the Wasserstein loss has no lower bound."""
BETA1 = 0.5
"""Of Adam for the discriminators, as pix2pixHD has it: long memory and two players make cycles."""


class GeneratorLoss(NamedTuple):
    total: Tensor
    terms: dict[str, Tensor]
    """Every term before its weight."""


class Adversary(nn.Module):
    """Multi-scale discriminators and how many updates they had; the count is part of a checkpoint."""

    updates: Tensor

    def __init__(self, config: TrainConfig, *, condition_channels: int, device: torch.device, world: World) -> None:
        super().__init__()
        self.config = config
        self.discriminator = MultiScaleDiscriminator(
            widths=config.discriminator_widths,
            scales=config.discriminator_scales,
            spectral=config.adversarial in NEEDS_LIPSCHITZ,
            condition_channels=condition_channels,
        )
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.to(device).to(memory_format=torch.channels_last)
        rate = config.learning_rate_discriminator
        groups = [{"params": list(self.discriminator.parameters()), "lr": rate, "base": rate}]
        self.optimiser = adam(groups, beta1=BETA1, beta2=0.99)
        self._shared = [world.share(self.discriminator)]  # in a list: no submodule, the checkpoint has it once

    def heard(self, done: float) -> bool:
        """Whether the discriminators have trained long enough to be listened to; ``done`` is the share of the run."""
        enough = int(self.updates) >= self.config.discriminator_warmup_steps
        return enough or done >= self.config.adversarial_from + WARMUP_SHARE

    def update(self, stage: Stage, real: Tensor, fake: Tensor, condition: Tensor | None, share: float) -> Judgement:
        """One update on originals and reconstructions, [B, 3, H, W] in [−1, 1]; the generator gets no gradient."""
        self.discriminator.requires_grad_(True)
        both = torch.cat((real, fake.detach()))
        outputs = self._shared[0](both, None if condition is None else torch.cat((condition, condition)))
        real_maps, fake_maps = ([output.logits[part] for output in outputs] for part in _halves(len(real)))
        loss = adversarial_discriminator(self.config.adversarial, real_maps, fake_maps)
        _, taken = stage.descend(loss, self.optimiser, share)
        self.updates += int(taken)
        scales = len(outputs)
        return Judgement(
            loss.detach() / scales,
            torch.stack([each.detach().mean() for each in real_maps]).mean(),
            torch.stack([each.detach().mean() for each in fake_maps]).mean(),
            taken,
        )

    def terms(self, real: Tensor, fake: Tensor, condition: Tensor | None) -> dict[str, Tensor]:
        """What the generator hears; the discriminators get no gradient."""
        self.discriminator.requires_grad_(False)
        with torch.no_grad():
            original: list[ScaleOutput] = self.discriminator(real, condition)
        judged: list[ScaleOutput] = self.discriminator(fake, condition)
        config = self.config
        terms = {
            "adversarial": adversarial_generator(
                config.adversarial, [output.logits for output in judged], scales=config.generator_scales
            ),
            "feature_matching": feature_matching(
                [output.features for output in original], [output.features for output in judged]
            ),
        }
        if config.lambda_c > 0:
            of_real = pooled([output.features for output in original])
            of_fake = pooled([output.features for output in judged])
            terms["contrastive"] = contrastive_margin(of_fake, of_real, of_real.roll(1, 0))
        return terms


class Judgement(NamedTuple):
    """How the discriminators did, means over the scales."""

    loss: Tensor
    real: Tensor
    """Mean verdict on originals; 1 is right for χ²."""
    fake: Tensor
    """Mean verdict on reconstructions; 0 is right for χ²."""
    taken: bool

    def numbers(self) -> dict[str, Tensor]:
        """For the log."""
        return {"d_loss": self.loss, "d_real": self.real, "d_fake": self.fake}


def generator_loss(
    config: TrainConfig, real: Tensor, fake: Tensor, *,
    heard: dict[str, Tensor], features: FeatureNetwork | None, view: View,
) -> GeneratorLoss:  # fmt: skip
    """L_G = lambda_X·D + lambda_P·P + lambda_adv·(A + lambda_FM·FM) + lambda_C·C + lambda_grid·G   (DESIGN §1).

    real, fake: pictures [B, 3, H, W].  G is ours: it keeps invented detail from repeating (``grid_error``).

    ``heard``: the discriminators' terms; empty as long as they do not count.  ``view``: what the feature network sees.
    """
    terms = {"distortion": distortion(config.distortion, fake, real)} | heard
    weights = {"distortion": config.lambda_x}
    if features is not None and config.lambda_p > 0:
        terms["perceptual"] = features.distance(view(fake), view(real)).mean()
        weights["perceptual"] = config.lambda_p
    if config.lambda_grid > 0:
        terms["grid"] = grid_error(fake, real)
        weights["grid"] = config.lambda_grid
    if heard:
        weights |= {"adversarial": config.lambda_adv, "feature_matching": config.lambda_adv * config.lambda_fm}
        if config.lambda_c > 0:
            weights["contrastive"] = config.lambda_c
    return GeneratorLoss(weighted_sum(terms, weights), terms)


def _halves(size: int) -> tuple[slice, slice]:
    return slice(0, size), slice(size, None)
