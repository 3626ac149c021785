"""The codec ``extreme``: what goes in comes out, in no more bytes than its symbols can need, whatever the picture."""

from __future__ import annotations

import math
import struct
import threading
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from gancodec.codec import Codec
from gancodec.container import read_container, read_header, write_container
from gancodec.entropy import (
    CodingTables,
    FrequencyTables,
    SymbolDecoder,
    SymbolEncoder,
    table_count,
    table_numbers,
)
from gancodec.errors import (
    ChecksumError,
    ConfigError,
    CorruptError,
    FormatError,
    GancodecError,
    LimitError,
    WrongModelError,
)
from gancodec.networks.config import SYMBOL_CHANNELS
from gancodec.networks.extreme import ExtremeEncoder
from gancodec.picture import Metadata, Picture
from gancodec.pipeline import ExtremePipeline, Stream
from gancodec.registry import read_entry
from gancodec.training.export_extreme import assemble_extreme, fit_extreme_tables
from gancodec.weights import ExtremeWeights, load_weights, model_id, save_weights
from tests.conftest import GOLDEN
from tests.tiny import made_picture, make_tiny_extreme_model

CPU = torch.device("cpu")
WEIGHTS = GOLDEN / "tiny-extreme.safetensors"
FILES = sorted(GOLDEN.glob("extreme-*.gnc"))
CONTAINER_BYTES = 32


@pytest.fixture(scope="module")
def codec() -> Codec:
    """The codec of the golden files."""
    return Codec.load(WEIGHTS, "cpu")


def loaded() -> ExtremeWeights:
    weights = load_weights(read_entry(WEIGHTS), CPU)
    assert isinstance(weights, ExtremeWeights)
    return weights


def made_image(mode: str, height: int, width: int) -> Image.Image:
    image = Image.fromarray(made_picture(51, max(height, 4), max(width, 4))).crop((0, 0, width, height))
    if "A" in mode:
        image.putalpha(Image.fromarray(np.arange(height * width, dtype=np.uint8).reshape(height, width)))
    return image.convert(mode)


def most_bytes(channels: int, height: int, width: int) -> float:
    """What docs/format.md §13 promises of a payload."""
    symbols = channels * -(-height // 16) * -(-width // 16)
    return 1.0001 * symbols * math.log2(5) / 8 + 8


# Pictures come back


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (15, 17), (16, 16), (1, 97), (61, 127)])
def test_any_size_and_mode_comes_back(mode: str, height: int, width: int, codec: Codec) -> None:
    image = made_image(mode, height, width)
    data = codec.compress(image)
    back = codec.decompress(data)
    assert (back.mode, back.size) == (mode, (width, height))
    assert read_header(data).quality == 0
    if "A" in mode:
        np.testing.assert_array_equal(np.asarray(back.getchannel("A")), np.asarray(image.getchannel("A")))
    codec.verify(data)


def test_metadata_comes_back_byte_for_byte(codec: Codec) -> None:
    metadata = Metadata(icc=None, exif=b"MM\0*\0\0\0\x08\0\0\0\0\0\0", xmp=b"<x:xmpmeta>\xc3\xa9</x:xmpmeta>")
    picture = Picture(colour_HWC=made_picture(32, 20, 30), alpha_HW=None, metadata=metadata)
    assert codec.decompress_picture(codec.compress(picture)).metadata == metadata


def test_picture_is_recognisable(codec: Codec) -> None:
    """Even the tiny codec keeps the means of its patches: the error is that of their detail."""
    picture = made_picture(52, 200, 136)
    back = np.asarray(codec.decompress(codec.compress(Image.fromarray(picture))), np.float64)
    flat = np.abs(picture - picture.mean((0, 1))).mean()
    assert np.abs(back - picture).mean() < 0.8 * flat


def test_the_quality_of_the_header_is_ignored(codec: Codec) -> None:
    data = FILES[0].read_bytes()
    container = read_container(data)
    other = write_container(
        mode=container.header.mode, width=container.header.width, height=container.header.height,
        model_id=container.header.model_id, quality=60, uniform_tables=container.header.uniform_tables,
        payload=container.payload, symbol_crc=container.header.symbol_crc,
    )  # fmt: skip
    np.testing.assert_array_equal(np.asarray(codec.decompress(other)), np.asarray(codec.decompress(data)))


# The rate


@pytest.fixture(scope="module", params=SYMBOL_CHANNELS)
def fitted(request: pytest.FixtureRequest) -> ExtremeWeights:
    """A tiny codec of each number of channels."""
    weights = assemble_extreme(make_tiny_extreme_model(3, request.param))
    fit_extreme_tables(weights, [made_picture(70 + number, 128, 128) for number in range(4)])
    return weights


@pytest.mark.parametrize(("height", "width"), [(1, 1), (16, 16), (97, 211), (640, 480)])
def test_no_picture_costs_more_than_its_symbols_can_need(height: int, width: int, fitted: ExtremeWeights) -> None:
    pipeline = ExtremePipeline(fitted, CPU)
    rng = np.random.default_rng(height)
    noise = rng.integers(0, 256, (height, width, 3), np.uint8)
    blocks = rng.integers(0, 2, (height // 8 + 1, width // 8 + 1, 3), np.uint8).repeat(8, 0).repeat(8, 1) * 255
    for picture in (noise, blocks[:height, :width], made_picture(53, height, width)):
        payload = pipeline.encode(picture, 0).payload
        assert len(payload) <= most_bytes(fitted.config.symbol_channels, height, width)


def test_tables_that_expect_anything_else_do_not_raise_the_bound(fitted: ExtremeWeights) -> None:
    """Symbols to which each table gives the probability 1/65,536 cost what uniform ones do."""
    channels = fitted.config.symbol_channels
    weights = FrequencyTables.from_weights([np.array([0, 0, 1, 0, 0, 0])] * table_count(channels))
    pipeline = ExtremePipeline(fitted, CPU)
    pipeline.coding = CodingTables(weights)
    symbols = np.random.default_rng(1).choice(np.array([-2, -1, 1, 2], np.int16), (channels, 20, 30))
    coded = pipeline.code(pipeline.grouped(symbols))
    assert coded.uniform_tables
    assert len(coded.payload) <= most_bytes(channels, 320, 480)
    stream = Stream(
        payload=coded.payload, width=480, height=320, quality_256=0, symbol_crc=coded.symbol_crc, uniform_tables=True
    )
    np.testing.assert_array_equal(pipeline.decode([stream]).whole()[0].numpy(), symbols)


@pytest.mark.parametrize("side", [16, 64, 1008, 4000, 16_384])
@pytest.mark.parametrize("channels", SYMBOL_CHANNELS)
def test_uniform_symbols_cost_what_the_specification_says(channels: int, side: int) -> None:
    """Up to the largest picture there is: what the coder's integers lose hardly depends on the symbols."""
    count = channels * (side // 16) ** 2
    rng = np.random.default_rng(side)
    for symbols in (rng.integers(-2, 3, count), np.full(count, -2), np.full(count, 2)):
        encoder = SymbolEncoder()
        encoder.put_uniform(symbols.astype(np.int16), 2)
        assert len(encoder.finish()) <= most_bytes(channels, side, side)


def test_fifth_of_the_interval_is_rounded_as_the_specification_says() -> None:
    """Each boundary of the uniform values is found again from the words of a decoder."""
    bounds = [0, 3_355_443, 6_710_886, 10_066_329, 13_421_772, 1 << 24]
    for value, (start, end) in enumerate(pairwise(bounds)):
        for place in (start, end - 1):
            payload = struct.pack("<II", place << 8 | (0xFF if place != start else 0), 0)
            assert SymbolDecoder(payload).take_uniform(1, 2)[0] == value - 2


def test_smooth_picture_takes_learned_tables_and_stays_far_below_the_bound(codec: Codec) -> None:
    ramp = np.linspace(60, 180, 256)[:, None] + np.linspace(0, 40, 256)
    smooth = np.stack([ramp, ramp, ramp], 2).astype(np.uint8)
    coded = codec.encode_pixels(smooth, 0, measure=True)
    assert not coded.uniform_tables
    assert len(coded.payload) < 0.7 * most_bytes(4, 256, 256)
    assert coded.ideal_bits is not None
    assert coded.ideal_bits / 8 <= len(coded.payload) <= 1.01 * coded.ideal_bits / 8 + 8


def test_container_costs_at_most_32_bytes(codec: Codec) -> None:
    pixels = made_picture(35, 512, 768)
    whole = codec.compress(Image.fromarray(pixels))
    assert len(whole) - len(codec.encode_pixels(pixels, 0).payload) <= CONTAINER_BYTES


@pytest.mark.parametrize("quality", [0, 60, 100])
def test_a_quality_is_refused(quality: float, codec: Codec) -> None:
    with pytest.raises(ConfigError, match="one rate only"):
        codec.compress(Image.new("RGB", (8, 8)), quality=quality)


def test_a_target_is_a_limit(codec: Codec) -> None:
    image = made_image("RGB", 64, 64)
    data = codec.compress(image)
    assert codec.compress(image, target_size=len(data)) == data
    assert codec.compress(image, target_bpp=8 * len(data) / 64**2) == data
    with pytest.raises(LimitError, match=f"makes {len(data)}"):
        codec.compress(image, target_size=len(data) - 1)


@pytest.mark.parametrize("realism", [0.5, 1])
def test_realism_above_0_is_refused(realism: float, codec: Codec) -> None:
    with pytest.raises(ConfigError, match="no realism generator"):
        codec.decompress(FILES[0].read_bytes(), realism=realism)
    codec.decompress(FILES[0].read_bytes(), realism=0)


# Exactness


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden_file_decodes_to_the_picture_beside_it(path: Path, codec: Codec) -> None:
    data = path.read_bytes()
    assert read_header(data).uniform_tables == path.stem.endswith("-uniform")
    picture = np.asarray(codec.decompress(data), np.int16)
    with Image.open(path.with_suffix(".png")) as opened:
        stored = np.asarray(opened, np.int16)
    assert picture.shape == stored.shape
    assert np.abs(picture - stored).max() <= 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden_file_decodes_to_the_same_picture_on_cuda(path: Path) -> None:
    picture = np.asarray(Codec.load(WEIGHTS, "cuda").decompress(path.read_bytes()), np.int16)
    with Image.open(path.with_suffix(".png")) as opened:
        assert np.abs(picture - np.asarray(opened, np.int16)).max() <= 1


@pytest.fixture
def tiled(codec: Codec) -> Iterator[Codec]:
    """The codec with tiles of four latent positions."""
    before, codec.pipeline.tile_px = codec.pipeline.tile_px, 64
    yield codec
    codec.pipeline.tile_px = before


def test_picture_in_tiles_stays_within_one_level(codec: Codec, tiled: Codec) -> None:
    pixels = made_picture(54, 300, 200)
    whole = Codec.load(WEIGHTS, "cpu")
    assert isinstance(whole.pipeline, ExtremePipeline) and isinstance(tiled.pipeline, ExtremePipeline)
    torch.testing.assert_close(tiled.pipeline.analyse([pixels]), whole.pipeline.analyse([pixels]), atol=1e-4, rtol=0)
    data = whole.compress(Image.fromarray(pixels))
    pictures = [np.asarray(each.decompress(data), np.int16) for each in (whole, tiled)]
    assert np.abs(pictures[0] - pictures[1]).max() <= 1


def test_symbols_are_the_same_in_tiles_threads_and_groups(codec: Codec, tiled: Codec) -> None:
    """Nothing but integers decides; whoever decodes, alone or together, gets the symbols that were written."""
    images = [Image.fromarray(made_picture(55 + number, 90, 70)) for number in range(4)]
    streams = []
    for image in images:
        container = read_container(codec.compress(image))
        streams.append(
            Stream(
                payload=container.payload, width=70, height=90, quality_256=0,
                symbol_crc=container.header.symbol_crc, uniform_tables=container.header.uniform_tables,
            )
        )  # fmt: skip
    together = tiled.pipeline.decode(streams).whole()
    found: list[bool] = []

    def work(number: int) -> None:
        found.append(torch.equal(codec.pipeline.decode([streams[number]]).whole()[0], together[number]))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == [True] * 4
    with pytest.raises(ConfigError, match="padded sizes"):
        codec.pipeline.decode([streams[0], Stream(payload=b"", width=7, height=7, quality_256=0, symbol_crc=0)])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(SYMBOL_CHANNELS), st.integers(1, 6), st.integers(1, 6))
def test_table_numbers_are_those_of_the_specification(seed: int, channels: int, rows: int, columns: int) -> None:
    symbols = np.random.default_rng(seed).integers(-2, 3, (channels, rows, columns)).astype(np.int16)
    numbers = table_numbers(symbols)

    def at(channel: int, row: int, column: int) -> int:
        return int(symbols[channel, row, column]) if 0 <= row < rows and 0 <= column < columns else 0

    for (m, r, c), number in np.ndenumerate(numbers):
        if (r + c) % 2 == 0:
            assert number == m
        else:
            around = at(m, r - 1, c) + at(m, r + 1, c) + at(m, r, c - 1) + at(m, r, c + 1)
            assert number == channels + 11 * m + max(-5, min(5, around)) + 5
    assert numbers.max() < table_count(channels)


# Damage


@pytest.fixture(scope="module")
def damage_files(codec: Codec) -> list[bytes]:
    """One with learned tables and alpha, one with uniform tables."""
    colour = made_picture(21, 40, 48)
    alpha = np.zeros((40, 48), np.uint8)
    with_alpha = codec.compress(Picture(colour_HWC=colour, alpha_HW=alpha, metadata=Metadata()))
    uniform = (GOLDEN / "extreme-70x90-uniform.gnc").read_bytes()
    assert not read_header(with_alpha).uniform_tables and read_header(uniform).uniform_tables
    return [with_alpha, uniform]


@pytest.mark.parametrize("mask", [0x01, 0x10, 0x80, 0xFF])
def test_changed_byte_is_refused(mask: int, damage_files: list[bytes], codec: Codec) -> None:
    for whole in damage_files:
        for place in range(len(whole)):
            changed = bytearray(whole)
            changed[place] ^= mask
            with pytest.raises((FormatError, LimitError, WrongModelError)):
                codec.decompress(bytes(changed))


def test_truncated_or_longer_file_is_refused(damage_files: list[bytes], codec: Codec) -> None:
    for whole in damage_files:
        for data in [*(whole[:size] for size in range(len(whole))), whole + b"\0"]:
            with pytest.raises(FormatError):
                codec.verify(data)


def forged(data: bytes, payload: bytes, *, uniform: bool, symbol_crc: int | None = None) -> bytes:
    """The file with another payload and right checksums, but for that of the symbols."""
    header = read_header(data)
    return write_container(
        mode=header.mode, width=header.width, height=header.height, model_id=header.model_id, quality=0,
        uniform_tables=uniform, payload=payload,
        symbol_crc=header.symbol_crc if symbol_crc is None else symbol_crc,
    )  # fmt: skip


@pytest.mark.parametrize("uniform", [False, True])
def test_random_payload_with_right_checksums_is_refused(uniform: bool, codec: Codec) -> None:
    rng = np.random.default_rng(4)
    for data in (path.read_bytes() for path in FILES):
        for size in [0, 3, 4, 40, *rng.integers(1, 30, 20) * 4]:
            with pytest.raises(GancodecError):
                codec.decompress(forged(data, rng.bytes(int(size)), uniform=uniform))


def test_file_that_says_the_other_tables_is_refused(codec: Codec) -> None:
    for path in FILES:
        container = read_container(path.read_bytes())
        with pytest.raises((CorruptError, ChecksumError)):
            other = not container.header.uniform_tables
            codec.decompress(forged(path.read_bytes(), container.payload, uniform=other))


def test_escape_is_corrupt_even_with_the_right_checksum(codec: Codec) -> None:
    assert isinstance(codec.pipeline, ExtremePipeline)
    symbols = np.zeros((4, 2, 1), np.int16)
    symbols[0, 0, 0] = 3
    numbers = table_numbers(symbols)
    encoder = SymbolEncoder()
    for place in (0, 1):  # the first pass is the upper position
        encoder.put(codec.pipeline.coding, numbers[:, place, 0], symbols[:, place, 0])
    small = codec.compress(Image.new("RGB", (16, 32)))
    data = forged(small, encoder.finish(), uniform=False, symbol_crc=zlib.crc32(symbols.astype("<i2").tobytes()))
    with pytest.raises(CorruptError, match="escape"):
        codec.decompress(data)


def test_file_of_photo_with_the_uniform_flag_is_corrupt(tiny_codec: Codec) -> None:
    data = (GOLDEN / "rgb-33x70-q0.gnc").read_bytes()
    with pytest.raises(CorruptError, match="uniform tables"):
        tiny_codec.decompress(forged(data, read_container(data).payload, uniform=True))


# Weights


def test_model_id_follows_tables_and_the_first_encoder_but_no_generator(tmp_path: Path) -> None:
    weights = loaded()
    before = model_id(weights.tensors())
    next(weights.generator.parameters()).add_(1)
    next(weights.analysis.parameters()).add_(1)  # a better encoder keeps the digest of the first one
    assert model_id(weights.tensors()) == before
    weights.encoder_digest = bytes(16)
    assert model_id(weights.tensors()) != before
    weights = loaded()
    weights.tables = FrequencyTables.from_weights([np.ones(6)] * len(weights.tables.range_T))
    assert model_id(weights.tensors()) != before


def test_codec_with_another_encoder_has_another_id() -> None:
    first = loaded()
    other = loaded()
    next(other.analysis.parameters()).add_(1)
    fresh = [
        ExtremeWeights(config=each.config, analysis=each.analysis, generator=each.generator, tables=each.tables)
        for each in (first, other)
    ]
    assert fresh[0].encoder_digest == first.encoder_digest
    assert model_id(fresh[1].tensors()) != model_id(fresh[0].tensors())


def test_better_generator_opens_old_files(tmp_path: Path, codec: Codec) -> None:
    weights = loaded()
    assert weights.generator.output.bias is not None
    weights.generator.output.bias.add_(0.1)
    save_weights(tmp_path / "better.safetensors", weights, name="better", licence="test", notes={})
    data = FILES[0].read_bytes()
    old = np.asarray(codec.decompress(data), np.int16)
    new = np.asarray(Codec.load(tmp_path / "better.safetensors", "cpu").decompress(data), np.int16)
    assert (new - old).mean() == pytest.approx(12.75, abs=2)


@pytest.mark.parametrize("name", ["tiny", "tiny-extreme"])
def test_loading_draws_no_random_numbers(name: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    codec = Codec.load(GOLDEN / f"{name}.safetensors", "cpu")
    assert torch.equal(torch.get_rng_state(), before)
    for network in codec.pipeline.weights.modules().values():
        for parameter in network.parameters():
            assert (parameter.dtype, parameter.device, parameter.requires_grad) == (torch.float32, CPU, False)


def save_changed(path: Path, **changed: torch.Tensor | None) -> Path:
    """The golden weights with other tensors, or without some, and a right model id and digest."""

    class Changed(ExtremeWeights):
        __slots__ = ()

        def tensors(self) -> dict[str, torch.Tensor]:
            merged = ExtremeWeights.tensors(self) | {key.replace("__", "."): value for key, value in changed.items()}
            return {name: value for name, value in merged.items() if value is not None}

    plain = loaded()
    weights = Changed(
        config=plain.config, analysis=plain.analysis, generator=plain.generator, tables=plain.tables,
        encoder_digest=plain.encoder_digest,
    )  # fmt: skip
    save_weights(path, weights, name="changed", licence="test", notes={})
    return path


def half_the_tables() -> dict[str, torch.Tensor]:
    tensors = loaded().tensors()
    return {
        f"prior__tables__latent__{part}": tensors[f"prior.tables.latent.{part}"][:24]
        for part in ("range", "frequency", "silent")
    }


def tables_of_range_1() -> dict[str, torch.Tensor]:
    tables = FrequencyTables.from_weights([np.ones(4)] * 48)
    return {
        "prior__tables__latent__range": torch.from_numpy(tables.range_T),
        "prior__tables__latent__frequency": torch.from_numpy(tables.frequency_TN),
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"prior__encoder_digest": None},
        {"prior__encoder_digest": torch.zeros(5, dtype=torch.int32)},
        {"prior__encoder_digest": torch.zeros(4)},
        {"prior__tables__latent__silent": torch.ones(48, dtype=torch.bool)},
        {"synthesis__output__bias": None},
        {"synthesis__output__bias": torch.zeros(7)},
        {"synthesis__output__bias": torch.zeros(192, dtype=torch.int32)},
        half_the_tables(),
        tables_of_range_1(),
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_weights_that_do_not_fit_are_refused(changed: dict[str, torch.Tensor | None], tmp_path: Path) -> None:
    path = save_changed(tmp_path / "changed.safetensors", **changed)
    with pytest.raises(WrongModelError, match="does not fit"):
        Codec.load(path, "cpu")


def test_tables_are_fitted_to_what_was_counted() -> None:
    """A picture's own tables are shorter than those of others, and no symbol becomes impossible."""
    weights = assemble_extreme(make_tiny_extreme_model(9))
    pictures: list[NDArray[np.uint8]] = [made_picture(90 + number, 256, 256) for number in range(6)]
    sizes = [ideal(weights, pictures[0])]
    fit_extreme_tables(weights, pictures)
    sizes.append(ideal(weights, pictures[0]))
    fit_extreme_tables(weights, pictures[:1] * 6)
    sizes.append(ideal(weights, pictures[0]))
    assert sizes == sorted(sizes, reverse=True) and sizes[1] < 0.97 * sizes[0]
    assert (weights.tables.frequency_TN[:, 5] == 1).all()
    assert weights.tables.frequency_TN[:, :5].min() >= 1
    assert isinstance(weights.analysis, ExtremeEncoder)


def ideal(weights: ExtremeWeights, picture: NDArray[np.uint8]) -> float:
    (symbols,) = ExtremePipeline(weights, CPU).quantise([picture], [0])
    return sum(weights.tables.ideal_bits(group.tables_N, group.symbols_N) for group in symbols.groups)
