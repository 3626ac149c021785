"""Symbols to bytes and back with constriction's range coder: one stream a picture, one call a table.

A call of ``put`` (or ``take``) handles one group of symbols, z or one context step.  Within it the tables come in
ascending number, inside a table the symbols in the order given.  Escapes follow at the end of the group, bit plane by
bit plane, so that even a stream made to consist of nothing else is decoded in some thirty calls:

    all signs (1: negative), then of v = |q| − range, v ≥ 1, in Exp-Golomb form with n = floor(log2 v):
    n ones and a zero, one plane after the other for those still counting; then the n low bits of v, highest first.

``put_uniform`` and ``take_uniform`` use no tables: n equally probable values, each with the probability ⌊2²⁴/n⌋/2²⁴
but the last, which has the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import constriction
import numpy as np
from numpy.typing import NDArray

from gancodec.entropy.tables import TOTAL, FrequencyTables
from gancodec.errors import CorruptError

SYMBOL_MAX: Final = 32_767
"""Largest magnitude of a symbol; encoders clip."""
PREFIX_MAX: Final = 15
"""Ones of an Exp-Golomb prefix: 2^15 is above SYMBOL_MAX, so a longer one is corrupt."""

_BIT = constriction.stream.model.Categorical(np.array([0.5, 0.5]), perfect=True)


def _uniform(limit: int) -> constriction.stream.model.Uniform:
    return constriction.stream.model.Uniform(2 * limit + 1)


class _Models:
    """The coder's model of each table, built when first needed."""

    def __init__(self, tables: FrequencyTables) -> None:
        self.tables = tables
        self._models: dict[int, constriction.stream.model.Categorical] = {}

    def __getitem__(self, table: int) -> constriction.stream.model.Categorical:
        if table not in self._models:
            # perfect=True turns k/65536 into exactly 256·k of the coder's 2^24; perfect=False moves the boundaries.
            probability = self.tables.frequencies(table).astype(np.float64) / TOTAL
            self._models[table] = constriction.stream.model.Categorical(probability, perfect=True)
        return self._models[table]


class CodingTables:
    """Frequency tables with the coder's models; share one between pictures, the models are costly to build."""

    def __init__(self, tables: FrequencyTables) -> None:
        self.tables = tables
        self.models = _Models(tables)

    def runs(self, table_N: NDArray[np.uint8]) -> Iterator[tuple[int, NDArray[np.intp]]]:
        """Every coded table that occurs, ascending, with the places of its symbols in their order."""
        order = np.argsort(table_N, kind="stable")
        counts = np.bincount(table_N, minlength=len(self.tables.range_T))
        start = 0
        for table, count in enumerate(counts):
            if count and not self.tables.silent_T[table]:
                yield table, order[start : start + count]
            start += count


class SymbolEncoder:
    """Writes one stream."""

    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()

    def put(self, coding: CodingTables, table_N: NDArray[np.uint8], symbol_N: NDArray[np.int16]) -> None:
        """Append one group.  Symbols within ±32,767, and 0 wherever the table is silent."""
        escaped: list[NDArray[np.int32]] = []
        for table, places in coding.runs(table_N):
            symbols = symbol_N[places].astype(np.int32)
            limit = int(coding.tables.range_T[table])
            outside = np.abs(symbols) > limit
            if outside.any():
                escaped.append(np.sign(symbols[outside]) * (np.abs(symbols[outside]) - limit))
                entries = np.where(outside, 2 * limit + 1, symbols + limit)
            else:
                entries = symbols + limit
            self._coder.encode(entries.astype(np.int32), coding.models[table])
        if escaped:
            self._put_escapes(np.concatenate(escaped))

    def put_uniform(self, symbol_N: NDArray[np.int16], limit: int) -> None:
        """Append symbols within ±limit, all equally probable."""
        if len(symbol_N):
            self._coder.encode(symbol_N.astype(np.int32) + limit, _uniform(limit))

    def _put_bits(self, bits: NDArray[np.bool_]) -> None:
        if len(bits):
            self._coder.encode(bits.astype(np.int32), _BIT)

    def _put_escapes(self, signed_E: NDArray[np.int32]) -> None:
        value_E = np.abs(signed_E)
        length_E = np.floor(np.log2(value_E)).astype(np.int32)
        self._put_bits(signed_E < 0)
        for plane in range(int(length_E.max()) + 1):
            self._put_bits(length_E[length_E >= plane] > plane)
        for plane in range(int(length_E.max()) - 1, -1, -1):
            self._put_bits((value_E[length_E > plane] >> plane & 1).astype(np.bool_))

    def finish(self) -> bytes:
        """The stream: 32-bit words, little-endian."""
        words: NDArray[np.uint32] = self._coder.get_compressed()
        return words.astype("<u4").tobytes()


class SymbolDecoder:
    """Reads one stream.  Raises CorruptError when the bytes are not what an encoder writes."""

    def __init__(self, payload: bytes) -> None:
        if len(payload) % 4:
            raise CorruptError(f"the payload has {len(payload)} bytes, not a multiple of 4")
        self._coder = constriction.stream.queue.RangeDecoder(np.frombuffer(payload, "<u4").astype(np.uint32))

    def take(self, coding: CodingTables, table_N: NDArray[np.uint8]) -> NDArray[np.int16]:
        """The next group: one symbol for each table number, 0 where the table is silent."""
        symbol_N = np.zeros(len(table_N), np.int32)
        escaped: list[NDArray[np.intp]] = []
        for table, places in coding.runs(table_N):
            limit = int(coding.tables.range_T[table])
            symbols = self._decode(coding.models[table], len(places)) - limit
            symbol_N[places] = symbols
            escaped.append(places[symbols > limit])
        escapes = np.concatenate(escaped) if escaped else np.empty(0, np.intp)
        if len(escapes):
            self._take_escapes(symbol_N, escapes, coding.tables.range_T[table_N[escapes]])
        return symbol_N.astype(np.int16)

    def take_uniform(self, count: int, limit: int) -> NDArray[np.int16]:
        """The next symbols within ±limit, all equally probable."""
        return (self._decode(_uniform(limit), count) - limit).astype(np.int16)

    def _decode(self, model: constriction.stream.model.Model, count: int) -> NDArray[np.int32]:
        try:
            decoded: NDArray[np.int32] = self._coder.decode(model, count)
        except (AssertionError, ValueError) as exc:
            raise CorruptError("the payload is not a stream of the range coder", hint="the file is damaged") from exc
        return decoded

    def _take_escapes(
        self, symbol_N: NDArray[np.int32], escapes: NDArray[np.intp], limit_E: NDArray[np.int32]
    ) -> None:
        negative_E = self._decode(_BIT, len(escapes)).astype(np.bool_)
        length_E = np.zeros(len(escapes), np.int32)
        counting = np.arange(len(escapes))
        while len(counting):
            counting = counting[self._decode(_BIT, len(counting)).astype(np.bool_)]
            length_E[counting] += 1
            if len(counting) and length_E.max() > PREFIX_MAX:
                raise CorruptError("an escape code is too long", hint="the file is damaged")
        value_E = np.ones(len(escapes), np.int32)
        for plane in range(int(length_E.max()) - 1, -1, -1):
            having = np.flatnonzero(length_E > plane)
            value_E[having] = value_E[having] << 1 | self._decode(_BIT, len(having))
        magnitude_E = value_E + limit_E
        if magnitude_E.max() > SYMBOL_MAX:
            raise CorruptError(f"a symbol of magnitude {magnitude_E.max()}", hint="the file is damaged")
        symbol_N[escapes] = np.where(negative_E, -magnitude_E, magnitude_E)

    def finish(self) -> None:
        """Check that nothing is left over."""
        if not self._coder.maybe_exhausted():
            raise CorruptError("the payload goes on behind its last symbol", hint="the file is damaged")
