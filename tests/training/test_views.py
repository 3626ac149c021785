"""What the feature network sees in training: other places every step, and the same of original and reconstruction."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gancodec.networks.features import FeatureNetwork
from gancodec.training.adversary import generator_loss
from gancodec.training.generative import ExtremeStage, RealismStage
from gancodec.training.stage import to_patches, to_pictures
from gancodec.training.views import OFF_GRID, View, random_view
from gancodec.training.world import World
from tests.tiny import made_picture, make_tiny_extreme_model
from tests.training.conftest import CPU, small_config, tiny_codec


class Onlooker(FeatureNetwork):
    """Mean squared difference, and what it was shown."""

    min_side_px = 17  # type: ignore[assignment]

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.seen: list[tuple[Tensor, Tensor]] = []

    def distance(self, x_BCHW: Tensor, y_BCHW: Tensor) -> Tensor:
        self.seen.append((x_BCHW.detach().clone(), y_BCHW.detach().clone()))
        return (x_BCHW - y_BCHW).square().mean((1, 2, 3))


def numbered(height: int, width: int) -> Tensor:
    """[1, 1, height, width]: every pixel is row + column / 1000."""
    return (torch.arange(height).view(-1, 1) + torch.arange(width) / 1000).view(1, 1, height, width).double()


def draw(times: int, *, side_px: int = 64, least_px: int = 17) -> Iterator[View]:
    random = torch.Generator().manual_seed(3)
    return (random_view(random, side_px=side_px, least_px=least_px) for _ in range(times))


def test_views_by_hand() -> None:
    picture = numbered(20, 22)
    rows, columns = torch.arange(3, 7).view(-1, 1), torch.arange(15, 21) / 1000
    plain = (rows + columns).double().view(1, 1, 4, 6)
    torch.testing.assert_close(View(3, 15)(picture), plain)
    torch.testing.assert_close(View(3, 15, flipped=(2,))(picture), plain.flip(2))
    torch.testing.assert_close(View(3, 15, flipped=(3,))(picture), plain.flip(3))
    torch.testing.assert_close(View(3, 15, transposed=True)(picture), plain.mT)
    halves = plain.view(1, 1, 2, 2, 3, 2).mean((3, 5))
    torch.testing.assert_close(View(3, 15, halved=True)(picture), halves)
    torch.testing.assert_close(View(3, 15, (2, 3), transposed=True, halved=True)(picture), halves.flip(2, 3).mT)


def test_every_way_of_looking_comes_up_about_as_often() -> None:
    views = list(draw(4096))
    assert {(view.top_px, view.left_px) for view in views} == {(top, left) for top in range(16) for left in range(16)}
    ways = [(view.flipped, view.transposed, view.halved) for view in views]
    assert len(set(ways)) == 16
    assert all(180 < ways.count(way) < 340 for way in set(ways))  # 256 expected, deviation 15.5


@pytest.mark.parametrize(("side_px", "least_px", "halves"), [(64, 24, True), (64, 25, False), (128, 31, True)])
def test_no_view_is_too_small_for_the_network(side_px: int, least_px: int, halves: bool) -> None:
    sides = {view(numbered(side_px, side_px)).shape[2] for view in draw(64, side_px=side_px, least_px=least_px)}
    assert sides == ({side_px - 16, side_px // 2 - 8} if halves else {side_px - 16})


def test_original_and_reconstruction_are_seen_alike() -> None:
    pictures = torch.rand(2, 3, 64, 64)
    config = small_config("realism", lambda_p=1.0)
    for view in draw(12):
        features = Onlooker()
        loss = generator_loss(config, pictures, pictures.clone(), heard={}, features=features, view=view)
        assert loss.terms["perceptual"] == 0
        assert torch.equal(features.seen[0][1], view(pictures))


def test_the_grid_has_no_term_where_it_has_no_weight() -> None:
    pictures = torch.rand(2, 3, 64, 64)
    for weight in (0.0, 2.0):
        config = small_config("realism", lambda_grid=weight)
        loss = generator_loss(config, pictures, -pictures, heard={}, features=None, view=OFF_GRID)
        assert ("grid" in loss.terms) == (weight > 0)


@pytest.mark.parametrize("kind", ["realism", "joint"])
def test_each_step_shows_the_network_another_view_and_validation_always_the_same(kind: str) -> None:
    onlooker = Onlooker()
    config = small_config(kind, lambda_p=1.0, lambda_adv=0.0)
    stage: RealismStage | ExtremeStage
    if kind == "realism":
        stage = RealismStage(tiny_codec(), config, CPU, World(), features=onlooker)
    else:
        stage = ExtremeStage(make_tiny_extreme_model().train(), config, CPU, World(), features=onlooker)
    squares = np.stack([made_picture(70 + number, 64, 64) for number in range(2)])
    for _ in range(12):
        stage.advance(squares, 0.5)
    assert {x.shape[2] for x, _ in onlooker.seen} == {48, 24}
    looks = {original.numpy().tobytes() for _, original in onlooker.seen}
    assert len(looks) > 9
    onlooker.seen.clear()
    stage.validate([squares])
    shown = OFF_GRID(to_pictures(to_patches(squares, CPU)))
    assert all(torch.equal(original, shown) for _, original in onlooker.seen) and onlooker.seen
