"""Integers to bytes and back: frequency tables and the range coder.  numpy and constriction only."""

from gancodec.entropy.checkerboard import checkerboard, table_count, table_numbers
from gancodec.entropy.coder import SYMBOL_MAX, CodingTables, SymbolDecoder, SymbolEncoder
from gancodec.entropy.tables import TOTAL, FrequencyTables

__all__ = [
    "SYMBOL_MAX",
    "TOTAL",
    "CodingTables",
    "FrequencyTables",
    "SymbolDecoder",
    "SymbolEncoder",
    "checkerboard",
    "table_count",
    "table_numbers",
]
