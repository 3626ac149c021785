"""The stages with discriminators: ``extreme`` as a whole, and the realism generator of ``photo``."""

from __future__ import annotations

from abc import abstractmethod
from copy import deepcopy
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gancodec.networks.config import CENTRES
from gancodec.networks.extreme import SYMBOL_MAX, ExtremeModel
from gancodec.networks.features import FeatureNetwork
from gancodec.networks.half import halves_well, use_half_products
from gancodec.training.adversary import Adversary, generator_loss
from gancodec.training.config import TrainConfig
from gancodec.training.losses import grid_error
from gancodec.training.objective import psnr_from_mse
from gancodec.training.sent import SentLatents
from gancodec.training.stage import (
    Pixels,
    Stage,
    adam,
    compile_for,
    parameter_groups,
    to_patches,
    to_pictures,
    to_pixels,
)
from gancodec.training.views import OFF_GRID, random_view
from gancodec.training.world import World, detached
from gancodec.weights import PhotoWeights, Synthesis

REALISM_QUALITIES = (5.0, 20.0, 35.0, 60.0)
"""Validated: where generated detail matters most."""
PANEL_QUALITY = 20.0


class Generated(NamedTuple):
    """A batch as a stage made it."""

    patches_BChw: Tensor
    condition: Tensor | None
    """What conditional discriminators see besides."""
    symbols: Tensor | None
    """−2 … 2, of ``extreme``."""


class GenerativeStage(Stage):
    """One step: reconstruct, update the discriminators, update the generator."""

    def __init__(
        self, model: nn.Module, config: TrainConfig, device: torch.device, world: World, *,
        features: FeatureNetwork | None, condition_channels: int,
    ) -> None:  # fmt: skip
        super().__init__(config, device, world)
        self.features = features
        self.model = model.to(device).to(memory_format=torch.channels_last)
        self.average = deepcopy(self.model).requires_grad_(False)
        self.optimiser = adam(parameter_groups(self.model, config))
        use_half_products(self.model, use=halves_well(device))
        self.adversary: Adversary | None = None
        if config.lambda_adv > 0 or config.lambda_c > 0:
            self.adversary = Adversary(config, condition_channels=condition_channels, device=device, world=world)
        compile_for(device, [self.model] if self.adversary is None else [self.model, self.adversary.discriminator])
        self._shared = world.share(self.model)

    @property
    def networks(self) -> dict[str, nn.Module]:
        named = {"model": self.model, "average": self.average}
        return named if self.adversary is None else named | {"adversary": self.adversary}

    @property
    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        optimisers: dict[str, torch.optim.Optimizer] = {"model": self.optimiser}
        return optimisers if self.adversary is None else optimisers | {"adversary": self.adversary.optimiser}

    @abstractmethod
    def generate(self, patches: Tensor, random: torch.Generator) -> Generated:
        """The batch through the model in training."""

    def step(self, pixels_BHWC: Pixels, done: float) -> dict[str, float]:
        patches = to_patches(pixels_BHWC, self.device)
        random = self.random()
        generated = self.generate(patches, random)
        real, fake = to_pictures(patches), to_pictures(generated.patches_BChw)
        share = self.rate_share(done)
        numbers: dict[str, Tensor] = {}
        heard: dict[str, Tensor] = {}
        taken_d = True
        # A generator that has nothing to learn but the verdict listens from the start.
        perceptual = self.features is not None and self.config.lambda_p > 0
        if self.adversary is not None and (done >= self.config.adversarial_from or not perceptual):
            judgement = self.adversary.update(self, real, fake, generated.condition, share)
            numbers, taken_d = judgement.numbers(), judgement.taken
            if self.adversary.heard(done):
                heard = self.adversary.terms(real, fake, generated.condition)
        least_px = 1 if self.features is None else self.features.min_side_px
        view = random_view(random, side_px=self.config.crop_px, least_px=least_px)
        loss = generator_loss(self.config, real, fake, heard=heard, features=self.features, view=view)
        norm, taken = self.descend(loss.total, self.optimiser, share)
        if taken:
            self.follow(self.average, self.model)
        mse = (fake.detach() - real).square().flatten(1).mean(1)
        numbers |= {"loss": loss.total, "psnr": psnr_from_mse(mse).mean(), "gradient_norm": norm} | loss.terms
        if generated.symbols is not None:
            numbers["bpp"] = symbols_bpp(generated.symbols)
        return detached(numbers) | {"rate_share": share, "skipped": float(not (taken and taken_d))}

    def _autocast(self) -> torch.autocast:
        """bf16 on a GPU, for encoder and generator alone: priors and losses stay in float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")

    def _measure(self, patches: Tensor, rebuilt: Tensor) -> dict[str, float]:
        real, fake = to_pictures(patches), to_pictures(rebuilt).clamp(-1, 1)
        result = {
            "psnr": psnr_from_mse((fake - real).square().flatten(1).mean(1)).mean().item(),
            "grid": grid_error(fake, real).item(),
        }
        if self.features is not None:
            result["distance"] = self.features.distance(OFF_GRID(fake), OFF_GRID(real)).mean().item()
        return result


class ExtremeStage(GenerativeStage):
    """``extreme``, jointly: χ² over all scales + 12·MSE + 10·feature matching through the soft-to-hard quantiser."""

    name: ClassVar[str] = "joint"
    model: ExtremeModel
    average: ExtremeModel

    def __init__(
        self, model: ExtremeModel, config: TrainConfig, device: torch.device, world: World, *,
        features: FeatureNetwork | None,
    ) -> None:  # fmt: skip
        super().__init__(model, config, device, world, features=features, condition_channels=0)

    def generate(self, patches: Tensor, random: torch.Generator) -> Generated:
        with self._autocast():
            rebuilt, symbols = self._shared(patches)
        return Generated(rebuilt, None, symbols.detach())

    @torch.no_grad()
    def validate(self, batches: list[NDArray[np.uint8]]) -> dict[str, float]:
        rows = []
        for pixels in batches:
            patches = to_patches(pixels, self.device)
            rebuilt, symbols = self.average(patches)
            rows.append(self._measure(patches, rebuilt) | {"bpp": symbols_bpp(symbols).item()})
        return {f"valid_{name}": float(np.mean([row[name] for row in rows])) for name in rows[0]}

    @torch.no_grad()
    def reconstruct(self, pixels_BHWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return to_pixels(self.average(to_patches(pixels_BHWC, self.device)).patches_BChw)


class RealismStage(GenerativeStage):
    """The generator of ``photo``, from the fidelity one on; encoder and prior are frozen, files stay as they are.

    ``base``: the codec, on the device; where it has a realism generator, the stage goes on from that.

    The discriminators see ŷ/g besides the picture (as in HiFiC, arXiv:2006.09965).
    """

    name: ClassVar[str] = "realism"
    model: Synthesis
    average: Synthesis

    def __init__(
        self, base: PhotoWeights, config: TrainConfig, device: torch.device, world: World, *,
        features: FeatureNetwork | None,
    ) -> None:  # fmt: skip
        start = deepcopy(base.fidelity if base.realism is None else base.realism).requires_grad_(True)
        channels = base.config.latent_channels
        super().__init__(start, config, device, world, features=features, condition_channels=channels)
        self.sent = SentLatents(base, device, config.effort)
        self.fidelity = base.fidelity

    def generate(self, patches: Tensor, random: torch.Generator) -> Generated:
        quality = torch.rand(len(patches), generator=random, device=self.device) * 100
        sent = self.sent(patches, quality)
        with self._autocast():
            rebuilt = self._shared(sent.latent_BMhw, sent.anchor_weights_BA)
        return Generated(rebuilt, sent.known_BMhw, None)

    @torch.no_grad()
    def validate(self, batches: list[NDArray[np.uint8]]) -> dict[str, float]:
        """PSNR and feature distance per quality, and their means' distance from the fidelity generator's."""
        result: dict[str, float] = {}
        for quality, squares in self.sent.squares(batches, REALISM_QUALITIES).items():
            rows = []
            for _, patches, sent in squares:
                before = self._measure(patches, self.fidelity(sent.latent_BMhw, sent.anchor_weights_BA))
                rows.append(
                    self._measure(patches, self.average(sent.latent_BMhw, sent.anchor_weights_BA))
                    | {f"fidelity_{name}": number for name, number in before.items()}
                )
            result |= {f"{name}_{quality:g}": float(np.mean([row[name] for row in rows])) for name in rows[0]}
        return result

    @torch.no_grad()
    def reconstruct(self, pixels_BHWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        patches = to_patches(pixels_BHWC, self.device)
        sent = self.sent(patches, torch.full((len(patches),), PANEL_QUALITY, device=self.device))
        return to_pixels(self.average(sent.latent_BMhw, sent.anchor_weights_BA))


def symbols_bpp(symbols_BChw: Tensor) -> Tensor:
    """Bits per pixel of −2 … 2 under one table a channel fitted to this very batch: Σ_C H(q) / 256."""
    flat = (symbols_BChw.round() + SYMBOL_MAX).long().transpose(0, 1).flatten(1)
    counts = torch.stack([(flat == value).float().mean(1) for value in range(CENTRES)], 1)
    return -(counts * torch.log2(counts.clamp(min=1e-9))).sum() / 256
