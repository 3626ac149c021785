"""Stage synthesis of ``photo``: the fidelity generator alone, for lambda_X · distortion, on latents as they are sent.

Encoder and prior are frozen, so files that exist and the model id stay as they are.  What encoders send depends on a
generator, too, where there is effort: they keep going by the one trained together with them, so new files stay much the
same as well (docs/decisions/0007-latents-as-sent.md).
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gancodec.networks.half import halves_well, use_half_products
from gancodec.training.config import TrainConfig
from gancodec.training.fidelity import PANEL_QUALITY, VALID_QUALITIES
from gancodec.training.objective import Distortion, weighted_distortion
from gancodec.training.sent import SentLatents, Square
from gancodec.training.stage import Pixels, Stage, adam, compile_for, parameter_groups, to_patches, to_pixels
from gancodec.training.world import World, detached
from gancodec.weights import PhotoWeights, Synthesis


class SynthesisStage(Stage):
    """Owns generator, moving average and optimiser; ``base``: the codec, on the device.

    ``before`` is the reader's generator that the stage began with, also when it is resumed and the codec in the run's
    folder has another by then.
    """

    name: ClassVar[str] = "synthesis"

    def __init__(self, base: PhotoWeights, config: TrainConfig, device: torch.device, world: World) -> None:
        super().__init__(config, device, world)
        self.before = deepcopy(base.fidelity)
        self.sent = SentLatents(replace(base, fidelity=self.before, guide=base.guiding), device, config.effort)
        self.model = deepcopy(base.fidelity).requires_grad_(True).to(memory_format=torch.channels_last)
        self.average = deepcopy(self.model).requires_grad_(False)
        self.optimiser = adam(parameter_groups(self.model, config))
        use_half_products(self.model, use=halves_well(device))
        compile_for(device, [self.model])
        self._shared = world.share(self.model)

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"model": self.model, "average": self.average, "before": self.before}

    @property
    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"model": self.optimiser}

    def step(self, pixels_BHWC: Pixels, done: float) -> dict[str, float]:
        patches = to_patches(pixels_BHWC, self.device)
        quality = torch.rand(len(patches), generator=self.random(), device=self.device) * 100
        sent = self.sent(patches, quality)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            rebuilt = self._shared(sent.latent_BMhw, sent.anchor_weights_BA)
        distortion = weighted_distortion(rebuilt, patches, quality, self.config)
        share = self.rate_share(done)
        norm, taken = self.descend(distortion.loss, self.optimiser, share)
        if taken:
            self.follow(self.average, self.model)
        numbers = {"loss": distortion.loss, "psnr": distortion.psnr, "gradient_norm": norm}
        return detached(numbers) | {"rate_share": share, "skipped": float(not taken)}

    @torch.no_grad()
    def validate(self, batches: list[NDArray[np.uint8]]) -> dict[str, float]:
        """The distortion's part of the objective, and PSNR by quality; ``before_psnr``: of the generator before."""
        losses: list[Tensor] = []
        result: dict[str, float] = {}
        for quality, squares in self.sent.squares(batches, VALID_QUALITIES).items():
            now = [self._distortion(self.average, each) for each in squares]
            before = [self._distortion(self.before, each) for each in squares]
            losses += [each.loss for each in now]
            result[f"psnr_{quality:g}"] = _mean([each.psnr for each in now])
            result[f"before_psnr_{quality:g}"] = _mean([each.psnr for each in before])
        return {"valid_loss": _mean(losses)} | result

    @torch.no_grad()
    def is_better(self, generator: Synthesis, batches: list[NDArray[np.uint8]]) -> bool:
        """Whether a generator's distortion is below that of the one before, on these squares."""
        return self._loss(generator, batches) < self._loss(self.before, batches)

    @torch.no_grad()
    def reconstruct(self, pixels_BHWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        patches = to_patches(pixels_BHWC, self.device)
        sent = self.sent(patches, torch.full((len(patches),), PANEL_QUALITY, device=self.device))
        return to_pixels(self.average(sent.latent_BMhw, sent.anchor_weights_BA))

    def _loss(self, generator: Synthesis, batches: list[NDArray[np.uint8]]) -> float:
        squares = self.sent.squares(batches, VALID_QUALITIES).values()
        return _mean([self._distortion(generator, each).loss for row in squares for each in row])

    def _distortion(self, generator: Synthesis, square: Square) -> Distortion:
        quality, patches, sent = square
        return weighted_distortion(generator(sent.latent_BMhw, sent.anchor_weights_BA), patches, quality, self.config)


def _mean(values: list[Tensor]) -> float:
    return float(torch.stack(values).mean())
