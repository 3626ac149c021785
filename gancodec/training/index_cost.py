"""What the integer index network costs, both ways of DESIGN §4.4.

1. The exported integers against their own float twin: the same weights without any rounding.
2. Against a float network that may see ŷ as well as the symbols, which no exact decoder could use: both are trained on
   for the same minutes, from the same weights, with everything else frozen.

Rates are those of logistic distributions on rounded symbols; the files' tables are fitted later and gain alike for
both.
"""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gancodec.networks.index import IndexNetwork, IndexStep, RoundedConv, squash_latent
from gancodec.networks.integer import FRACTION, LOG_SCALE_STEP, IntegerIndex
from gancodec.networks.photo import SCALE_MIN, PhotoModel, logistic_bits
from gancodec.training.data import CropStream, Photos
from gancodec.training.stage import to_patches

LEARNING_RATE = 5e-4


@dataclass(kw_only=True, slots=True, eq=False)
class Coded:
    """What a frozen model makes of a batch, as far as table numbers depend on it; lists run over the steps."""

    weights_BA: Tensor
    gain_BM11: Tensor
    symbols_z: Tensor
    masks: Tensor
    symbols_before: list[Tensor]
    known_before: list[Tensor]
    symbols: Tensor


@torch.no_grad()
def code(model: PhotoModel, patches_BChw: Tensor, quality_B: Tensor) -> Coded:
    """Run encoder and means; symbols do not depend on the index network."""
    latent = model.latent(patches_BChw, quality_B)
    before = [latent.masks_SMhw[:step].sum(0) for step in range(len(latent.masks_SMhw))]
    return Coded(
        weights_BA=latent.anchor_weights_BA, gain_BM11=latent.log_gain_BM11.exp(), symbols_z=latent.symbols_z,
        masks=latent.masks_SMhw, symbols_before=[latent.symbols_BMhw * mask for mask in before],
        known_before=[latent.known_BMhw * mask for mask in before], symbols=latent.symbols_BMhw,
    )  # fmt: skip


class SeeingIndex(nn.Module):
    """An index network that also sees ŷ/g: what a codec that trusts floats would use."""

    def __init__(self, network: IndexNetwork) -> None:
        super().__init__()
        self.network = deepcopy(network)
        self.network.rounding = False
        for step in self.network.steps:
            old = step.input
            assert isinstance(old, RoundedConv)
            latent = old.in_channels - network.hyper_up.out_channels // 16
            wider = RoundedConv(old.in_channels + latent, old.out_channels)
            with torch.no_grad():
                wider.weight.zero_()
                wider.weight[:, : old.in_channels] = old.weight
                assert wider.bias is not None and old.bias is not None
                wider.bias.copy_(old.bias)
            step.input = wider

    def log_scale(self, coded: Coded) -> Tensor:
        """log σ₀ of every symbol, [B, M, h, w]."""
        hyper = self.network.hyper(coded.symbols_z, coded.weights_BA)
        total = torch.zeros_like(coded.symbols)
        for step, (symbols, known) in enumerate(zip(coded.symbols_before, coded.known_before, strict=True)):
            squashed = squash_latent(symbols, coded.gain_BM11)
            features = torch.cat((squashed, hyper, torch.asinh(known)), 1)
            index_step = self.network.steps[step]
            assert isinstance(index_step, IndexStep)
            total = total + index_step(features, coded.weights_BA, False) * coded.masks[step]
        return total


def log_scale(network: IndexNetwork | SeeingIndex, coded: Coded) -> Tensor:
    """log σ₀ of every symbol, [B, M, h, w]."""
    if isinstance(network, SeeingIndex):
        return network.log_scale(coded)
    hyper = network.hyper(coded.symbols_z, coded.weights_BA)
    total = torch.zeros_like(coded.symbols)
    for step, symbols in enumerate(coded.symbols_before):
        scale = network.step(step, symbols, coded.gain_BM11, hyper, coded.weights_BA)
        total = total + scale * coded.masks[step]
    return total


def integer_log_scale(index: IntegerIndex, coded: Coded, quality: float) -> Tensor:
    """log σ₀ of the table that the exported network really chooses, rounding of the table's number included."""
    quality_256 = torch.tensor([round(quality * FRACTION)] * len(coded.symbols))
    hyper = index.hyper(coded.symbols_z.short(), quality_256)
    table = index.latent_table(quality_256)
    total = torch.zeros_like(coded.symbols)
    for step, symbols in enumerate(coded.symbols_before):
        number = index.step(step, index.known(symbols.short(), table), hyper, quality_256)
        total += (number * LOG_SCALE_STEP + math.log(SCALE_MIN) - coded.gain_BM11.log()) * coded.masks[step]
    return total


def bits(scale: Tensor, coded: Coded) -> Tensor:
    return logistic_bits(coded.symbols, scale + coded.gain_BM11.log()).sum()


def train_on(
    candidate: IndexNetwork | SeeingIndex, model: PhotoModel, photos: Photos, *, minutes: float, seed: int
) -> int:
    """Train one candidate with all else frozen; returns the steps taken.  Each quality weighs as in training."""
    device = next(model.parameters()).device
    optimiser = torch.optim.AdamW(candidate.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.0)
    stream = CropStream(photos, side=256, batch=4, seed=seed)
    start, steps = perf_counter(), 0
    try:
        for pixels in stream:
            done = (perf_counter() - start) / (60 * minutes)
            if done >= 1:
                break
            for group in optimiser.param_groups:
                group["lr"] = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * done))
            quality = torch.from_numpy(np.random.default_rng((seed, steps)).uniform(0, 100, 4)).float().to(device)
            coded = code(model, to_patches(pixels, device), quality)
            scale = log_scale(candidate, coded)
            per_picture = logistic_bits(coded.symbols, scale + coded.gain_BM11.log()).flatten(1).sum(1)
            loss = (per_picture / 256**2 * 400 ** (-0.3 * quality / 100)).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(candidate.parameters(), 1.0)
            optimiser.step()
            steps += 1
    finally:
        stream.close()
    return steps


@torch.no_grad()
def measure(
    candidates: dict[str, IndexNetwork | SeeingIndex | IntegerIndex],
    model: PhotoModel,
    pictures: list[NDArray[np.uint8]],
    qualities: tuple[float, ...],
) -> dict[str, dict[float, float]]:
    """Mean bits per pixel of y for each candidate and quality, on pictures of sides divisible by 64."""
    device = next(model.parameters()).device
    result: dict[str, dict[float, float]] = {name: {} for name in candidates}
    for quality in qualities:
        sums = dict.fromkeys(candidates, 0.0)
        for picture in pictures:
            coded = code(model, to_patches(picture[None], device), torch.tensor([quality], device=device))
            for name, candidate in candidates.items():
                if isinstance(candidate, IntegerIndex):
                    scale = integer_log_scale(candidate, coded, quality)
                else:
                    scale = log_scale(candidate, coded)
                sums[name] += bits(scale, coded).item() / (picture.shape[0] * picture.shape[1])
        for name, total in sums.items():
            result[name][quality] = total / len(pictures)
    return result


def report(
    model: PhotoModel, photos: Photos, pictures: list[NDArray[np.uint8]], *, minutes: float, seed: int = 1
) -> str:
    """Both costs as a table, in percent of the rate of y."""
    qualities = (0.0, 25.0, 50.0, 75.0, 100.0)
    rounded = deepcopy(model.index).requires_grad_(True)
    rounded.rounding = True
    twin = deepcopy(model.index)
    twin.rounding = False
    integers, integers_on = IntegerIndex(model.config), IntegerIndex(model.config)
    integers.load_float(rounded, model.gains.log_gain_AM)
    seeing = SeeingIndex(deepcopy(model.index)).requires_grad_(True)
    steps = [train_on(each, model, photos, minutes=minutes, seed=seed) for each in (rounded, seeing)]
    integers_on.load_float(rounded, model.gains.log_gain_AM)
    candidates: dict[str, IndexNetwork | SeeingIndex | IntegerIndex]
    candidates = {"integers": integers, "twin": twin, "integers, on": integers_on, "seeing, on": seeing}
    rates = measure(candidates, model, pictures, qualities)
    lines = [
        f"{len(pictures)} pictures; trained on for {minutes:g} minutes each ({steps[0]} and {steps[1]} steps)",
        "quality   bpp of y   1: against its float twin   2: against a float network that sees y",
    ]
    first, second = [], []
    for quality in qualities:
        first.append(100 * (rates["integers"][quality] / rates["twin"][quality] - 1))
        second.append(100 * (rates["integers, on"][quality] / rates["seeing, on"][quality] - 1))
        lines.append(f"{quality:7g}   {rates['integers'][quality]:8.4f}   {first[-1]:+24.2f} %   {second[-1]:+36.2f} %")
    lines.append(f"   mean              {np.mean(first):+24.2f} %   {np.mean(second):+36.2f} %")
    return "\n".join(lines)
