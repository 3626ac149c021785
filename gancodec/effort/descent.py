"""Descent in whole symbols: each context step again, with the distortion as a parabola for every symbol.

    D(ŷ + δ) ≈ D(ŷ) + G·δ + κ·s·δ²         G = ∂D/∂ŷ at the ŷ that the decoder will see
    q = argmin bits(table, q) + (1/λ)·κ·s·(q − r)²,   r = ŷ − G/(2κs) − μ,   over round(r) and its neighbour nearer to 0

s is the curvature over whole steps that a descent would take (curvature.py).  Two things make this more than rounding
with a dead zone, which loses: the encoder's y is no minimum of D, so that a first-order term decides; and the means μ
move with every symbol before them, so that later steps aim at the old ŷ again and earlier ones are held back (κ).
Measurements: docs/decisions/0005-encoder-effort.md.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from gancodec.effort.objective import Expansion, Objective
from gancodec.networks.prior import packed
from gancodec.pipeline import Chain

CAUTION: Final = (1.3, 1.15, 1.0, 0.95)
"""κ of each context step."""
FARTHEST: Final = 1.0
"""Steps that a gradient may ask for: beyond that no parabola is to be trusted."""


def descend(objective: Objective, symbols_z: Tensor, around: Expansion, curvature_BMhw: Tensor) -> Chain:
    """One iteration; the result may be worse, and is judged by the caller."""
    price = objective.slope_B[:, None, None, None]

    def choose(step: int, mean: Tensor, tables: Tensor) -> Tensor:
        bend = CAUTION[step] * packed(curvature_BMhw, step)
        wanted = (packed(around.gradient_BMhw, step) / (2 * bend)).clamp_(-FARTHEST, FARTHEST)
        target = packed(around.latent_BMhw, step) - wanted - mean
        near = target.round()
        nearer = near - near.sign()
        bits, weight = objective.latent_costs, price * bend
        cost_near = bits(tables, near) + weight * (near - target).square()
        cost_nearer = bits(tables, nearer) + weight * (nearer - target).square()
        return objective.pipeline.allowed(torch.where(cost_nearer < cost_near, nearer, near), tables)

    return objective.pipeline.chain(symbols_z, objective.qualities_256, choose)
