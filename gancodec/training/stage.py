"""What every stage of training has: networks, optimisers, a moving average, a schedule; and how one update is made."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gancodec.networks.blocks import QualityBias, shuffle, unshuffle
from gancodec.networks.photo import Gains
from gancodec.training.checkpoint import Progress
from gancodec.training.config import TrainConfig
from gancodec.training.world import World

WARMUP_SHARE = 0.05
"""Of a run: no warm-up takes longer than this."""

Pixels = NDArray[np.uint8] | Tensor
"""uint8 [B, H, W, 3]: from memory, or already on the device."""


def to_patches(pixels_BHWC: Pixels, device: torch.device) -> Tensor:
    """uint8 [B, H, W, 3] -> [B, 192, H/8, W/8] in [−1, 1]."""
    pixels = pixels_BHWC if isinstance(pixels_BHWC, Tensor) else torch.from_numpy(np.ascontiguousarray(pixels_BHWC))
    return unshuffle(pixels.to(device).permute(0, 3, 1, 2), 8).float().div_(127.5).sub_(1)


def to_pictures(patches_BChw: Tensor) -> Tensor:
    """[B, 192, H/8, W/8] -> [B, 3, H, W], channels_last."""
    return shuffle(patches_BChw, 8)


def to_pixels(patches_BChw: Tensor) -> NDArray[np.uint8]:
    """[B, 192, H/8, W/8] in [−1, 1] -> uint8 [B, H, W, 3]."""
    levels = to_pictures(patches_BChw).add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    pixels: NDArray[np.uint8] = levels.permute(0, 2, 3, 1).cpu().numpy()
    return pixels


def parameter_groups(model: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Three learning rates (DESIGN §3): shortcuts, biases and depthwise filters, everything else."""
    modules = list(model.modules())
    slow = {id(p) for name, p in model.named_parameters() if "shortcut" in name.split(".")}
    tables = {id(p) for module in modules if isinstance(module, Gains | QualityBias) for p in module.parameters()}
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if id(parameter) in slow:
            rate = config.learning_rate_shortcut
        elif id(parameter) not in tables and (parameter.ndim < 4 or parameter.shape[1:] == (1, 3, 3)):
            rate = config.learning_rate_small
        else:
            rate = config.learning_rate
        groups.setdefault(rate, []).append(parameter)
    return [{"params": parameters, "lr": rate, "base": rate} for rate, parameters in groups.items()]


def adam(groups: list[dict[str, Any]], *, beta1: float = 0.9, beta2: float = 0.98) -> torch.optim.AdamW:
    """The optimiser of every network."""
    return torch.optim.AdamW(groups, betas=(beta1, beta2), weight_decay=0.0, fused=True)


def compile_for(device: torch.device, networks: Iterable[nn.Module]) -> None:
    """On a GPU, fuse the small kernels of these networks, which would else wait for their launches; on a CPU it costs.

    Where a network cannot be compiled it runs as it is.
    """
    if device.type != "cuda":
        return
    torch._dynamo.config.suppress_errors = True
    for network in networks:
        network.compile()


class Stage(ABC):
    """One way of training.  The loop (loop.py) knows this and no network."""

    name: ClassVar[str]

    def __init__(self, config: TrainConfig, device: torch.device, world: World) -> None:
        self.config, self.device, self.world = config, device, world
        self.progress = Progress()

    @property
    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """Everything with a state that a checkpoint holds, by name."""

    @property
    @abstractmethod
    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """By the name of the network whose parameters they step."""

    @abstractmethod
    def step(self, pixels_BHWC: Pixels, done: float) -> dict[str, float]:
        """One update of every network on a batch; ``done`` is the share of the run, 0..1.  Returns what to log.

        ``skipped`` is 1 if an update was left out because its gradients were not finite.
        """

    @abstractmethod
    def validate(self, batches: list[NDArray[np.uint8]]) -> dict[str, float]:
        """The averaged model on fixed squares: numbers for the log."""

    @abstractmethod
    def reconstruct(self, pixels_BHWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The averaged model's version of fixed squares, for the panel."""

    def advance(self, pixels_BHWC: Pixels, done: float) -> dict[str, float]:
        """``step``, counted."""
        numbers = self.step(pixels_BHWC, done)
        batch, height, width, _ = pixels_BHWC.shape
        self.progress.step += 1
        self.progress.skipped += int(numbers["skipped"])
        self.progress.megapixels += batch * height * width * self.world.size / 1e6
        return numbers

    def random(self) -> torch.Generator:
        """What is drawn in this step depends on seed, step and process alone."""
        seed = (self.config.seed * 1_000_003 + self.progress.step) * self.world.size + self.world.rank
        return torch.Generator(self.device).manual_seed(seed)

    def rate_share(self, done: float) -> float:
        """Share of the learning rates at this moment: warm-up by steps, in short runs by the clock; then a cosine."""
        final = self.config.final_share
        cosine = final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        warm = max((self.progress.step + 1) / self.config.warmup_steps, done / WARMUP_SHARE)
        return min(1.0, warm) * cosine

    def descend(self, loss: Tensor, optimiser: torch.optim.Optimizer, share: float) -> tuple[Tensor, bool]:
        """One update; returns the norm of the gradients and whether it was finite, i.e. whether a step was taken."""
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, self.config.clip)
        finite = bool(torch.isfinite(norm))
        if finite:
            for group in optimiser.param_groups:
                group["lr"] = group["base"] * share
            optimiser.step()
        return norm, finite

    @torch.no_grad()
    def follow(self, average: nn.Module, model: nn.Module) -> None:
        """Move the average towards the model: faster at the start, when there is little to average."""
        step = self.progress.step
        decay = min(self.config.average_decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
