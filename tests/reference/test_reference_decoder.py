"""The decoder written from docs/format.md and gancodec's own read the same symbols from the same bytes."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path

import constriction
import numpy as np
import pytest
import torch
from decoder import RangeDecoder, Refused, Symbols, Tables, Weights, decode, decode_extreme, interpolate
from numpy.typing import NDArray
from safetensors import safe_open

from gancodec.container import ColourMode, read_header, write_container
from gancodec.entropy import CodingTables, FrequencyTables, SymbolDecoder
from gancodec.errors import CorruptError
from gancodec.networks import integer
from gancodec.pipeline import ExtremePipeline, PhotoPipeline, Stream
from gancodec.registry import read_entry
from gancodec.weights import ExtremeWeights, PhotoWeights, load_weights, save_weights

GOLDEN = Path(__file__).parents[1] / "golden"
EXTREME_FILES = sorted(GOLDEN.glob("extreme-*.gnc"))
FILES = sorted(set(GOLDEN.glob("*.gnc")) - set(EXTREME_FILES))
CPU = torch.device("cpu")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Planes of a few positions: threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tiny() -> Weights:
    """What the second decoder knows of the golden files' codec."""
    return Weights(GOLDEN / "tiny.safetensors")


@pytest.mark.skipif(not FILES, reason="tests/golden has no files yet")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_golden_file_holds_the_symbols_that_its_header_promises(path: Path, tiny: Weights) -> None:
    data = path.read_bytes()
    assert decode(data, tiny).crc == read_header(data).symbol_crc


@pytest.mark.skipif(not FILES, reason="tests/golden has no files yet")
def test_the_model_id_is_the_one_that_the_specification_computes(tiny: Weights) -> None:
    assert tiny.model_id == read_entry(GOLDEN / "tiny.safetensors").model_id


@pytest.mark.skipif(not FILES, reason="tests/golden has no files yet")
def test_a_cut_or_changed_golden_file_is_refused(tiny: Weights) -> None:
    data = min((path.read_bytes() for path in FILES), key=len)
    header = read_header(data)
    for size in range(header.payload_offset + header.payload_size):
        with pytest.raises(Refused):
            decode(data[:size], tiny)
        changed = bytearray(data)
        changed[size] ^= 1 << size % 8
        if size != 4 and size != 5:  # a newer minor version and most flags do not matter to the symbols
            with pytest.raises(Refused):
                decode(bytes(changed), tiny)


# The codec extreme


@pytest.fixture(scope="module")
def extreme() -> tuple[ExtremePipeline, Weights]:
    """The golden files' codec of this family, and what the second decoder knows of it."""
    path = GOLDEN / "tiny-extreme.safetensors"
    weights = load_weights(read_entry(path), CPU)
    assert isinstance(weights, ExtremeWeights)
    return ExtremePipeline(weights, CPU), Weights(path)


@pytest.mark.parametrize("path", EXTREME_FILES, ids=lambda path: path.stem)
def test_a_golden_file_of_extreme_holds_the_symbols_that_its_header_promises(
    path: Path, extreme: tuple[ExtremePipeline, Weights]
) -> None:
    data = path.read_bytes()
    header = read_header(data)
    assert header.uniform_tables == path.stem.endswith("-uniform")
    assert zlib.crc32(decode_extreme(data, extreme[1]).astype("<i2").tobytes()) == header.symbol_crc


@pytest.mark.parametrize("spread", [0.3, 0.8, 4.0])  # the last one makes uniform tables the shorter ones
@pytest.mark.parametrize(("width", "height"), [(1, 1), (16, 16), (17, 15), (211, 97)])
def test_arbitrary_symbols_of_extreme_come_back(
    spread: float, width: int, height: int, extreme: tuple[ExtremePipeline, Weights]
) -> None:
    pipeline, reference = extreme
    rng = np.random.default_rng(width)
    shape = (pipeline.weights.config.symbol_channels, -(-height // 16), -(-width // 16))
    symbols = (rng.normal(size=shape) * spread).round().clip(-2, 2).astype(np.int16)
    coded = pipeline.code(pipeline.grouped(symbols))
    data = write_container(
        mode=ColourMode.RGB, width=width, height=height, model_id=reference.model_id, quality=0,
        uniform_tables=coded.uniform_tables, payload=coded.payload, symbol_crc=coded.symbol_crc,
    )  # fmt: skip
    np.testing.assert_array_equal(decode_extreme(data, reference), symbols)


def test_the_digest_of_the_encoder_is_the_one_that_the_specification_computes() -> None:
    with safe_open(GOLDEN / "tiny-extreme.safetensors", framework="np") as file:
        tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
    digest = hashlib.sha256()
    for name, value in tensors.items():
        if name.startswith("analysis."):
            digest.update(f"{name} torch.{value.dtype} {value.shape}\n".encode() + value.tobytes())
    assert tensors["prior.encoder_digest"].astype("<i4").tobytes() == digest.digest()[:16]
    weights = Weights(GOLDEN / "tiny-extreme.safetensors")
    assert weights.model_id == read_entry(GOLDEN / "tiny-extreme.safetensors").model_id


# Files that no encoder would choose: every table, escapes of every length, silent tables.


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> tuple[PhotoWeights, Weights]:
    """The tiny codec with another index network, whose table numbers vary, and what the second decoder knows of it."""
    if not FILES:
        pytest.skip("tests/golden has no files yet")
    weights = load_weights(read_entry(GOLDEN / "tiny.safetensors"), CPU)
    generator = torch.Generator().manual_seed(5)
    for layer in weights.prior.index.modules():
        if isinstance(layer, integer.IntegerLayer):
            layer.weight.random_(-128, 128, generator=generator)
            layer.bias.random_(-30_000, 30_000, generator=generator)
            # Sums have a standard deviation of some ten thousand: to about ±150, or to a good part of all tables.
            layer.multiplier.fill_((5_000 if layer.last else 150) * (1 << integer.SHIFT) // 40_000)
    latent = weights.latent_tables
    silent_T = np.arange(len(latent.range_T)) % 5 == 3
    weights.latent_tables = FrequencyTables(latent.range_T, latent.frequency_TN, silent_T)
    path = tmp_path_factory.mktemp("codec") / "noise.safetensors"
    save_weights(path, weights, name="noise", licence="test", notes={})
    return load_weights(read_entry(path), CPU), Weights(path)


def heavy_tailed(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> NDArray[np.float64]:
    """Values of every magnitude, up to some tens of thousands."""
    return rng.normal(size=shape) * scale * np.exp(rng.exponential(1.5, shape))


def write(
    weights: PhotoWeights, model_id: bytes, rng: np.random.Generator, *, width: int, height: int, quality: int
) -> bytes:
    """A file of symbols that no picture has."""
    u, v = -(-height // 64), -(-width // 64)
    z = heavy_tailed(rng, (1, weights.config.hyper_channels, u, v), 4).round().clip(-32_767, 32_767).astype(np.int16)
    y = heavy_tailed(rng, (1, weights.config.latent_channels, 4 * u, 4 * v), 3).astype(np.float32)
    with torch.inference_mode():
        pipeline = PhotoPipeline(weights, CPU)
        (symbols,) = pipeline.quantise_latent(torch.from_numpy(y), torch.from_numpy(z), [quality])
        coded = pipeline.code(symbols)
    return write_container(
        mode=ColourMode.RGB, width=width, height=height, model_id=model_id, quality=quality / 256,
        uniform_tables=False, payload=coded.payload, symbol_crc=coded.symbol_crc,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_arbitrary_symbols_come_back(codec: tuple[PhotoWeights, Weights], seed: int) -> None:
    weights, reference = codec
    rng = np.random.default_rng(seed)
    width, height = (int(side) for side in rng.integers(1, 260, 2))
    quality = int(rng.choice([0, 1, 3_657, 3_658, 12_800, 25_599, 25_600, rng.integers(25_600)]))
    data = write(weights, reference.model_id, rng, width=width, height=height, quality=quality)
    seen = decode(data, reference)
    header = read_header(data)
    stream = Stream(
        payload=data[header.payload_offset :],
        width=width,
        height=height,
        quality_256=quality,
        symbol_crc=header.symbol_crc,
    )
    state = PhotoPipeline(weights, CPU).decode([stream]).whole()
    np.testing.assert_array_equal(seen.z_Cuv, state.symbols_z_BCuv[0].numpy())
    np.testing.assert_array_equal(seen.y_Mhw, state.symbols_BMhw[0].numpy())


def test_the_arbitrary_files_exercise_what_pictures_do_not(codec: tuple[PhotoWeights, Weights]) -> None:
    weights, reference = codec
    data = write(weights, reference.model_id, np.random.default_rng(1), width=256, height=256, quality=9_000)
    seen: Symbols = decode(data, reference)
    silent = weights.latent_tables.silent_T[seen.tables_Mhw]
    escaped = np.abs(seen.y_Mhw) > weights.latent_tables.range_T[seen.tables_Mhw]
    assert len(np.unique(seen.tables_Mhw)) > 40
    assert silent.mean() > 0.05
    assert not seen.y_Mhw[silent].any()
    assert escaped.mean() > 0.1
    assert np.abs(seen.y_Mhw).max() > 10_000
    assert len(np.unique(seen.z_Cuv)) > 20


# Parts by themselves


def test_both_round_alike_between_anchors() -> None:
    rng = np.random.default_rng(0)
    for anchors in (2, 3, 8):
        table = rng.integers(-127, 128, (anchors, 50))
        for quality in [0, 1, 25_599, 25_600, *rng.integers(0, 25_600, 100).tolist()]:
            theirs = integer.interpolate(torch.from_numpy(table), torch.tensor([quality]))[0].numpy()
            np.testing.assert_array_equal(interpolate(table, quality), theirs)


BOUNDS = [0, *(256 * np.cumsum([32_768, 16_384, 16_383, 1])).tolist()]
VECTORS: dict[str, tuple[list[int], list[int]]] = {
    "nothing": ([], []),
    "one entry": ([0], [0]),
    "one word": ([1, 2, 0, 0, 3], [0xB3FFEC01]),
    "a carry": ([3, 3, 1], [0xFFFFFFFF, 0x7E000180]),
    "four words": ([3] * 6, [0xFFFFFFFF, 0xFE0000FF, 0xFFFFFFFF, 0x00000100]),
}
"""Entries and words, as in docs/format.md §9."""


@pytest.mark.parametrize("name", VECTORS)
def test_the_words_of_the_specification_are_those_of_the_library(name: str) -> None:
    entries, words = VECTORS[name]
    model = constriction.stream.model.Categorical(np.diff(BOUNDS) / (1 << 24), perfect=True)
    encoder = constriction.stream.queue.RangeEncoder()
    encoder.encode(np.array(entries, np.int32), model)
    assert encoder.get_compressed().tolist() == words
    decoder = RangeDecoder(np.array(words, "<u4").tobytes())
    assert [decoder.decode(BOUNDS) for _ in entries] == entries
    decoder.finish()


# Streams that nobody wrote: both decoders make the same of them, or neither makes anything.


def read_with_gancodec(payload: bytes, coding: CodingTables, groups: list[NDArray[np.uint8]]) -> list[list[int]] | None:
    try:
        decoder = SymbolDecoder(payload)
        symbols = [decoder.take(coding, group).tolist() for group in groups]
        decoder.finish()
    except CorruptError:
        return None
    return symbols


def read_with_reference(payload: bytes, tables: Tables, groups: list[NDArray[np.uint8]]) -> list[list[int]] | None:
    try:
        decoder = RangeDecoder(payload)
        symbols = [tables.read_group(decoder, group.tolist()) for group in groups]
        decoder.finish()
    except Refused:
        return None
    return symbols


@pytest.mark.parametrize("seed", range(8))
def test_any_bytes_are_read_alike(codec: tuple[PhotoWeights, Weights], seed: int) -> None:
    weights, reference = codec
    tables, coding = Tables(reference, "latent"), CodingTables(weights.latent_tables)
    rng = np.random.default_rng(seed)
    read = 0
    for _ in range(60):
        groups = [rng.integers(0, 64, rng.integers(0, 9)).astype(np.uint8) for _ in range(3)]
        payload = rng.bytes(4 * int(rng.integers(0, 9)) + int(rng.random() < 0.1))
        payload = [payload, b"\xff" * len(payload), bytes(len(payload)), payload + bytes(4)][rng.integers(4)]
        mine = read_with_gancodec(payload, coding, groups)
        assert read_with_reference(payload, tables, groups) == mine
        read += mine is not None
    assert 0 < read < 60
