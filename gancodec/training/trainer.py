"""Stage fidelity of the ``photo`` codec: one step, and the loop around it.

Defaults are DESIGN §8's CPU recipe.  Imports torch, numpy, Pillow and safetensors only.
"""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gancodec.errors import ConfigError
from gancodec.networks.blocks import QualityBias, unshuffle
from gancodec.networks.config import PIXEL_ALIGN, ModelConfig
from gancodec.networks.klt import initialise_klt
from gancodec.networks.photo import Gains, PhotoModel
from gancodec.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from gancodec.training.data import CropStream, Photos, load_photos
from gancodec.training.objective import psnr_from_mse, rate_distortion

KLT_CROPS = 400


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """One run.  Everything but ``max_minutes`` must be the same on resuming."""

    lambda_x: float = 12.0
    """Weight of the MSE in [−1, 1]; larger: better pictures, larger files."""
    lambda_r: float = 1.0
    """Factor on the price of bits lambda_R(q)."""
    crop_px: int = 256
    batch: int = 4
    seed: int = 1
    learning_rate: float = 1e-3
    """For 1×1 layers; gains too."""
    learning_rate_small: float = 4e-3
    """For biases and depthwise filters."""
    learning_rate_shortcut: float = 2e-5
    """For the linear shortcut: Adam's step of 1e-3 would be 3 % of a KLT weight (DESIGN §3)."""
    warmup_steps: int = 100
    final_share: float = 0.01
    """The cosine ends at this share of the learning rates."""
    clip: float = 2.0
    average_decay: float = 0.999
    rounding_from: float = 0.85
    """Share of the run after which the index network trains with its weights and activations rounded."""
    max_minutes: float = 60.0

    def __post_init__(self) -> None:
        if self.crop_px < PIXEL_ALIGN or self.crop_px % PIXEL_ALIGN:
            raise ConfigError(f"crop_px is {self.crop_px}", hint=f"use a multiple of {PIXEL_ALIGN}")
        for name in ("lambda_x", "lambda_r", "batch", "learning_rate", "warmup_steps", "max_minutes"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}", hint="use a number above 0")

    def identity(self, model: ModelConfig) -> dict[str, Any]:
        """What must not change when a run is resumed."""
        values = asdict(self)
        del values["max_minutes"]
        return values | {"model": asdict(model)}


def parameter_groups(model: PhotoModel, config: TrainConfig) -> list[dict[str, Any]]:
    """Three learning rates (DESIGN §3): shortcut, biases and depthwise filters, everything else."""
    shortcut = {id(p) for part in (model.encoder, model.generator) for p in part.shortcut.parameters()}
    tables = [module for module in model.modules() if isinstance(module, Gains | QualityBias)]
    plain = {id(p) for module in tables for p in module.parameters()}
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if id(parameter) in shortcut:
            rate = config.learning_rate_shortcut
        elif id(parameter) not in plain and (parameter.ndim < 4 or parameter.shape[1:] == (1, 3, 3)):
            rate = config.learning_rate_small
        else:
            rate = config.learning_rate
        groups.setdefault(rate, []).append(parameter)
    return [{"params": parameters, "lr": rate, "base": rate} for rate, parameters in groups.items()]


def to_patches(pixels_BHWC: NDArray[np.uint8], device: torch.device) -> Tensor:
    """uint8 [B, H, W, 3] -> [B, 192, H/8, W/8] in [−1, 1]."""
    x = torch.from_numpy(np.ascontiguousarray(pixels_BHWC)).to(device).permute(0, 3, 1, 2)
    return unshuffle(x, 8).float().div_(127.5).sub_(1)


class Trainer:
    """Owns model, moving average and optimiser of one run."""

    def __init__(self, model_config: ModelConfig, config: TrainConfig, device: torch.device) -> None:
        torch.manual_seed(config.seed)
        self.config, self.device = config, device
        self.model = PhotoModel(model_config).to(device).to(memory_format=torch.channels_last)
        self.average = deepcopy(self.model).requires_grad_(False)
        self.optimiser = torch.optim.AdamW(
            parameter_groups(self.model, config), betas=(0.9, 0.98), weight_decay=0.0, fused=True
        )
        self.progress = Progress()

    def start(self, photos: Photos) -> None:
        """Begin at the KLT codec."""
        stream = CropStream(photos, side=self.config.crop_px, batch=KLT_CROPS, seed=self.config.seed + 1)
        pixels = torch.from_numpy(stream.make(0)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        stream.close()
        initialise_klt(self.model, pixels)
        self.average.load_state_dict(self.model.state_dict())

    def schedule(self) -> float:
        """Share of the base learning rates at this moment: warm-up by steps, cosine by the clock."""
        done = min(1.0, self.progress.seconds / (60 * self.config.max_minutes))
        cosine = self.config.final_share + (1 - self.config.final_share) * 0.5 * (1 + math.cos(math.pi * done))
        return min(1.0, (self.progress.step + 1) / self.config.warmup_steps) * cosine

    def step(self, pixels_BHWC: NDArray[np.uint8]) -> dict[str, float]:
        """One optimiser step; returns the terms of the loss.  A non-finite step is counted and not taken."""
        share_done = self.progress.seconds / (60 * self.config.max_minutes)
        self.model.index.rounding = self.average.index.rounding = share_done >= self.config.rounding_from
        random = torch.Generator(self.device).manual_seed(self.config.seed * 1_000_003 + self.progress.step)
        patches = to_patches(pixels_BHWC, self.device)
        quality = torch.rand(len(patches), generator=random, device=self.device) * 100
        output = self.model(patches, quality, random)
        terms = rate_distortion(
            output, patches, quality, lambda_x=self.config.lambda_x, lambda_rate=self.config.lambda_r
        )
        self.optimiser.zero_grad(set_to_none=True)
        terms.loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        share = self.schedule()
        finite = bool(torch.isfinite(norm))
        if finite:
            for group in self.optimiser.param_groups:
                group["lr"] = group["base"] * share
            self.optimiser.step()
            self.update_average()
        self.progress.step += 1
        self.progress.megapixels += pixels_BHWC.shape[0] * pixels_BHWC.shape[1] * pixels_BHWC.shape[2] / 1e6
        return {
            "loss": terms.loss.item(),
            "bpp": terms.bpp.item(),
            "bpp_z": terms.bpp_z.item(),
            "psnr": psnr_from_mse(terms.mse).item(),
            "gradient_norm": norm.item(),
            "rate_share": share,
            "skipped": float(not finite),
        }

    @torch.no_grad()
    def update_average(self) -> None:
        decay = min(self.config.average_decay, (1 + self.progress.step) / (10 + self.progress.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)

    @torch.no_grad()
    def validate(self, batches: list[NDArray[np.uint8]], qualities: tuple[float, ...]) -> dict[str, float]:
        """Rounded everywhere, moving average: the objective, bpp and PSNR per quality, estimated rate."""
        result: dict[str, float] = {}
        total = 0.0
        for value in qualities:
            losses, bpps, psnrs = [], [], []
            for pixels in batches:
                patches = to_patches(pixels, self.device)
                quality = torch.full((len(patches),), value, device=self.device)
                terms = rate_distortion(
                    self.average(patches, quality), patches, quality,
                    lambda_x=self.config.lambda_x, lambda_rate=self.config.lambda_r,
                )  # fmt: skip
                losses.append(terms.loss.item())
                bpps.append(terms.bpp.item())
                psnrs.append(psnr_from_mse(terms.mse).item())
            total += float(np.mean(losses))
            result |= {f"bpp_{value:g}": float(np.mean(bpps)), f"psnr_{value:g}": float(np.mean(psnrs))}
        return {"valid_loss": total / len(qualities)} | result


def train(
    *,
    data: Path,
    out: Path,
    valid: Path | None,
    model_config: ModelConfig,
    config: TrainConfig,
    device: torch.device,
    resume: bool,
    log_every: int = 50,
    save_minutes: float = 3.0,
    valid_minutes: float = 8.0,
    report: Callable[[str], None] = print,
) -> Trainer:
    """Run to ``config.max_minutes`` of training time, or to SIGINT/SIGTERM; a checkpoint is left either way.

    ``out`` gets ``checkpoint.safetensors`` and ``log.jsonl``.  Raises ConfigError for unusable data.
    """
    out.mkdir(parents=True, exist_ok=True)
    photos = load_photos(data, config.crop_px)
    report(f"{len(photos.pictures)} photos, {photos.megapixels:.0f} Mpixel, {photos.skipped} skipped")
    trainer = Trainer(model_config, config, device)
    checkpoint = out / "checkpoint.safetensors"
    identity = config.identity(model_config)
    if resume and checkpoint.exists():
        trainer.progress = load_checkpoint(
            checkpoint,
            model=trainer.model, average=trainer.average, optimiser=trainer.optimiser, configuration=identity,
        )  # fmt: skip
        report(f"resumed at step {trainer.progress.step}")
    elif checkpoint.exists():
        raise ConfigError(f"{out} holds a run already", hint="go on with --resume, or choose another --out")
    else:
        if resume:
            report(f"{checkpoint} is not there: starting anew")
        trainer.start(photos)
    batches = validation_batches(valid) if valid else []
    stopped = False

    def stop(number: int, _: object) -> None:
        nonlocal stopped
        stopped = True
        signal.signal(number, handlers[signal.Signals(number)])  # the second one is not swallowed

    handlers = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    stream = CropStream(
        photos, side=config.crop_px, batch=config.batch, seed=config.seed, start=trainer.progress.step
    )  # fmt: skip
    log = (out / "log.jsonl").open("a", encoding="utf-8")

    def save() -> None:
        save_checkpoint(
            checkpoint,
            model=trainer.model, average=trainer.average, optimiser=trainer.optimiser,
            progress=trainer.progress, configuration=identity,
        )  # fmt: skip

    sums: dict[str, float] = {}
    before = perf_counter()
    log_from, saved, validated = (trainer.progress.seconds, trainer.progress.step), before, before
    waited_from = 0.0
    try:
        for pixels in stream:
            terms = trainer.step(pixels)
            now = perf_counter()
            trainer.progress.seconds += now - before
            before = now
            for name, value in terms.items():
                # A step that was skipped says nothing but that it was.
                if name == "skipped" or not terms["skipped"]:
                    sums[name] = sums.get(name, 0.0) + value
            steps = trainer.progress.step - log_from[1]
            if stopped:
                save()  # first of all: whoever stops us may not wait
            done = stopped or trainer.progress.seconds >= 60 * config.max_minutes
            if steps >= log_every or done:
                seconds = max(trainer.progress.seconds - log_from[0], 1e-9)
                row = {name: round(value / steps, 5) for name, value in sums.items()}
                row |= {
                    "step": trainer.progress.step,
                    "minutes": round(trainer.progress.seconds / 60, 2),
                    "megapixels": round(trainer.progress.megapixels, 1),
                    "megapixels_per_second": round(steps * config.batch * config.crop_px**2 / 1e6 / seconds, 3),
                    "waiting_share": round((stream.waited - waited_from) / seconds, 3),
                }
                if batches and not stopped and (done or now - validated > 60 * valid_minutes):
                    row |= trainer.validate(batches, (0, 30, 60, 90))
                    validated = perf_counter()
                print(json.dumps(row), file=log, flush=True)
                report(json.dumps(row))
                sums, log_from, waited_from = {}, (trainer.progress.seconds, trainer.progress.step), stream.waited
            if (done and not stopped) or now - saved > 60 * save_minutes:
                save()
                saved = perf_counter()
            # Neither validating nor saving is training time: the schedule and the resumed run must not see it.
            before = perf_counter()
            if done:
                break
    finally:
        stream.close()
        log.close()
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return trainer


def validation_batches(folder: Path, count: int = 12, side: int = 384) -> list[NDArray[np.uint8]]:
    """Central squares of the first photos of ``folder``, in batches of four."""
    pictures = load_photos(folder, side).pictures[:count]
    squares = []
    for picture in pictures:
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        squares.append(np.asarray(picture.crop((left, top, left + side, top + side))))
    return [np.stack(squares[start : start + 4]) for start in range(0, len(squares), 4)]


def set_threads(threads: int | None) -> None:
    """Use ``threads`` cores (all by default); denormal floats cost the CPU a hundredfold, so they become zero."""
    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    torch.set_flush_denormal(True)
