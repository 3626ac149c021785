"""What decides the recipe of ``photo``: one change at a time, equal CPU time an arm, judged on validation photos.

    python benchmarks/ablations.py DATA VALID --minutes 5 --out ablations.jsonl

Every arm starts at the KLT codec with the same seed and sees the same crops.  The clock is the process's CPU time on
one thread, so that other work on the machine does not weigh on an arm.  Rates are those of rounded symbols under 64
tables fitted on training crops, as in files; BD-rate is against the arm ``base``.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import process_time

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gancodec.errors import ConfigError
from gancodec.evaluation.bjontegaard import bd_rate
from gancodec.networks.blocks import zero_
from gancodec.networks.config import PhotoConfig
from gancodec.networks.half import use_half_products
from gancodec.networks.integer import LOG_SCALE_STEP, TABLES
from gancodec.networks.klt import initialise_klt
from gancodec.networks.photo import SCALE_MIN, PhotoModel, bounded_log_scale
from gancodec.training.config import load_preset
from gancodec.training.data import CropPlan, Photos, central_squares, load_photos, make_batch
from gancodec.training.objective import psnr_from_mse, rate_distortion
from gancodec.training.stage import parameter_groups, to_patches
from gancodec.training.start import KLT_MEGAPIXELS
from gancodec.training.world import fast_arithmetic

PRESET = load_preset("photo")
CONFIG = PRESET.stages["fidelity"]
assert isinstance(PRESET.model, PhotoConfig)
BASE: PhotoConfig = replace(PRESET.model, latent_channels=256)
"""That of docs/decisions/0003 and 0004."""
QUALITIES = (5.0, 20.0, 35.0, 50.0, 65.0, 80.0, 95.0)
SYMBOL_LIMIT = 255
FIT_BATCHES = 40
KLT_BATCHES = round(KLT_MEGAPIXELS * 1e6 / CONFIG.crop_px**2 / CONFIG.batch)


class Variant(PhotoModel):
    """``photo`` with the choices that its configuration does not offer."""

    merged = 1
    """Context steps that are coded as one: 1 is four steps, 2 two, 4 none."""
    normal = False
    """Whether the rate is that of normal distributions."""

    def masks(self, y_BMhw: Tensor) -> Tensor:
        masks = super().masks(y_BMhw)
        return masks.reshape(-1, self.merged, *masks.shape[1:]).sum(1)

    def residual_bits(self, residual: Tensor, log_scale: Tensor) -> Tensor:
        return normal_bits(residual, log_scale) if self.normal else super().residual_bits(residual, log_scale)


def normal_bits(residual: Tensor, log_scale: Tensor) -> Tensor:
    """−log2 of a zero-mean normal integrated over a unit bin: −log2 (Φ((½ − |r|)/σ) − Φ((−½ − |r|)/σ))."""
    inverse = torch.exp(-bounded_log_scale(log_scale)) * math.sqrt(0.5)
    magnitude = residual.abs()
    mass = 0.5 * (torch.erfc((magnitude - 0.5) * inverse) - torch.erfc((magnitude + 0.5) * inverse))
    return -torch.log2(mass.clamp(min=1e-9))


class MuonAndAdam:
    """Muon for 1×1 layers, AdamW for the rest."""

    def __init__(self, model: nn.Module) -> None:
        groups = parameter_groups(model, CONFIG)
        main = max(groups, key=lambda group: sum(p.numel() for p in group["params"]))
        self.matrices = [p for p in main["params"] if p.ndim == 4]
        self.views = [nn.Parameter(p.data.flatten(1)) for p in self.matrices]
        main["params"] = [p for p in main["params"] if p.ndim < 4]
        self.adam = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
        self.muon = torch.optim.Muon(self.views, lr=1e-3, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
        for group in self.muon.param_groups:
            group["base"] = 1e-3
        self.param_groups = self.adam.param_groups + self.muon.param_groups

    def step(self) -> None:
        for view, matrix in zip(self.views, self.matrices, strict=True):
            assert matrix.grad is not None
            view.grad = matrix.grad.flatten(1)
        self.adam.step()
        self.muon.step()  # type: ignore[no-untyped-call]


def adam(model: nn.Module, *, factor: float = 1.0, beta2: float = 0.98) -> torch.optim.AdamW:
    groups = parameter_groups(model, CONFIG)
    for group in groups:
        group["base"] *= factor
    return torch.optim.AdamW(groups, betas=(0.9, beta2), weight_decay=0.0, fused=True)


def without_shortcut(model: PhotoModel) -> None:
    """The networks alone: shortcuts zero and fixed, their last layers as torch makes them."""
    for shortcut in (model.encoder.shortcut, model.generator.shortcut):
        zero_(shortcut).requires_grad_(False)
    for output in (model.encoder.output, model.generator.output):
        output.reset_parameters()


@dataclass(frozen=True, kw_only=True)
class Arm:
    model: PhotoConfig = BASE
    optimiser: Callable[[nn.Module], torch.optim.AdamW | MuonAndAdam] = adam
    prepare: Callable[[PhotoModel], None] = lambda _: None
    attributes: dict[str, object] = field(default_factory=dict)


ARMS: dict[str, Arm] = {
    "base": Arm(),
    "normal likelihood": Arm(attributes={"normal": True}),
    "narrow: C8 96, C16 192, means 160, index 96": Arm(
        model=replace(BASE, channels_8=96, channels_16=192, means_width=160, index_width=96)
    ),
    "wide: C8 160, C16 256, means 224, index 160": Arm(
        model=replace(BASE, channels_8=160, channels_16=256, means_width=224, index_width=160)
    ),
    "latent channels 320": Arm(model=replace(BASE, latent_channels=320)),
    "latent channels 192": Arm(model=replace(BASE, latent_channels=192)),
    "Muon for 1×1 layers": Arm(optimiser=MuonAndAdam),
    "AdamW, beta2 0.999": Arm(optimiser=lambda model: adam(model, beta2=0.999)),
    "learning rates × 2": Arm(optimiser=lambda model: adam(model, factor=2.0)),
    "products in bfloat16": Arm(prepare=use_half_products),
    "two context steps": Arm(attributes={"merged": 2}),
    "no context": Arm(attributes={"merged": 4}),
    "no linear shortcut": Arm(prepare=without_shortcut),
    "blocks at 1/8: 2": Arm(model=replace(BASE, blocks_8=2)),
    "hyper-latent 96 channels, width 192": Arm(model=replace(BASE, hyper_channels=96, hyper_width=192)),
}


def train(arm: Arm, photos: Photos, plan: CropPlan, klt_pixels: Tensor, minutes: float) -> tuple[PhotoModel, int]:
    """Train an arm; returns its averaged model and the steps it made."""
    torch.manual_seed(CONFIG.seed)
    model = Variant(arm.model).to(memory_format=torch.channels_last)
    for name, value in arm.attributes.items():
        setattr(model, name, value)
    initialise_klt(model, klt_pixels)
    arm.prepare(model)
    average = Variant(arm.model)
    for name, value in arm.attributes.items():
        setattr(average, name, value)
    average.load_state_dict(model.state_dict())
    optimiser = arm.optimiser(model)
    start, step = process_time(), 0
    while (done := (process_time() - start) / (60 * minutes)) < 1:
        random = torch.Generator().manual_seed(step)
        patches = to_patches(make_batch(photos, plan, step), torch.device("cpu"))
        quality = torch.rand(len(patches), generator=random) * 100
        terms = rate_distortion(model(patches, quality, random), patches, quality, CONFIG)
        model.zero_grad(set_to_none=True)
        terms.loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), CONFIG.clip)
        share = min(1.0, (step + 1) / CONFIG.warmup_steps) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
        for group in optimiser.param_groups:
            group["lr"] = group["base"] * share
        optimiser.step()
        step += 1
        with torch.no_grad():
            decay = min(0.99, (1 + step) / (10 + step))
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
    return average, step


def coded(model: PhotoModel, batches: Iterator[tuple[NDArray[np.uint8], Tensor]]) -> Iterator[tuple[Tensor, ...]]:
    """Per batch: table numbers, symbols (both [B, N]), bits of z [B], loss-free PSNR [B], pixels."""
    with torch.inference_mode():
        for pixels, quality in batches:
            patches = to_patches(pixels, torch.device("cpu"))
            output = model(patches, quality)
            tables = ((output.log_scale_BMhw - math.log(SCALE_MIN)) / LOG_SCALE_STEP).round().clamp(0, TABLES - 1)
            psnr = psnr_from_mse((output.patches_BChw - patches).square().flatten(1).mean(1))
            symbols = output.residual_BMhw.clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT)
            yield tables.flatten(1).long(), symbols.flatten(1).long(), output.bits_z_B, psnr


def judge(
    model: PhotoModel, photos: Photos, plan: CropPlan, valid: list[NDArray[np.uint8]]
) -> list[tuple[float, float]]:
    """(bpp, PSNR in dB) at each of QUALITIES, means over the validation squares."""
    size = 2 * SYMBOL_LIMIT + 1

    def fitting() -> Iterator[tuple[NDArray[np.uint8], Tensor]]:
        for number in range(FIT_BATCHES):
            low, high = 100 * number / FIT_BATCHES, 100 * (number + 1) / FIT_BATCHES
            yield make_batch(photos, plan, 1_000_000 + number), torch.linspace(low, high, CONFIG.batch)

    counts = torch.zeros(TABLES * size)
    for tables, symbols, _, _ in coded(model, fitting()):
        counts += torch.bincount((tables * size + symbols + SYMBOL_LIMIT).flatten(), minlength=len(counts))
    offset = torch.arange(size) - SYMBOL_LIMIT
    scale = SCALE_MIN * torch.exp(torch.arange(TABLES) * LOG_SCALE_STEP)[:, None]
    smooth = torch.softmax(-offset.abs() / scale.clamp(min=0.2), 1)
    fitted = counts.view(TABLES, size) + 64 * smooth
    bits_TN = -torch.log2(fitted / fitted.sum(1, keepdim=True)).flatten()
    points = []
    for value in QUALITIES:
        rates, qualities = [], []
        batches = ((pixels, torch.full((len(pixels),), value)) for pixels in valid)
        for (tables, symbols, bits_z, psnr), pixels in zip(coded(model, batches), valid, strict=True):
            bits = bits_TN[tables * size + symbols + SYMBOL_LIMIT].sum(1) + bits_z
            rates += (bits / (pixels.shape[1] * pixels.shape[2])).tolist()
            qualities += psnr.tolist()
        points.append((float(np.mean(rates)), float(np.mean(qualities))))
    return points


def main() -> None:
    """Run the arms that ``--only`` names, or all, and append a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="training photos")
    parser.add_argument("valid", type=Path, help="photos to judge on")
    parser.add_argument("--minutes", type=float, default=5.0, help="CPU minutes for each arm")
    parser.add_argument("--only", nargs="*", metavar="ARM", choices=list(ARMS), help="some of the arms")
    parser.add_argument("--out", type=Path, default=Path("ablations.jsonl"))
    options = parser.parse_args()
    photos = load_photos(options.data, CONFIG.crop_px)
    plan = CropPlan([p.size for p in photos.pictures], side=CONFIG.crop_px, batch=CONFIG.batch, seed=CONFIG.seed)
    klt = np.concatenate([make_batch(photos, plan, 2_000_000 + part) for part in range(KLT_BATCHES)])
    klt_pixels = torch.from_numpy(klt).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    valid = central_squares(load_photos(options.valid, 384).pictures, count=24, side=384)
    lines = options.out.read_text(encoding="utf-8").splitlines() if options.out.exists() else []
    rows = [json.loads(line) for line in lines]
    base = next((row["points"] for row in rows if row["arm"] == "base" and row["minutes"] == options.minutes), None)
    for name in options.only or list(ARMS):
        with fast_arithmetic(torch.device("cpu"), 1):
            model, steps = train(ARMS[name], photos, plan, klt_pixels, options.minutes)
            points = judge(model, photos, plan, valid)
        base = base or points
        try:
            rate = round(bd_rate(*zip(*points, strict=True), *zip(*base, strict=True)).percent, 2)
        except ConfigError:  # worse than the worst of the other
            rate = None
        row = {
            "arm": name,
            "minutes": options.minutes,
            "steps": steps,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "bd_rate": rate,
            "points": [(round(bpp, 4), round(psnr, 3)) for bpp, psnr in points],
        }
        with options.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
        print(json.dumps(row, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
