"""A second decoder, from the bytes of a .gnc file to its symbols, written from docs/format.md alone.

Plain Python and int64 numpy: no torch, no constriction, nothing of gancodec.  It is here to be read beside the
specification, whose sections the § numbers name, and to disagree with gancodec where one of the two is wrong.  Chunks
behind the payload are not looked at.  Axes: A anchors, M latent channels, h w latent rows and columns, u v those of z,
C channels of ``extreme``.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

Ints = NDArray[np.int64]

QUALITY_MAX = 25_600
POSITION_CLASS = ((0, 2), (3, 1))
UINT64 = (1 << 64) - 1
VERSIONS = [bytes([1 << 4 | minor]) for minor in range(16)]


class Refused(ValueError):
    """The file is one that a reader must not deliver."""


# §2 The container


@dataclass(frozen=True, kw_only=True)
class File:
    """What the header says, as far as the symbols depend on it, and the payload."""

    width: int
    height: int
    model_id: bytes
    quality: int
    uniform: bool
    symbol_crc: int
    payload: bytes


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The varint at ``at`` and the offset behind it."""
    value = 0
    for index in range(5):
        byte = data[at + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if byte == 0 and index:
                raise Refused("a varint is not in its shortest form")
            return value, at + index + 1
    raise Refused("a varint has more than five bytes")


def read_file(data: bytes) -> File:
    """Header and payload."""
    if data[:4] != b"\x89GNC" or data[4:5] not in VERSIONS:
        raise Refused("not a file of version 1")
    try:
        width, at = read_varint(data, 6)
        height, at = read_varint(data, at)
        model_id, quality = struct.unpack_from("<4sH", data, at)
        size, at = read_varint(data, at + 6)
        header_crc, payload_crc, symbol_crc = struct.unpack_from("<HII", data, at)
    except (IndexError, struct.error) as exc:
        raise Refused("the file ends in its header") from exc
    if zlib.crc32(data[:at]) & 0xFFFF != header_crc:
        raise Refused("the header is damaged")
    flags = data[5]
    if not (1 <= width <= 1 << 31 and 1 <= height <= 1 << 31 and quality <= QUALITY_MAX):
        raise Refused("a field of the header is out of range")
    if bool(flags & 4) != bool(flags & 1):
        raise Refused("the flags contradict each other")
    payload = data[at + 10 : at + 10 + size]
    if len(payload) != size or zlib.crc32(payload) != payload_crc:
        raise Refused("the payload is damaged")
    return File(
        width=width, height=height, model_id=model_id, quality=quality, uniform=bool(flags & 16),
        symbol_crc=symbol_crc, payload=payload,
    )  # fmt: skip


# §5 Weights and §6 quality


class Weights:
    """Tensors by name without the prefix ``prior.``, and the model id."""

    def __init__(self, path: Path) -> None:
        with safe_open(path, framework="np") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys() if name.startswith("prior.")}
            self.config = json.loads(file.metadata()["configuration"])
        digest = hashlib.sha256()
        for name in sorted(tensors):
            value = tensors[name]
            digest.update(f"{name} torch.{value.dtype} {value.shape}\n".encode("ascii"))
            digest.update(value.astype(value.dtype.newbyteorder("<")).tobytes())
        self.model_id = digest.digest()[:4]
        self._tensors = {name.removeprefix("prior."): value for name, value in tensors.items()}

    def __getitem__(self, name: str) -> Ints:
        return self._tensors[name].astype(np.int64)


def interpolate(anchors_A: Ints, quality: int) -> Ints:
    """The value between the two anchors beside ``quality``: [A, …] -> […]."""
    intervals = len(anchors_A) - 1
    anchor = min(quality * intervals // QUALITY_MAX, intervals - 1)
    fraction = (quality * intervals - anchor * QUALITY_MAX) * 256 // QUALITY_MAX
    return (anchors_A[anchor] * (256 - fraction) + anchors_A[anchor + 1] * fraction + 128) >> 8


# §7 The index network


def shuffle(x_Chw: Ints, factor: int) -> Ints:
    """[factor²·C, h, w] -> [C, factor·h, factor·w]; the input's channels are ordered (row, column, C)."""
    channels, rows, columns = x_Chw.shape
    out = channels // factor**2
    return (
        x_Chw.reshape(factor, factor, out, rows, columns)
        .transpose(2, 3, 0, 4, 1)
        .reshape(out, rows * factor, columns * factor)
    )


class IndexNetwork:
    """Symbols to table numbers, for one quality."""

    def __init__(self, weights: Weights, quality: int) -> None:
        self.weights, self.quality = weights, quality
        self.squash_z = weights["index.squash_hyper"]
        self.squash_y = interpolate(weights["index.squash_latent"], quality)
        self.offset = interpolate(weights["index.offset"], quality)

    def layer(self, name: str, x_Chw: Ints, *, depthwise: bool = False, last: bool = False) -> Ints:
        """Sums, requantisation, activation."""
        weight = self.weights[f"index.{name}.weight"]
        bias = self.weights[f"index.{name}.bias"]
        if depthwise:
            padded = np.pad(x_Chw, ((0, 0), (1, 1), (1, 1)))
            rows, columns = x_Chw.shape[1:]
            total = np.zeros_like(x_Chw)
            for tap in range(9):
                row, column = divmod(tap, 3)
                total += weight[:, tap, None, None] * padded[:, row : row + rows, column : column + columns]
        else:
            total = np.tensordot(weight, x_Chw, 1)
        total += (interpolate(bias, self.quality) if len(bias) > 1 else bias[0])[:, None, None]
        assert np.abs(total).max() < 1 << 24
        scaled = (total * self.weights[f"index.{name}.multiplier"][:, None, None] + (1 << 29)) >> 30
        return scaled if last else scaled.clip(0, 255)

    def hyper(self, z_Cuv: Ints) -> Ints:
        """Symbols of z [C, u, v] -> features [width, 4u, 4v]."""
        x = self.layer("hyper_input", self.squash_z[z_Cuv.clip(-127, 127) + 127])
        x = self.layer("hyper_depthwise", x, depthwise=True)
        return shuffle(self.layer("hyper_up", x), 4)

    def tables(self, step: int, y_Mhw: Ints, hyper_Chw: Ints) -> Ints:
        """Table numbers of all channels; those of other steps are not used."""
        channels = np.arange(len(y_Mhw))[:, None, None]
        known = self.squash_y[channels, y_Mhw.clip(-127, 127) + 127]
        x = self.layer(f"steps.{step}.input", np.concatenate((known, hyper_Chw)))
        x = self.layer(f"steps.{step}.depthwise", x, depthwise=True)
        x = self.layer(f"steps.{step}.expand", x)
        k0 = self.layer(f"steps.{step}.output", x, last=True)
        return ((k0 + self.offset[:, None, None] + 128) >> 8).clip(0, 63)


# §9 The range coder


class RangeDecoder:
    """Words of 32 bits, a state of 64 bits, probabilities in 1/2^24."""

    def __init__(self, payload: bytes) -> None:
        if len(payload) % 4:
            raise Refused("the payload is not made of 32-bit words")
        self.words = struct.unpack(f"<{len(payload) // 4}I", payload)
        self.at = 0
        self.lower, self.range = 0, UINT64
        self.point = self.word() << 32 | self.word()

    def word(self) -> int:
        """The next word; zero behind the end."""
        self.at += 1
        return self.words[self.at - 1] if self.at <= len(self.words) else 0

    def decode(self, bounds: list[int]) -> int:
        """The entry whose interval holds the point; entry i lies at bounds[i] … bounds[i + 1] of 2^24."""
        scale = self.range >> 24
        quantile = (self.point - self.lower & UINT64) // scale
        if quantile >= 1 << 24:
            raise Refused("the payload is not a stream of the range coder")
        entry = bisect_right(bounds, quantile) - 1
        self.lower = self.lower + scale * bounds[entry] & UINT64
        self.range = scale * (bounds[entry + 1] - bounds[entry])
        if self.range < 1 << 32:
            self.lower = self.lower << 32 & UINT64
            self.range <<= 32
            self.point = (self.point << 32 & UINT64) | self.word()
        return entry

    def bits(self, count: int) -> list[int]:
        """``count`` bits of probability one half."""
        return [self.decode([0, 1 << 23, 1 << 24]) for _ in range(count)]

    def finish(self) -> None:
        """Refuse what goes on behind its last symbol."""
        if self.at < len(self.words) or not (
            self.range == UINT64 or (self.point - self.lower & UINT64) < (1 << 33) - 1
        ):
            raise Refused("the payload does not end with its last symbol")


# §8 Tables, groups and escapes


class Tables:
    """Frequency tables of one kind, ``latent`` or ``hyper``."""

    def __init__(self, weights: Weights, kind: str) -> None:
        self.limits = weights[f"tables.{kind}.range"].tolist()
        self.silent = weights[f"tables.{kind}.silent"].tolist()
        frequency = weights[f"tables.{kind}.frequency"]
        self.bounds = [
            [0, *(256 * np.cumsum(row[: 2 * limit + 2])).tolist()]
            for row, limit in zip(frequency, self.limits, strict=True)
        ]
        assert all(bounds[-1] == 1 << 24 for bounds in self.bounds)

    def read_group(self, coder: RangeDecoder, numbers: list[int]) -> list[int]:
        """One symbol for each table number."""
        symbols = [0] * len(numbers)
        escapes = []
        for place in sorted(range(len(numbers)), key=lambda place: (numbers[place], place)):
            table = numbers[place]
            if self.silent[table]:
                continue
            entry = coder.decode(self.bounds[table])
            if entry == 2 * self.limits[table] + 1:
                escapes.append(place)
            else:
                symbols[place] = entry - self.limits[table]
        negative = coder.bits(len(escapes))
        length = [0] * len(escapes)
        counting = list(range(len(escapes)))
        while counting:
            counting = [one for one, bit in zip(counting, coder.bits(len(counting)), strict=True) if bit]
            for one in counting:
                length[one] += 1
                if length[one] > 14:
                    raise Refused("an escape is too long")
        value = [1] * len(escapes)
        for plane in range(max(length, default=0) - 1, -1, -1):
            having = [one for one in range(len(escapes)) if length[one] > plane]
            for one, bit in zip(having, coder.bits(len(having)), strict=True):
                value[one] = value[one] << 1 | bit
        for one, place in enumerate(escapes):
            magnitude = self.limits[numbers[place]] + value[one]
            if magnitude > 32_767:
                raise Refused("a symbol is too large")
            symbols[place] = -magnitude if negative[one] else magnitude
        return symbols


# §4 Geometry and the order of everything


@dataclass(frozen=True, kw_only=True)
class Symbols:
    """What a payload holds, and how."""

    z_Cuv: Ints
    y_Mhw: Ints
    tables_Mhw: Ints
    """The table that coded each symbol of y."""

    @property
    def crc(self) -> int:
        """CRC-32 of int16, little-endian, z then y."""
        return zlib.crc32(self.y_Mhw.astype("<i2").tobytes(), zlib.crc32(self.z_Cuv.astype("<i2").tobytes()))


def decode(data: bytes, weights: Weights) -> Symbols:
    """The symbols of a file.  Raises Refused."""
    file = read_file(data)
    if file.model_id != weights.model_id:
        raise Refused("the file needs another model")
    if file.uniform:
        raise Refused("this codec has no uniform tables")
    u, v = -(-file.height // 64), -(-file.width // 64)
    coder = RangeDecoder(file.payload)
    hyper, latent = Tables(weights, "hyper"), Tables(weights, "latent")
    channels_z, channels_y = weights.config["hyper_channels"], weights.config["latent_channels"]
    z_Cuv = np.array(hyper.read_group(coder, np.repeat(np.arange(channels_z), u * v).tolist())).reshape(-1, u, v)

    network = IndexNetwork(weights, file.quality)
    features = network.hyper(z_Cuv)
    y_Mhw = np.zeros((channels_y, 4 * u, 4 * v), np.int64)
    tables_Mhw = np.zeros_like(y_Mhw)
    row_1h1, column_11w = np.arange(4 * u)[None, :, None], np.arange(4 * v)[None, None, :]
    class_1hw = np.array(POSITION_CLASS)[row_1h1 % 2, column_11w % 2]
    for step in range(4):
        channel_jhw = 4 * np.arange(channels_y // 4)[:, None, None] + (step ^ class_1hw)
        places = (channel_jhw, row_1h1, column_11w)
        numbers = network.tables(step, y_Mhw, features)[places]
        tables_Mhw[places] = numbers
        y_Mhw[places] = np.array(latent.read_group(coder, numbers.ravel().tolist())).reshape(numbers.shape)
    coder.finish()
    symbols = Symbols(z_Cuv=z_Cuv, y_Mhw=y_Mhw, tables_Mhw=tables_Mhw)
    if symbols.crc != file.symbol_crc:
        raise Refused("the symbols are not those that were written")
    return symbols


# §13 The codec ``extreme``

UNIFORM = [0, 3_355_443, 6_710_886, 10_066_329, 13_421_772, 1 << 24]


def decode_extreme(data: bytes, weights: Weights) -> Ints:
    """The symbols of a file of ``extreme``: [C, h, w], −2 … 2.  Raises Refused."""
    file = read_file(data)
    if file.model_id != weights.model_id:
        raise Refused("the file needs another model")
    channels, rows, columns = weights.config["symbol_channels"], -(-file.height // 16), -(-file.width // 16)
    places = [(m, r, c) for m in range(channels) for r in range(rows) for c in range(columns)]
    coder = RangeDecoder(file.payload)
    symbols = np.zeros((channels, rows, columns), np.int64)
    if file.uniform:
        for place in places:
            symbols[place] = coder.decode(UNIFORM) - 2
    else:
        tables = Tables(weights, "latent")
        first = [place for place in places if (place[1] + place[2]) % 2 == 0]
        for place, symbol in zip(first, tables.read_group(coder, [m for m, _, _ in first]), strict=True):
            symbols[place] = symbol
        padded = np.pad(symbols, ((0, 0), (1, 1), (1, 1)))
        second = [place for place in places if (place[1] + place[2]) % 2 == 1]
        numbers = []
        for m, r, c in second:
            plane = padded[m]
            around = int(plane[r, c + 1] + plane[r + 2, c + 1] + plane[r + 1, c] + plane[r + 1, c + 2])
            numbers.append(channels + 11 * m + min(max(around, -5), 5) + 5)
        for place, symbol in zip(second, tables.read_group(coder, numbers), strict=True):
            symbols[place] = symbol
        if np.abs(symbols).max() > 2:
            raise Refused("a symbol is an escape")
    coder.finish()
    if zlib.crc32(symbols.astype("<i2").tobytes()) != file.symbol_crc:
        raise Refused("the symbols are not those that were written")
    return symbols
