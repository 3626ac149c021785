"""Stage synthesis of ``photo``: the fidelity generator alone, for lambda_X · distortion, on latents as they are sent.

Encoder and prior are frozen, so files, their bits and the model id stay as they are.
"""

from __future__ import annotations

from copy import deepcopy
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gancodec.networks.half import halves_well, use_half_products
from gancodec.training.config import TrainConfig
from gancodec.training.fidelity import PANEL_QUALITY, VALID_QUALITIES
from gancodec.training.objective import Error, weighted_error
from gancodec.training.sent import Sent, SentLatents
from gancodec.training.stage import Pixels, Stage, adam, compile_for, parameter_groups, to_patches, to_pixels
from gancodec.training.world import World, detached
from gancodec.weights import PhotoWeights, Synthesis


class SynthesisStage(Stage):
    """Owns generator, moving average and optimiser; ``base``: the codec, on the device."""

    name: ClassVar[str] = "synthesis"

    def __init__(self, base: PhotoWeights, config: TrainConfig, device: torch.device, world: World) -> None:
        super().__init__(config, device, world)
        self.sent = SentLatents(base, device, config.effort)
        self.before = base.fidelity
        self.model = deepcopy(base.fidelity).requires_grad_(True).to(memory_format=torch.channels_last)
        self.average = deepcopy(self.model).requires_grad_(False)
        self.optimiser = adam(parameter_groups(self.model, config))
        use_half_products(self.model, use=halves_well(device))
        compile_for(device, [self.model])
        self._shared = world.share(self.model)
        self._valid: tuple[list[NDArray[np.uint8]], list[tuple[float, Tensor, Sent]]] | None = None

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"model": self.model, "average": self.average}

    @property
    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"model": self.optimiser}

    def step(self, pixels_BHWC: Pixels, done: float) -> dict[str, float]:
        patches = to_patches(pixels_BHWC, self.device)
        quality = torch.rand(len(patches), generator=self.random(), device=self.device) * 100
        sent = self.sent(patches, quality)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            rebuilt = self._shared(sent.latent_BMhw, sent.anchor_weights_BA)
        error = weighted_error(rebuilt, patches, quality, self.config)
        share = self.rate_share(done)
        norm, taken = self.descend(error.loss, self.optimiser, share)
        if taken:
            self.follow(self.average, self.model)
        numbers = {"loss": error.loss, "psnr": error.psnr, "gradient_norm": norm}
        return detached(numbers) | {"rate_share": share, "skipped": float(not taken)}

    @torch.no_grad()
    def validate(self, batches: list[NDArray[np.uint8]]) -> dict[str, float]:
        """The distortion's part of the objective, and PSNR by quality; ``fidelity_psnr``: of the generator before."""
        rows: dict[float, list[tuple[Error, Error]]] = {}
        for value, patches, sent in self._sent_squares(batches):
            both = (self._error(self.average, value, patches, sent), self._error(self.before, value, patches, sent))
            rows.setdefault(value, []).append(both)
        result: dict[str, float] = {"valid_loss": _mean([now.loss for row in rows.values() for now, _ in row])}
        for value, row in rows.items():
            result[f"psnr_{value:g}"] = _mean([now.psnr for now, _ in row])
            result[f"fidelity_psnr_{value:g}"] = _mean([before.psnr for _, before in row])
        return result

    @torch.no_grad()
    def is_better(self, batches: list[NDArray[np.uint8]]) -> bool:
        """Whether the averaged generator's distortion is below that of the one before, on these squares."""
        losses = [
            [self._error(generator, *square).loss for square in self._sent_squares(batches)]
            for generator in (self.average, self.before)
        ]
        return _mean(losses[0]) < _mean(losses[1])

    @torch.no_grad()
    def reconstruct(self, pixels_BHWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        patches = to_patches(pixels_BHWC, self.device)
        sent = self.sent(patches, torch.full((len(patches),), PANEL_QUALITY, device=self.device))
        return to_pixels(self.average(sent.latent_BMhw, sent.anchor_weights_BA))

    def _sent_squares(self, batches: list[NDArray[np.uint8]]) -> list[tuple[float, Tensor, Sent]]:
        """Batches at each of VALID_QUALITIES; the encoder does not change, so that once is enough."""
        if self._valid is None or self._valid[0] is not batches:
            squares = []
            for value in VALID_QUALITIES:
                for pixels in batches:
                    patches = to_patches(pixels, self.device)
                    quality = torch.full((len(patches),), value, device=self.device)
                    squares.append((value, patches, self.sent(patches, quality)))
            self._valid = (batches, squares)
        return self._valid[1]

    def _error(self, generator: Synthesis, value: float, patches: Tensor, sent: Sent) -> Error:
        quality = torch.full((len(patches),), value, device=self.device)
        return weighted_error(generator(sent.latent_BMhw, sent.anchor_weights_BA), patches, quality, self.config)


def _mean(values: list[Tensor]) -> float:
    return float(torch.stack(values).mean())
