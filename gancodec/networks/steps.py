"""The order in which the latent is coded: four steps, a quarter of it each.

Channels form four groups (channel number modulo 4), positions four classes within each 2×2 square.  Group g at class p
is coded in step g XOR p: a Latin square, so that every step codes a quarter at every position, and from the second
step on every position and every group has neighbours that are already known.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gancodec.networks.config import CONTEXT_STEPS

# Classes run along the diagonals first, so that the second step has the first at all four corners.
POSITION_CLASS = ((0, 2), (3, 1))


def step_of(channel: int, row: int, column: int) -> int:
    """The step 0..3 that codes this symbol; row and column are absolute in the latent plane."""
    return (channel % CONTEXT_STEPS) ^ POSITION_CLASS[row % 2][column % 2]


def step_masks(channels: int, rows: int, columns: int, device: torch.device | None = None) -> Tensor:
    """Boolean [4, channels, rows, columns]; exactly one step is true for each symbol.  Rows start at an even row."""
    group_C11 = (torch.arange(channels, device=device) % CONTEXT_STEPS)[:, None, None]
    classes_22 = torch.tensor(POSITION_CLASS, device=device)
    class_1hw = classes_22.repeat((rows + 1) // 2, (columns + 1) // 2)[None, :rows, :columns]
    step_Chw = torch.bitwise_xor(group_C11, class_1hw)
    return torch.stack([step_Chw == step for step in range(CONTEXT_STEPS)])
