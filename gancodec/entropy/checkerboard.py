"""The context of ``extreme``: which table codes which symbol.

Positions are coded in two passes over a checkerboard: first those with an even sum of row and column, one table a
channel; then the others, which have up to four decoded neighbours, and a table for each clipped sum of these.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

SUM_MAX: Final = 5
"""Sums of neighbours are clipped to ±5."""
SUMS: Final = 2 * SUM_MAX + 1


def table_count(channels: int) -> int:
    """Tables of C channels: C of the first pass, 11·C of the second."""
    return channels * (1 + SUMS)


def checkerboard(rows: int, columns: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The positions of the first pass and of the second, each bool [h, w]."""
    first_hw = (np.arange(rows)[:, None] + np.arange(columns)) % 2 == 0
    return first_hw, ~first_hw


def table_numbers(symbols_Chw: NDArray[np.int16]) -> NDArray[np.uint8]:
    """The table of each symbol: uint8 [C, h, w].

    c at the first pass's positions, C + 11·c + clip(up + down + left + right, −5, 5) + 5 at the second's, where
    neighbours outside the plane count 0.  The second's are right as soon as the first pass's symbols are known.
    """
    channels, rows, columns = symbols_Chw.shape
    sum_Chw = np.zeros((channels, rows, columns), np.int16)
    sum_Chw[:, 1:] += symbols_Chw[:, :-1]
    sum_Chw[:, :-1] += symbols_Chw[:, 1:]
    sum_Chw[:, :, 1:] += symbols_Chw[:, :, :-1]
    sum_Chw[:, :, :-1] += symbols_Chw[:, :, 1:]
    channel_C11 = np.arange(channels, dtype=np.int16)[:, None, None]
    second_Chw = channels + SUMS * channel_C11 + sum_Chw.clip(-SUM_MAX, SUM_MAX) + SUM_MAX
    first_hw, _ = checkerboard(rows, columns)
    return np.where(first_hw, channel_C11, second_Chw).astype(np.uint8)
