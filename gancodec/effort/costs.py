"""What every symbol costs under the tables that files are coded with."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from gancodec.entropy import TOTAL, FrequencyTables

BEYOND: Final = 64
"""Symbols outside a table's range whose cost is kept; farther ones are taken to cost as much as the last of them."""
FORBIDDEN: Final = 1e6
"""Bits of a symbol that a silent table cannot say."""


class SymbolCosts:
    """−log2 p of symbols by table, escapes with the bits of their Exp-Golomb code (entropy/coder.py)."""

    def __init__(self, tables: FrequencyTables, device: torch.device) -> None:
        self._limit = limit = int(tables.range_T.max()) + BEYOND
        symbols = np.arange(-limit, limit + 1)
        bits_TN = np.empty((len(tables.range_T), len(symbols)), np.float32)
        for table, reach in enumerate(tables.range_T):
            excess = np.abs(symbols) - reach
            entry = np.where(excess > 0, 2 * reach + 1, symbols + reach)
            bits = -np.log2(tables.frequency_TN[table][entry] / TOTAL)
            bits += np.where(excess > 0, 2 * np.floor(np.log2(np.maximum(excess, 1))) + 2, 0)
            bits_TN[table] = np.where(symbols == 0, 0, FORBIDDEN) if tables.silent_T[table] else bits
        self._bits = torch.from_numpy(bits_TN.ravel()).to(device)

    def __call__(self, tables: Tensor, symbols: Tensor) -> Tensor:
        """Bits of whole symbols, of any type, each under its table; shaped as they are."""
        place = symbols.long().clamp(-self._limit, self._limit).add_(self._limit)
        return self._bits.take(place.add_(tables.long() * (2 * self._limit + 1)))
