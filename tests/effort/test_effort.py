"""Levels of effort: files that every decoder opens, and that never cost more than those of a level below."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gancodec.codec import Codec
from gancodec.defaults import EFFORT_MAX
from gancodec.effort import refine as refining
from gancodec.effort.annealing import anneal
from gancodec.effort.levels import LEVELS, Level
from gancodec.effort.objective import slope
from gancodec.effort.refine import Refiner
from gancodec.effort.request import Effort
from gancodec.effort.rounding import Latents
from gancodec.errors import ConfigError, LimitError
from gancodec.networks.half import Halvable
from gancodec.networks.index_twin import float_twin
from gancodec.picture import Picture
from gancodec.pipeline import PhotoPipeline, Stream, Symbols
from tests.conftest import GOLDEN
from tests.effort.conftest import objective_of
from tests.tiny import made_picture

QUALITIES = (5, 30, 60, 95)


def made_of(
    pipeline: PhotoPipeline, picture: NDArray[np.uint8], symbols: Symbols, quality_256: int
) -> tuple[int, float]:
    """Bits of a payload, and the squared error of the picture that is decoded from it."""
    coded = pipeline.code(symbols)
    stream = Stream(
        payload=coded.payload,
        width=picture.shape[1],
        height=picture.shape[0],
        quality_256=quality_256,
        symbol_crc=coded.symbol_crc,
    )
    state = pipeline.decode([stream]).whole()
    (back,) = pipeline.synthesise(state, [(picture.shape[1], picture.shape[0])], [0.0])
    return 8 * len(coded.payload), float(np.square(back.astype(float) - picture).sum() / 127.5**2)


def cost(pipeline: PhotoPipeline, picture: NDArray[np.uint8], symbols: Symbols, quality_256: int) -> float:
    bits, error = made_of(pipeline, picture, symbols, quality_256)
    return bits + float(slope(torch.tensor(quality_256 / 256))) * error


@pytest.mark.parametrize("quality", QUALITIES)
def test_every_level_opens_and_costs_no_more_than_the_one_below(
    pipeline: PhotoPipeline, refiner: Refiner, picture: NDArray[np.uint8], quality: int
) -> None:
    quality_256 = quality * 256
    (plain,) = pipeline.quantise([picture], [quality_256])
    costs = [cost(pipeline, picture, plain, quality_256)]
    for level, (symbols,) in refiner.by_level([picture], [quality_256], Effort(level=5)):
        costs.append(cost(pipeline, picture, symbols, quality_256))
        assert level == len(costs) - 1
    assert len(costs) == 6
    word = 8 * 4  # level 1 goes by ideal lengths, which the coder rounds up
    assert costs[1] <= costs[0] + word
    assert all(later <= sooner + 1e-6 * sooner for sooner, later in pairwise(costs[1:]))
    assert costs[-1] < costs[0]


def test_a_level_is_where_by_level_passes(refiner: Refiner, picture: NDArray[np.uint8]) -> None:
    reached = {level: symbols.crc for level, (symbols,) in refiner.by_level([picture], [60 * 256], Effort(level=5))}
    assert list(reached) == [1, 2, 3, 4, 5]
    for level in (1, 3, 5):
        (symbols,) = refiner.quantise([picture], [60 * 256], Effort(level=level))
        assert symbols.crc == reached[level]


def test_the_highest_levels_go_on_where_the_others_end(
    pipeline: PhotoPipeline, refiner: Refiner, picture: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [replace(level, annealing=tuple(range(2, 2 + len(level.annealing)))) for level in LEVELS]
    monkeypatch.setattr(refining, "LEVELS", tuple(few))
    costs = {
        level: cost(pipeline, picture, symbols, 60 * 256)
        for level, (symbols,) in refiner.by_level([picture], [60 * 256], Effort(level=EFFORT_MAX))
    }
    assert list(costs) == list(range(1, EFFORT_MAX + 1))
    assert all(costs[level] <= costs[level - 1] + 1e-6 * costs[1] for level in range(2, EFFORT_MAX + 1))


def test_a_picture_is_annealed_in_tiles_as_in_whole(
    pipeline: PhotoPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = objective_of(pipeline, made_picture(9, 256, 384))
    twin = float_twin(pipeline.weights.config, pipeline.weights.prior.index).requires_grad_(False)
    with torch.no_grad():
        y_BMhw, z_BCuv = pipeline.latents(objective.pictures, objective.qualities_256)
    start = Latents(y_BMhw=y_BMhw, z_BCuv=z_BCuv)
    moved_y, moved_z = [], []
    for tile_px in (pipeline.tile_px, 128):
        monkeypatch.setattr(pipeline, "tile_px", tile_px)
        made = anneal(objective, twin, start, iterations=1, seed=1, step=lambda: True)
        moved_y.append((made.y_BMhw - start.y_BMhw).sign())
        moved_z.append((made.z_BCuv - start.z_BCuv).sign())
    # Of Adam's first step only the sign of the gradient is left; halos are cut where it hardly reaches.
    for whole, tiled in (moved_y, moved_z):
        assert float((whole == tiled).float().mean()) > 0.98
        assert bool((whole != 0).any())


def test_level_0_is_plain_rounding(codec: Codec, picture: NDArray[np.uint8]) -> None:
    own = Picture(colour_HWC=picture)
    (plain,) = codec.quantise([own], [30 * 256])
    (none,) = codec.quantise([own], [30 * 256], Effort(level=0))
    assert none.crc == plain.crc
    assert codec.compress(own, quality=30, effort=0) == codec.write(own, None, plain, 30 * 256)


def test_levels_begin_with_the_iterations_of_the_level_below() -> None:
    assert len(LEVELS) == EFFORT_MAX + 1
    for below, level in pairwise(LEVELS):
        assert level.annealing[: len(below.annealing)] == below.annealing
        assert level.descents >= below.descents
        assert level.steps > below.steps and level.relative_time > below.relative_time
    assert sum(LEVELS[-1].annealing) == 1000


@pytest.mark.parametrize(("level", "is_known"), [(1, True), (3, True), (3, False), (5, True)])
def test_pictures_go_together_as_they_go_alone(pipeline: PhotoPipeline, level: int, is_known: bool) -> None:
    if not is_known:
        pipeline.weights.curvature_AM = None
    refiner = Refiner(pipeline)
    pictures = [made_picture(seed, 120, 180) for seed in (1, 2)]
    qualities = [20 * 256, 80 * 256]
    together = refiner.quantise(pictures, qualities, Effort(level=level))
    for picture, quality_256, symbols in zip(pictures, qualities, together, strict=True):
        (alone,) = refiner.quantise([picture], [quality_256], Effort(level=level))
        (plain,) = pipeline.quantise([picture], [quality_256])
        before, a, b = (cost(pipeline, picture, each, quality_256) for each in (plain, alone, symbols))
        assert before - b == pytest.approx(before - a, rel=0.1)  # sums in another order may turn a rounding


@pytest.mark.parametrize("steps", [1, 3, 9, 20, 36])
def test_the_best_so_far_comes_out_where_it_is_told_to_stop(
    pipeline: PhotoPipeline, refiner: Refiner, picture: NDArray[np.uint8], steps: int
) -> None:
    seen: list[tuple[int, int]] = []

    def step(done: int, of: int) -> bool:
        seen.append((done, of))
        return done < steps

    (symbols,) = refiner.quantise([picture], [60 * 256], Effort(level=5, step=step))
    assert seen == [(done, LEVELS[5].steps) for done in range(1, steps + 1)]
    (plain,) = pipeline.quantise([picture], [60 * 256])
    assert cost(pipeline, picture, symbols, 60 * 256) <= cost(pipeline, picture, plain, 60 * 256) + 32


def test_all_steps_are_counted(refiner: Refiner, picture: NDArray[np.uint8]) -> None:
    seen: list[tuple[int, int]] = []

    def step(done: int, of: int) -> bool:
        seen.append((done, of))
        return True

    refiner.quantise([picture], [60 * 256], Effort(level=5, step=step))
    assert seen == [(done, LEVELS[5].steps) for done in range(1, LEVELS[5].steps + 1)]


def test_what_is_decoded_between_the_steps_is_decoded_exactly(
    pipeline: PhotoPipeline, picture: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gancodec.effort.prepared.halves_well", lambda device: True)
    refiner = Refiner(pipeline)
    calls = []

    def between() -> None:
        calls.append(1)
        for network in pipeline.weights.modules().values():
            assert not any(each.half_product for each in network.modules() if isinstance(each, Halvable))

    pipeline.between = between
    refiner.quantise([picture], [60 * 256], Effort(level=5))
    assert len(calls) > LEVELS[5].steps


def test_the_region_of_the_caller_does_not_matter(codec: Codec, picture: NDArray[np.uint8]) -> None:
    (expected,) = codec.quantise([Picture(colour_HWC=picture)], [60 * 256], Effort(level=5))
    for region in (torch.inference_mode(), torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16)):
        with region:
            (symbols,) = codec.quantise([Picture(colour_HWC=picture)], [60 * 256], Effort(level=5))
        assert symbols.crc == expected.crc


@pytest.mark.parametrize("kind", [torch.float64, torch.float16])
def test_the_default_type_of_the_caller_does_not_matter(
    codec: Codec, picture: NDArray[np.uint8], kind: torch.dtype
) -> None:
    own = Picture(colour_HWC=picture)
    (expected,) = codec.quantise([own], [60 * 256], Effort(level=3))
    torch.set_default_dtype(kind)
    try:
        codec = Codec(codec.entry, torch.device("cpu"))
        (symbols,) = codec.quantise([own], [60 * 256], Effort(level=3))
        data = codec.compress(own, effort=5)  # Adam counts in the default type: not to the bit
    finally:
        torch.set_default_dtype(torch.float32)
    assert symbols.crc == expected.crc
    codec.verify(data)


@pytest.mark.parametrize("further", [True, False])
def test_a_search_asks_before_every_further_file(
    codec: Codec, picture: NDArray[np.uint8], further: bool
) -> None:
    seen: list[tuple[int, int]] = []

    def step(done: int, of: int) -> bool:
        seen.append((done, of))
        return done > 0 or further

    own = Picture(colour_HWC=picture)
    target = len(codec.compress(own, quality=60, effort=0)) + 8
    data = codec.compress(own, target_size=target, effort=Effort(level=2, step=step))
    assert len(data) <= target
    assert seen[:3] == [(1, 2), (2, 2), (0, 2)]
    assert seen[3:5] == ([(1, 2), (2, 2)] if further else [])


def test_a_size_that_nobody_reaches_is_out_of_reach(codec: Codec, picture: NDArray[np.uint8]) -> None:
    for effort in (0, 1):
        with pytest.raises(LimitError, match="out of reach"):
            codec.compress(Picture(colour_HWC=picture), target_bpp=0.0003, effort=effort)


def test_a_first_descent_that_is_no_gain_is_not_taken(
    pipeline: PhotoPipeline, refiner: Refiner, picture: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    def worse(objective, symbols_z, around, curvature):  # type: ignore[no-untyped-def]
        def choose(step, mean, tables):  # type: ignore[no-untyped-def]
            return objective.pipeline.allowed(torch.full_like(mean, 3.0), tables)

        return objective.pipeline.chain(symbols_z, objective.qualities_256, choose)

    monkeypatch.setattr(refining, "descend", worse)
    (symbols,) = refiner.quantise([picture], [60 * 256], Effort(level=1))
    (plain,) = pipeline.quantise([picture], [60 * 256])
    assert symbols.crc == plain.crc


def test_without_curvature_it_is_measured_on_the_picture(pipeline: PhotoPipeline, picture: NDArray[np.uint8]) -> None:
    pipeline.weights.curvature_AM = None
    (symbols,) = Refiner(pipeline).quantise([picture], [60 * 256], Effort(level=3))
    (plain,) = pipeline.quantise([picture], [60 * 256])
    assert cost(pipeline, picture, symbols, 60 * 256) < cost(pipeline, picture, plain, 60 * 256)


def test_codecs_of_one_rate_have_nothing_to_spend_it_on() -> None:
    codec = Codec.load(GOLDEN / "tiny-extreme.safetensors", "cpu")
    own = Picture(colour_HWC=made_picture(1, 64, 64))
    assert codec.compress(own, effort=9) == codec.compress(own, effort=0)


@pytest.mark.parametrize("level", [-1, 10, 1.5, True, None, "3"])
def test_other_levels_are_refused(codec: Codec, level: object) -> None:
    with pytest.raises(ConfigError, match="effort is"):
        codec.compress(Picture(colour_HWC=made_picture(1, 64, 64)), effort=level)  # type: ignore[arg-type]


def test_what_cannot_be_tuned_for_is_refused(codec: Codec) -> None:
    with pytest.raises(ConfigError, match="tune is 'taste'"):
        Effort(tune="taste")
    with pytest.raises(ConfigError, match="takes a feature network"):
        Effort(tune="realism")
    with pytest.raises(ConfigError, match="takes a feature network"):
        Effort(features="vgg19")
    with pytest.raises(ConfigError, match="effort 0 tunes for nothing"):
        Effort(level=0, tune="realism", features="vgg19")


def test_a_picture_of_one_pixel(codec: Codec) -> None:
    own = Picture(colour_HWC=np.full((1, 1, 3), 200, np.uint8))
    data = codec.compress(own, effort=5)
    assert codec.decompress_picture(data).colour_HWC.shape == (1, 1, 3)


def test_a_level_knows_its_steps() -> None:
    assert Level().steps == 0 and Level(descents=2, annealing=(10, 20)).steps == 40


def test_the_padding_does_not_count(pipeline: PhotoPipeline, picture: NDArray[np.uint8]) -> None:
    objective = objective_of(pipeline, picture)
    with torch.no_grad():
        chain = refining.plainly_rounded(objective)
        rough = float(objective.rough_distortion(chain.state.known_BMhw))
    real = float(objective.distortion(chain))
    assert rough == pytest.approx(real, rel=0.05)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("level", [1, 3, 5])
def test_what_a_gpu_refines_opens_on_a_processor(
    pipeline: PhotoPipeline, picture: NDArray[np.uint8], level: int
) -> None:
    codec = Codec.load(GOLDEN / "tiny.safetensors", "cuda")
    (plain,), (symbols,) = (
        codec.quantise([Picture(colour_HWC=picture)], [60 * 256], Effort(level=each)) for each in (0, level)
    )
    assert cost(pipeline, picture, symbols, 60 * 256) <= cost(pipeline, picture, plain, 60 * 256) + 32
