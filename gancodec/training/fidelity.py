"""Stage fidelity of ``photo``: everything is trained for rate + lambda_X · distortion, at every quality at once."""

from __future__ import annotations

from copy import deepcopy
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gancodec.networks.half import halves_well, use_half_products
from gancodec.networks.photo import PhotoModel
from gancodec.training.config import TrainConfig
from gancodec.training.objective import rate_distortion
from gancodec.training.stage import Pixels, Stage, adam, compile_for, parameter_groups, to_patches, to_pixels
from gancodec.training.world import World, detached

VALID_QUALITIES = (0.0, 30.0, 60.0, 90.0)
PANEL_QUALITY = 30.0


class FidelityStage(Stage):
    """Owns model, moving average and optimiser."""

    name: ClassVar[str] = "fidelity"

    def __init__(self, model: PhotoModel, config: TrainConfig, device: torch.device, world: World) -> None:
        super().__init__(config, device, world)
        self.model = model.to(device).to(memory_format=torch.channels_last)
        self.average = deepcopy(self.model).requires_grad_(False)
        self.optimiser = adam(parameter_groups(self.model, config))
        self.model.half_precision = device.type == "cuda"
        use_half_products(self.model, use=halves_well(device))
        compile_for(
            device,
            [self.model.encoder, self.model.hyper_encoder, self.model.generator,
             *self.model.means.steps, *self.model.index.steps],
        )  # fmt: skip
        self._shared = world.share(self.model)

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"model": self.model, "average": self.average}

    @property
    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"model": self.optimiser}

    def step(self, pixels_BHWC: Pixels, done: float) -> dict[str, float]:
        self.model.index.rounding = self.average.index.rounding = done >= self.config.rounding_from
        random = self.random()
        patches = to_patches(pixels_BHWC, self.device)
        quality = torch.rand(len(patches), generator=random, device=self.device) * 100
        terms = rate_distortion(self._shared(patches, quality, random), patches, quality, self.config)
        share = self.rate_share(done)
        norm, taken = self.descend(terms.loss, self.optimiser, share)
        if taken:
            self.follow(self.average, self.model)
        numbers = {
            "loss": terms.loss, "bpp": terms.bpp, "bpp_z": terms.bpp_z, "psnr": terms.psnr,
            "gradient_norm": norm,
        }  # fmt: skip
        return detached(numbers) | {"rate_share": share, "skipped": float(not taken)}

    def validate(self, batches: list[NDArray[np.uint8]]) -> dict[str, float]:
        return self.measured(self.average, batches)

    @torch.no_grad()
    def measured(self, model: PhotoModel, batches: list[NDArray[np.uint8]]) -> dict[str, float]:
        """Rounded everywhere: the objective, estimated bpp and PSNR at each of VALID_QUALITIES."""
        result: dict[str, float] = {}
        total = 0.0
        for value in VALID_QUALITIES:
            rows = []
            for pixels in batches:
                patches = to_patches(pixels, self.device)
                quality = torch.full((len(patches),), value, device=self.device)
                terms = rate_distortion(model(patches, quality), patches, quality, self.config)
                rows.append((terms.loss.item(), terms.bpp.item(), terms.psnr.item()))
            loss, bpp, psnr = (float(np.mean(column)) for column in zip(*rows, strict=True))
            total += loss / len(VALID_QUALITIES)
            result |= {f"bpp_{value:g}": bpp, f"psnr_{value:g}": psnr}
        return {"valid_loss": total} | result

    @torch.no_grad()
    def reconstruct(self, pixels_BHWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        patches = to_patches(pixels_BHWC, self.device)
        quality = torch.full((len(patches),), PANEL_QUALITY, device=self.device)
        return to_pixels(self.average.synthesise(self.average.latent(patches, quality)))
