"""Integer frequency tables: made once after training, shipped with the weights, never computed from floats again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gancodec.errors import CorruptError

TOTAL: Final = 1 << 16
"""Frequencies of every table sum to exactly this."""


@dataclass(frozen=True, slots=True, eq=False)
class FrequencyTables:
    """T tables, numbered from 0, each symmetric in range around the symbol 0.

    Table t codes the symbols −range[t] … range[t] as 0 … 2·range[t], and 2·range[t] + 1 for the escape.
    Raises CorruptError unless every frequency is at least 1 and every sum is 65,536.
    """

    range_T: NDArray[np.int32]
    """[T] the largest magnitude that is coded without escape."""
    frequency_TN: NDArray[np.int32]
    """[T, N] frequencies, N = 2·max(range) + 2; behind a table's escape only zeros."""
    silent_T: NDArray[np.bool_]
    """[T] tables that are not coded: their symbols are 0 by definition."""

    def __post_init__(self) -> None:
        tables = len(self.range_T)
        shape = self.frequency_TN.shape
        if len(shape) != 2 or len(self.silent_T) != tables or shape[0] != tables or not tables:
            raise CorruptError(f"{tables} table ranges do not fit frequencies {shape}")
        if self.range_T.min() < 0 or 2 * int(self.range_T.max()) + 2 != shape[1]:
            raise CorruptError(f"table ranges up to {self.range_T.max()} do not fit {shape[1]} columns")
        used_TN = np.arange(self.frequency_TN.shape[1]) < self.sizes_T[:, None]
        if (self.frequency_TN[used_TN] < 1).any() or self.frequency_TN[~used_TN].any():
            raise CorruptError("a table has a frequency below 1, or one behind its escape")
        if (self.frequency_TN.sum(1) != TOTAL).any():
            raise CorruptError(f"the frequencies of a table do not sum to {TOTAL}")

    @property
    def sizes_T(self) -> NDArray[np.int32]:
        """[T] entries of each table, its escape included."""
        sizes: NDArray[np.int32] = 2 * self.range_T + 2
        return sizes

    def frequencies(self, table: int) -> NDArray[np.int32]:
        """The entries of one table: symbols −range … range, then the escape."""
        return self.frequency_TN[table, : self.sizes_T[table]]

    @classmethod
    def from_weights(
        cls, weights: list[NDArray[np.float64]], silent: NDArray[np.bool_] | None = None
    ) -> FrequencyTables:
        """Tables in proportion to ``weights``: one array [2·range + 2] a table, not negative, the escape last."""
        width = max(len(entry) for entry in weights)
        frequency_TN = np.zeros((len(weights), width), np.int32)
        for row, entry in zip(frequency_TN, weights, strict=True):
            row[: len(entry)] = quantise(entry)
        range_T = np.array([(len(entry) - 2) // 2 for entry in weights], np.int32)
        return cls(range_T, frequency_TN, np.zeros(len(weights), np.bool_) if silent is None else silent)

    def ideal_bits(self, table_N: NDArray[np.uint8], symbol_N: NDArray[np.int16]) -> float:
        """−Σ log2 p of symbols under these tables; escapes with the bits of their Exp-Golomb code."""
        coded = ~self.silent_T[table_N]
        table_N, symbol_N = table_N[coded], symbol_N[coded].astype(np.int64)
        range_N = self.range_T[table_N]
        excess_N = np.abs(symbol_N) - range_N
        entry_N = np.where(excess_N > 0, 2 * range_N + 1, symbol_N + range_N)
        bits = float(-np.log2(self.frequency_TN[table_N, entry_N] / TOTAL).sum())
        escaped = excess_N[excess_N > 0]
        return bits + float((2 * np.floor(np.log2(escaped)) + 2).sum())


def quantise(weight_N: NDArray[np.float64]) -> NDArray[np.int32]:
    """Frequencies ≥ 1 that sum to 65,536, nearly in proportion to ``weight_N``: the rest goes to the largest ones."""
    size = len(weight_N)
    share = weight_N / weight_N.sum() * (TOTAL - size)
    frequency = np.floor(share).astype(np.int64) + 1
    missing = TOTAL - int(frequency.sum())
    order = np.argsort(frequency - 1 - share, kind="stable")  # most cut off by floor first
    frequency[order[:missing]] += 1
    quantised: NDArray[np.int32] = frequency.astype(np.int32)
    return quantised
