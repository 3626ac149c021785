"""Symbols come back from bytes, cost what the tables say, and forged streams are refused in bounded time."""

from __future__ import annotations

import constriction
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gancodec.entropy import SYMBOL_MAX, TOTAL, CodingTables, FrequencyTables, SymbolDecoder, SymbolEncoder
from gancodec.errors import CorruptError


def laplace_tables(scales: list[float], silent: list[bool] | None = None) -> FrequencyTables:
    weights = []
    for scale in scales:
        limit = max(1, int(4 * scale))
        symbols = np.arange(-limit, limit + 1)
        weights.append(np.append(np.exp(-np.abs(symbols) / scale), 1e-3))
    return FrequencyTables.from_weights(weights, None if silent is None else np.array(silent))


TABLES = laplace_tables([0.3, 1.0, 5.0, 40.0], [True, False, False, False])
CODING = CodingTables(TABLES)


def draw_symbols(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    tables = rng.integers(0, 4, count).astype(np.uint8)
    symbols = np.rint(rng.laplace(size=count) * np.array([0, 1.0, 5.0, 40.0])[tables]).astype(np.int16)
    return tables, symbols


@pytest.mark.parametrize("count", [0, 1, 7, 20_000])
def test_groups_come_back(count: int) -> None:
    groups = [draw_symbols(seed, count) for seed in range(3)]
    encoder = SymbolEncoder()
    for tables, symbols in groups:
        encoder.put(CODING, tables, symbols)
    payload = encoder.finish()
    decoder = SymbolDecoder(payload)
    for tables, symbols in groups:
        np.testing.assert_array_equal(decoder.take(CODING, tables), symbols)
    decoder.finish()
    assert len(payload) % 4 == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(-SYMBOL_MAX, SYMBOL_MAX)), max_size=40))
def test_any_symbol_comes_back_by_escapes(pairs: list[tuple[int, int]]) -> None:
    tables = np.array([table for table, _ in pairs], np.uint8)
    symbols = np.array([symbol for _, symbol in pairs], np.int16)
    encoder = SymbolEncoder()
    encoder.put(CODING, tables, symbols)
    decoder = SymbolDecoder(encoder.finish())
    np.testing.assert_array_equal(decoder.take(CODING, tables), symbols)
    decoder.finish()


def test_size_is_within_a_fifth_of_a_percent_of_the_ideal() -> None:
    tables, symbols = draw_symbols(5, 200_000)
    encoder = SymbolEncoder()
    encoder.put(CODING, tables, symbols)
    ideal = TABLES.ideal_bits(tables, symbols) / 8
    assert ideal <= len(encoder.finish()) <= 1.002 * ideal + 8


def test_boundaries_of_every_table_are_exactly_its_frequencies() -> None:
    """constriction takes floats; here each boundary is found again from the bytes of a decoder."""
    for table in range(len(TABLES.range_T)):
        frequencies = TABLES.frequencies(table)
        ends = np.cumsum(frequencies)
        model = CODING.models[table]
        # With a fresh decoder the first word is the place in the interval, 32 bits for 16 of a frequency.
        for entry, end in enumerate(ends):
            for place, wanted in ((int(end) - 1, entry), (int(end), entry + 1)):
                if place < TOTAL:
                    words = np.array([place << 16 | (0xFFFF if place == end - 1 else 0), 0], np.uint32)
                    decoder = constriction.stream.queue.RangeDecoder(words)
                    assert decoder.decode(model, 1)[0] == wanted


def test_payload_that_is_no_whole_number_of_words_is_refused() -> None:
    with pytest.raises(CorruptError, match="multiple of 4"):
        SymbolDecoder(b"12345")


def test_words_behind_the_last_symbol_are_refused() -> None:
    tables, symbols = draw_symbols(6, 100)
    encoder = SymbolEncoder()
    encoder.put(CODING, tables, symbols)
    decoder = SymbolDecoder(encoder.finish() + b"\1\2\3\4" * 3)
    decoder.take(CODING, tables)
    with pytest.raises(CorruptError, match="goes on"):
        decoder.finish()


def test_endless_escape_prefix_is_refused() -> None:
    escape = FrequencyTables.from_weights([np.array([1e-9, 1e-9, 1e-9, 1.0])])
    coding = CodingTables(escape)
    encoder = constriction.stream.queue.RangeEncoder()
    bit = constriction.stream.model.Categorical(np.array([0.5, 0.5]), perfect=True)
    encoder.encode(np.full(10, 3, np.int32), coding.models[0])
    encoder.encode(np.ones(400, np.int32), bit)
    decoder = SymbolDecoder(encoder.get_compressed().astype("<u4").tobytes())
    with pytest.raises(CorruptError, match="too long"):
        decoder.take(coding, np.zeros(10, np.uint8))


@pytest.mark.parametrize(
    "ranges, frequencies",
    [
        ([0], [[TOTAL, 0]]),
        ([0], [[TOTAL - 2, 1]]),
        ([1], [[TOTAL - 1, 1]]),
        ([0, 1], [[TOTAL - 2, 1, 1, 0], [TOTAL - 3, 1, 1, 1]]),
        ([-1], [[]]),
    ],
)
def test_impossible_tables_are_refused(ranges: list[int], frequencies: list[list[int]]) -> None:
    with pytest.raises(CorruptError):
        FrequencyTables(
            np.array(ranges, np.int32), np.array(frequencies, np.int32), np.zeros(len(ranges), np.bool_)
        )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=600).filter(lambda w: len(w) % 2 == 0 and sum(w) > 1e-3))
def test_quantised_weights_sum_to_the_total(weights: list[float]) -> None:
    tables = FrequencyTables.from_weights([np.array(weights)])
    assert tables.frequency_TN.sum() == TOTAL and tables.frequencies(0).min() >= 1
