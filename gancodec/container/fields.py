"""The two primitives under every field: a bounded slice and a variable-length integer.

A varint is unsigned LEB128: seven bits a byte, lowest first, the top bit says that another byte follows.

    300 = 0b10_0101100  ->  1_0101100  0_0000010  =  AC 02
"""

from __future__ import annotations

from gancodec.errors import ConfigError, CorruptError, TruncatedError

VARINT_MAX_BYTES = 5
VARINT_MAX = (1 << (7 * VARINT_MAX_BYTES)) - 1
"""34,359,738,367: the largest value that fits in five bytes of seven bits."""

CUT_SHORT_HINT = "the file was cut short: copy or download it again"
DAMAGED_HINT = "the file was damaged: copy or download it again"


def take(data: memoryview, start: int, size: int, what: str) -> memoryview:
    """The `size` bytes of `data` from `start` on, without copying; `what` names the field in the error.

    Raises TruncatedError if they are not all there.  Every length read from a file passes through here before use.
    """
    if not 0 <= size <= len(data) - start:
        raise TruncatedError(
            f"{what}: need {size} bytes at offset {start}, but the file ends at {len(data)}", hint=CUT_SHORT_HINT
        )
    return data[start : start + size]


def read_varint(data: memoryview, start: int, what: str) -> tuple[int, int]:
    """The varint at `start`, in 0..VARINT_MAX, and the offset behind it.

    Raises TruncatedError if `data` ends inside it, CorruptError if it has more than five bytes or is not the
    shortest form (a second spelling of a number would give one picture many files).
    """
    value = 0
    for index in range(VARINT_MAX_BYTES):
        byte = take(data, start + index, 1, what)[0]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if byte == 0 and index > 0:
                raise CorruptError(f"{what}: number at offset {start} is not in its shortest form", hint=DAMAGED_HINT)
            return value, start + index + 1
    raise CorruptError(f"{what}: number at offset {start} is longer than {VARINT_MAX_BYTES} bytes", hint=DAMAGED_HINT)


def pack_varint(value: int) -> bytes:
    """The shortest varint of `value`.  Raises ConfigError unless it is in 0..VARINT_MAX."""
    if not 0 <= value <= VARINT_MAX:
        raise ConfigError(f"{value} does not fit in a field of the file", hint=f"use 0 to {VARINT_MAX}")
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
