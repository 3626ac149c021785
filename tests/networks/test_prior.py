"""The exact prior: order, packing, integer arithmetic against its float twin, and the model id."""

from __future__ import annotations

import json
import math
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch

from gancodec.codec import Codec
from gancodec.errors import WrongModelError
from gancodec.networks.exactness import SWITCHES, exact_arithmetic
from gancodec.networks.index import RoundedConv
from gancodec.networks.integer import (
    FRACTION,
    LOG_SCALE_STEP,
    TABLES,
    IntegerIndex,
    IntegerLayer,
    interpolate,
    table_scale,
)
from gancodec.networks.photo import SCALE_MIN
from gancodec.networks.prior import packed, unpack_into
from gancodec.networks.steps import step_masks, step_of
from gancodec.registry import read_entry
from gancodec.weights import load_weights, model_id, save_weights
from tests.conftest import GOLDEN
from tests.tiny import TINY, make_tiny_model


def test_every_symbol_is_coded_in_exactly_one_step() -> None:
    masks = step_masks(8, 6, 4)
    assert (masks.sum(0) == 1).all()
    for step in range(4):
        assert masks[step].float().mean() == 0.25
        for channel, row, column in masks[step].nonzero().tolist():
            assert step_of(channel, row, column) == step


@pytest.mark.parametrize("step", range(4))
def test_packing_takes_the_channels_that_the_format_says(step: int) -> None:
    plane = torch.arange(2 * 8 * 4 * 6).view(2, 8, 4, 6)
    quarter = packed(plane, step)
    for j, row, column in np.ndindex(2, 4, 6):
        channel = next(c for c in range(4 * j, 4 * j + 4) if step_of(c, row, column) == step)
        assert (quarter[:, j, row, column] == plane[:, channel, row, column]).all()
    back = torch.zeros_like(plane)
    for each in range(4):
        unpack_into(back, each, packed(plane, each))
    assert torch.equal(back, plane)


def test_table_scales_span_what_the_format_says() -> None:
    assert table_scale(0) == pytest.approx(0.05) and table_scale(TABLES - 1) == pytest.approx(64)


def test_interpolation_meets_the_anchors_and_the_middle() -> None:
    table = torch.tensor([[0], [100], [-50]], dtype=torch.int32)
    quality = torch.tensor([0, 50 * 256, 100 * 256, 25 * 256, 75 * 256])
    assert interpolate(table, quality)[:, 0].tolist() == [0, 100, -50, 50, 25]


def test_requantising_rounds_half_up_with_an_arithmetic_shift() -> None:
    layer = IntegerLayer(1, 1, last=True)
    layer.weight.fill_(1)
    layer.multiplier.fill_(1 << 29)  # times one half
    x = torch.tensor([-3.0, -2, -1, 0, 1, 2, 3]).view(1, 1, 1, -1)
    assert layer(x, torch.tensor([0])).flatten().tolist() == [-1, -1, 0, 0, 1, 1, 2]


def test_layer_whose_sums_could_lose_exactness_is_refused() -> None:
    layer = IntegerLayer(1200, 1)
    layer.weight.fill_(127)
    with pytest.raises(WrongModelError, match="2\\^24"):
        layer.check()


@pytest.mark.parametrize("weight", [0.0, 1e-5, 5e-4])
def test_a_channel_whose_scale_hardly_depends_on_anything_can_be_stored(weight: float) -> None:
    layer, integer = RoundedConv(8, 2, last=True), IntegerLayer(8, 2, last=True)
    with torch.no_grad():
        layer.weight.fill_(weight)
        layer.bias.fill_(0.5)
    integer.load_float(layer)
    places = integer(torch.zeros(1, 8, 1, 1), torch.tensor([0])).flatten() / FRACTION
    assert places.tolist() == pytest.approx([(0.5 - math.log(SCALE_MIN)) / LOG_SCALE_STEP] * 2, abs=0.02)


@pytest.mark.parametrize("quality", [0.0, 37.3, 100.0])
def test_integer_network_chooses_the_tables_of_its_rounded_float_twin(quality: float) -> None:
    """Same inputs: K differs by at most one where the float result lies on a boundary, and in few places."""
    model = make_tiny_model(3)
    model.index.rounding = True
    integer = IntegerIndex(TINY)
    integer.load_float(model.index, model.gains.log_gain_AM)
    rng = torch.Generator().manual_seed(1)
    symbols_z = torch.randint(-3, 4, (1, TINY.hyper_channels, 3, 4), generator=rng)
    symbols = torch.randint(-2, 3, (1, TINY.latent_channels, 12, 16), generator=rng)
    quality_256 = torch.tensor([round(quality * FRACTION)])
    from gancodec.networks.blocks import anchor_weights

    weights = anchor_weights(torch.tensor([quality]), TINY.anchors)
    log_gain = model.gains.log(weights)
    with torch.no_grad():
        hyper_float = model.index.hyper(symbols_z.float(), weights)
        hyper = integer.hyper(symbols_z.short(), quality_256)
        for step in range(4):
            log_scale = model.index.step(step, symbols.float(), log_gain.exp(), hyper_float, weights) + log_gain
            wanted = ((log_scale - math.log(table_scale(0))) / LOG_SCALE_STEP).round().clamp(0, TABLES - 1)
            known = integer.known(symbols.short(), integer.latent_table(quality_256))
            chosen = integer.step(step, known, hyper, quality_256)
            difference = (chosen.float() - wanted).abs()
            # Between anchors the look-up tables interpolate the squash, not the gain: a little more may differ.
            assert difference.max() <= (1 if quality in (0, 100) else 2)
            assert (difference > 0).float().mean() < (0.03 if quality in (0, 100) else 0.2)
            assert chosen.unique().numel() > 3


def test_guard_restores_the_callers_settings_after_an_error() -> None:
    from operator import attrgetter

    torch.set_float32_matmul_precision("medium")
    try:
        before = [attrgetter(name)(torch.backends).fp32_precision for name in SWITCHES]
        with pytest.raises(KeyError), torch.autocast("cpu", dtype=torch.bfloat16), exact_arithmetic():
            assert not torch.is_autocast_enabled("cpu")
            assert (torch.eye(2) @ torch.eye(2)).dtype == torch.float32
            raise KeyError
        assert [attrgetter(name)(torch.backends).fp32_precision for name in SWITCHES] == before
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_settings_survive_threads_that_overlap() -> None:
    import threading

    torch.set_float32_matmul_precision("medium")
    try:
        inside, leave = threading.Event(), threading.Event()

        def stay() -> None:
            with exact_arithmetic():
                inside.set()
                leave.wait(10)

        worker = threading.Thread(target=stay)
        worker.start()
        inside.wait(10)
        with exact_arithmetic():
            pass
        assert torch.backends.mkldnn.matmul.fp32_precision == "ieee", "the other thread is still inside"
        leave.set()
        worker.join()
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_model_id_follows_the_means_and_not_the_generator(tmp_path: Path) -> None:
    weights = load_weights(read_entry(GOLDEN / "tiny.safetensors"), torch.device("cpu"))
    before = model_id(weights.tensors())
    next(weights.fidelity.generator.parameters()).add_(1)
    next(weights.analysis.parameters()).add_(1)
    assert model_id(weights.tensors()) == before
    weights.prior.means.steps[2].output.bias[0] += 0.01
    assert model_id(weights.tensors()) != before


def test_better_generator_opens_old_files(tmp_path: Path, tiny_codec: Codec) -> None:
    weights = load_weights(read_entry(GOLDEN / "tiny.safetensors"), torch.device("cpu"))
    weights.fidelity.generator.output.bias.add_(0.1)
    save_weights(tmp_path / "better.safetensors", weights, name="better", licence="test", notes={})
    data = (GOLDEN / "rgb-33x70-q0.gnc").read_bytes()
    old = np.asarray(tiny_codec.decompress(data), np.int16)
    new = np.asarray(Codec.load(tmp_path / "better.safetensors", "cpu").decompress(data), np.int16)
    assert (new - old).mean() == pytest.approx(12.75, abs=2)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    data = (GOLDEN / "tiny.safetensors").read_bytes()
    for damage in (len(data) // 2, len(data) // 3):
        damaged = bytearray(data)
        damaged[damage] ^= 0x55
        (tmp_path / "damaged.safetensors").write_bytes(damaged)
        with pytest.raises(WrongModelError):
            Codec.load(tmp_path / "damaged.safetensors", "cpu")


def test_weights_with_a_damaged_generator_are_refused(tmp_path: Path) -> None:
    """The model id does not cover the generator; the digest over all tensors does."""
    data = bytearray((GOLDEN / "tiny.safetensors").read_bytes())
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    start, _ = header["synthesis.fidelity.generator.output.bias"]["data_offsets"]
    data[8 + int.from_bytes(data[:8], "little") + start] ^= 1
    (tmp_path / "damaged.safetensors").write_bytes(data)
    with pytest.raises(WrongModelError, match="tensors"):
        Codec.load(tmp_path / "damaged.safetensors", "cpu")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(value: float, tmp_path: Path) -> None:
    weights = load_weights(read_entry(GOLDEN / "tiny.safetensors"), torch.device("cpu"))
    weights.fidelity.generator.output.bias[0] = value
    save_weights(tmp_path / "w.safetensors", weights, name="tiny", licence="test", notes={})
    with pytest.raises(WrongModelError, match="no numbers"):
        Codec.load(tmp_path / "w.safetensors", "cpu")


def test_realism_mixes_the_two_generators(tmp_path: Path) -> None:
    weights = load_weights(read_entry(GOLDEN / "tiny.safetensors"), torch.device("cpu"))
    weights.realism = deepcopy(weights.fidelity)
    weights.realism.generator.output.bias.add_(0.2)
    save_weights(tmp_path / "two.safetensors", weights, name="two", licence="test", notes={})
    codec = Codec.load(tmp_path / "two.safetensors", "cpu")
    assert codec.entry.has_realism
    data = (GOLDEN / "rgb-33x70-q0.gnc").read_bytes()  # same prior, same id: old files open
    means = [np.asarray(codec.decompress(data, realism=r), np.float64).mean() for r in (0, 0.5, 1, 0.5, 0)]
    assert means[0] < means[1] < means[2] and means[3:] == [means[1], means[0]]
    assert means[1] - means[0] == pytest.approx(12.75, abs=1.5)
