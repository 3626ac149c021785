"""Costs, gradients and curvature against what they stand for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gancodec.codec import Codec
from gancodec.effort import curvature, objective
from gancodec.effort.costs import BEYOND, FORBIDDEN, SymbolCosts
from gancodec.effort.curvature import measure_curvature
from gancodec.effort.refine import Refiner
from gancodec.effort.request import Effort
from gancodec.effort.rounding import plainly_rounded
from gancodec.entropy import FrequencyTables
from gancodec.errors import ConfigError, CorruptError
from gancodec.networks.index_twin import float_twin
from gancodec.pipeline import PhotoPipeline
from gancodec.weights import PhotoWeights
from gancodec.weights.tensors import model_id
from tests.effort.conftest import another, objective_of
from tests.tiny import made_picture

CPU = torch.device("cpu")


def test_symbols_cost_what_the_coder_takes_for_them() -> None:
    tables = FrequencyTables.from_weights(
        [np.array([1.0, 5, 20, 5, 1, 0.3]), np.array([1.0, 2, 1, 0.5])], np.array([False, False])
    )
    costs = SymbolCosts(tables, CPU)
    limit = int(tables.range_T.max()) + BEYOND
    for table in (0, 1):
        symbols = np.arange(-limit, limit + 1).astype(np.int16)
        numbers = np.full(symbols.shape, table, np.uint8)
        each = costs(torch.from_numpy(numbers), torch.from_numpy(symbols)).numpy()
        ideal = [tables.ideal_bits(numbers[:1], symbols[place : place + 1]) for place in range(len(symbols))]
        assert each == pytest.approx(np.array(ideal), abs=1e-3)
    beyond = torch.tensor([limit + 500])
    far = costs(torch.tensor([1]), beyond)
    assert beyond == limit + 500, "symbols are the caller's"
    assert far == costs(torch.tensor([1]), torch.tensor([limit]))


def test_silent_tables_say_nothing_but_0() -> None:
    tables = FrequencyTables.from_weights([np.array([1.0, 5, 1, 0.3])], np.array([True]))
    costs = SymbolCosts(tables, CPU)
    assert costs(torch.tensor([0, 0]), torch.tensor([0, 1])).tolist() == [0, FORBIDDEN]


def test_the_bits_of_a_chain_are_the_ideal_code_length(pipeline: PhotoPipeline, picture: NDArray[np.uint8]) -> None:
    own = objective_of(pipeline, picture)
    with torch.no_grad():
        chain = plainly_rounded(own)
        bits = float(own.bits(chain))
    (symbols,) = pipeline.symbols(chain)
    assert bits == pytest.approx(pipeline.code(symbols, measure=True).ideal_bits, rel=1e-4)


def test_the_gradient_is_that_of_the_distortion(
    pipeline: PhotoPipeline, picture: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gancodec.effort.prepared.halves_well", lambda device: False)
    own = objective_of(pipeline, picture)
    with torch.no_grad():
        known = plainly_rounded(own).state.known_BMhw
        around = own.expand(known)
        direction = torch.randn(known.shape, generator=torch.Generator().manual_seed(3))
        step = 1e-2
        ahead, behind = (own.rough_distortion((around.latent_BMhw + sign * step * direction) / own.gain_BM11)
                         for sign in (1, -1))  # fmt: skip
    slope = float((around.gradient_BMhw * direction).sum())
    assert float(ahead - behind) / (2 * step) == pytest.approx(slope, rel=0.02)


def test_tiles_give_the_gradient_of_the_whole(pipeline: PhotoPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gancodec.effort.prepared.halves_well", lambda device: False)
    own = objective_of(pipeline, made_picture(8, 200, 300))
    with torch.no_grad():
        known = plainly_rounded(own).state.known_BMhw
        whole = own.expand(known)
        monkeypatch.setattr(pipeline, "tile_px", 64)
        assert len(list(own.tiles(0))) > 4
        tiled = own.expand(known)
    assert torch.allclose(tiled.gradient_BMhw, whole.gradient_BMhw, atol=1e-3 * float(whole.gradient_BMhw.abs().max()))
    assert torch.allclose(tiled.distortion_B, whole.distortion_B, rtol=1e-4)


def test_the_more_pictures_go_together_the_smaller_are_their_tiles(pipeline: PhotoPipeline) -> None:
    pictures = [made_picture(seed, 600, 800) for seed in range(4)]
    for together in (1, 2, 4):
        own = objective_of(pipeline, *pictures[:together], qualities=(60 * 256,) * together)
        parts = list(own.tiles(0))
        pixels = max((part.bottom - part.top) * (part.right - part.left) for part in parts)
        assert together * pixels <= objective.GRADIENT_PIXELS
        assert sum((part.bottom - part.top) * (part.right - part.left) for part in parts) == own.height * own.width


def test_the_float_twin_becomes_the_integers_again(pipeline: PhotoPipeline) -> None:
    weights = pipeline.weights
    before = torch.random.get_rng_state()
    twin = float_twin(weights.config, weights.prior.index)
    assert torch.equal(torch.random.get_rng_state(), before), "the caller's random numbers are his"
    log_gain = weights.prior.log_gain
    back = type(weights.prior.index)(weights.config)
    back.load_float(twin, log_gain)
    for (name, own), (_, made) in zip(
        weights.prior.index.state_dict().items(), back.state_dict().items(), strict=True
    ):
        assert torch.allclose(made.double(), own.double(), rtol=1e-6, atol=1), name


def test_curvature_is_positive_for_every_channel_and_anchor(pipeline: PhotoPipeline) -> None:
    with torch.no_grad():
        found = measure_curvature(pipeline, [made_picture(seed, 128, 128) for seed in (1, 2)])
    config = pipeline.weights.config
    assert found.shape == (config.anchors, config.latent_channels) and bool((found > 0).all())
    middle = torch.zeros(1, config.anchors)
    middle[0, 2:4] = 0.5
    between = curvature.curvature_at(found, middle)[0, :, 0, 0]
    assert torch.allclose(between, (found[2] * found[3]).sqrt(), rtol=1e-4)


def test_curvature_is_kept_with_the_weights_and_outside_the_model_id(pipeline: PhotoPipeline) -> None:
    weights = pipeline.weights
    weights.curvature_AM = None
    assert not any(name.startswith("effort") for name in weights.tensors())
    weights.curvature_AM = torch.full((weights.config.anchors, weights.config.latent_channels), 2.0)
    back = PhotoWeights.from_tensors(weights.config, weights.tensors(), CPU)
    assert back.curvature_AM is not None and torch.equal(back.curvature_AM, weights.curvature_AM)


def test_symbols_are_chosen_by_the_guide_and_measured_as_readers_see_them(
    pipeline: PhotoPipeline, picture: NDArray[np.uint8]
) -> None:
    weights, refiner = pipeline.weights, Refiner(pipeline)
    later = replace(weights, fidelity=another(weights.fidelity), guide=weights.fidelity)
    unguided = replace(later, guide=None)
    by_guide, by_own = PhotoPipeline(later, CPU), PhotoPipeline(unguided, CPU)
    (before,), (kept,), (moved,) = (
        each.quantise([picture], [60 * 256], Effort(level=1)) for each in (refiner, Refiner(by_guide), Refiner(by_own))
    )
    assert kept.crc == before.crc != moved.crc
    with torch.no_grad():
        chain = plainly_rounded(objective_of(pipeline, picture))
        seen = [float(objective_of(each, picture).distortion(chain)) for each in (pipeline, by_guide, by_own)]
    assert seen[0] != seen[1] == seen[2]


def test_the_guide_is_kept_with_the_weights_and_outside_the_model_id(pipeline: PhotoPipeline) -> None:
    weights = pipeline.weights
    assert weights.guiding is weights.fidelity
    guided = replace(weights, guide=another(weights.fidelity))
    tensors = guided.tensors()
    assert model_id(tensors) == model_id(weights.tensors())
    back = PhotoWeights.from_tensors(weights.config, tensors, CPU)
    assert back.guide is not None and back.guiding is back.guide
    assert all(torch.equal(tensors[name], value) for name, value in back.tensors().items())
    del tensors["effort.synthesis.generator.output.bias"]
    with pytest.raises(RuntimeError, match=r"generator\.output\.bias"):
        PhotoWeights.from_tensors(weights.config, tensors, CPU)


@pytest.mark.parametrize(
    "bad",
    [torch.ones(2, 2), torch.zeros(8, 24), torch.full((8, 24), torch.nan), torch.full((8, 24), torch.inf)],
)
def test_curvature_that_makes_no_sense_is_refused(pipeline: PhotoPipeline, bad: torch.Tensor) -> None:
    tensors = {**pipeline.weights.tensors(), "effort.curvature": bad}
    with pytest.raises(CorruptError, match=r"effort\.curvature"):
        PhotoWeights.from_tensors(pipeline.weights.config, tensors, CPU)


def test_mixed_sizes_are_refused(codec: Codec) -> None:
    from gancodec.picture import Picture

    pictures = [Picture(colour_HWC=made_picture(1, side, side)) for side in (60, 160)]
    with pytest.raises(ConfigError, match="different padded sizes"):
        codec.quantise(pictures, [0, 0], Effort(level=1))
