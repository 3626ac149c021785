"""Latents to symbols without any effort: where all refinement starts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gancodec.effort.objective import Objective
from gancodec.entropy import SYMBOL_MAX
from gancodec.networks.config import CONTEXT_STEPS
from gancodec.networks.prior import packed
from gancodec.pipeline import Chain


@dataclass(kw_only=True, slots=True, eq=False)
class Latents:
    """Before rounding."""

    y_BMhw: Tensor
    """g·y₀."""
    z_BCuv: Tensor
    """z less the medians."""


def rounded(objective: Objective, latents: Latents) -> Chain:
    """Plain rounding."""
    pipeline = objective.pipeline
    return pipeline.chain(
        pipeline.whole_hyper(latents.z_BCuv),
        objective.qualities_256,
        lambda step, mean, tables: pipeline.round_step(latents.y_BMhw, step, mean, tables),
    )


def plainly_rounded(objective: Objective) -> Chain:
    """What effort 0 does, to the bit."""
    y_BMhw, z_BCuv = objective.pipeline.latents(objective.pictures, objective.qualities_256)
    return rounded(objective, Latents(y_BMhw=y_BMhw, z_BCuv=z_BCuv))


@torch.no_grad()
def roughly_rounded(objective: Objective, latents: Latents) -> tuple[Tensor, Tensor]:
    """ŷ/g and the symbols, int16, both [B, M, h, w], by rough means and without tables: what is silent may have any."""
    prior, pipeline = objective.prepared.rough_prior, objective.pipeline
    quality_256_B = torch.tensor(objective.qualities_256, device=pipeline.device)
    state = prior.begin(pipeline.whole_hyper(latents.z_BCuv), quality_256_B, between=pipeline.between)
    for step in range(CONTEXT_STEPS):
        pipeline.between()
        mean = prior.mean(state, step)
        symbols = (packed(latents.y_BMhw, step) - mean).round_().clamp_(-SYMBOL_MAX, SYMBOL_MAX)
        prior.record(state, step, symbols, mean)
    return state.known_BMhw, state.symbols_BMhw
