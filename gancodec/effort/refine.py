"""From pictures to the best symbols that a level of effort finds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gancodec.effort.annealing import anneal
from gancodec.effort.curvature import curvature_at, local_curvature, secant
from gancodec.effort.descent import descend
from gancodec.effort.levels import LEVELS, SETTLING
from gancodec.effort.objective import Expansion, Objective
from gancodec.effort.prepared import Prepared
from gancodec.effort.request import Effort
from gancodec.effort.rounding import Latents, plainly_rounded, roughly_rounded, rounded
from gancodec.features import load_features
from gancodec.networks.exactness import exact_arithmetic
from gancodec.networks.features import FeatureNetwork
from gancodec.networks.index import IndexNetwork
from gancodec.networks.index_twin import float_twin
from gancodec.networks.prior import packed
from gancodec.pipeline import Chain, PhotoPipeline, Symbols
from gancodec.timing import NETWORK

SURE: Final = 0.01
"""Of a picture's bits: a first descent that seems to gain less is measured against plain rounding."""


class Refiner:
    """Effort on one pipeline.  Not thread-safe, as that is not."""

    def __init__(self, pipeline: PhotoPipeline) -> None:
        self._pipeline = pipeline
        self._prepared = Prepared(pipeline.weights, pipeline.device)
        self._index: IndexNetwork | None = None
        self._features: tuple[str, FeatureNetwork] | None = None

    def quantise(
        self, pictures: Sequence[NDArray[np.uint8]], qualities_256: Sequence[int], effort: Effort
    ) -> list[Symbols]:
        """Pictures of one padded size, uint8 [H, W, 3], to the symbols of least cost that are found; from level 1 on.

        Raises ConfigError for mixed sizes, and what ``load_features`` raises.
        """
        return self._pipeline.symbols(self.chain(pictures, qualities_256, effort))

    def chain(self, pictures: Sequence[NDArray[np.uint8]], qualities_256: Sequence[int], effort: Effort) -> Chain:
        """As ``quantise``, with all that a decoder will know of these symbols."""
        last: Chain | None = None
        for _, chain in self._regioned(pictures, qualities_256, effort):
            last = chain
        assert last is not None, "there is a level above 0"
        return last

    def prepare(self, effort: Effort) -> None:
        """Load the features that it asks for.  Raises what ``load_features`` raises."""
        with torch.inference_mode(False):
            self._feature_network(effort)

    def by_level(
        self, pictures: Sequence[NDArray[np.uint8]], qualities_256: Sequence[int], effort: Effort
    ) -> Iterator[tuple[int, list[Symbols]]]:
        """What every level from 1 to that of ``effort`` gives: each begins where the one before it ends.

        Ends early where ``effort.step`` says so.  Raises as ``quantise``.
        """
        for number, chain in self._regioned(pictures, qualities_256, effort):
            yield number, self._pipeline.symbols(chain)

    def _regioned(
        self, pictures: Sequence[NDArray[np.uint8]], qualities_256: Sequence[int], effort: Effort
    ) -> Iterator[tuple[int, Chain]]:
        """The levels, each computed in a region of its own: between them the caller's rules."""
        work = self._levels(pictures, qualities_256, effort)
        while True:
            # Gradients are wanted whatever region the caller is in, and only where they are asked for.
            with (
                self._pipeline.clock.part(NETWORK),
                torch.inference_mode(False),
                torch.no_grad(),
                exact_arithmetic(),
            ):
                reached = next(work, None)
            if reached is None:
                return
            yield reached

    def _levels(
        self, pictures: Sequence[NDArray[np.uint8]], qualities_256: Sequence[int], effort: Effort
    ) -> Iterator[tuple[int, Chain]]:
        features = self._feature_network(effort)
        objective = Objective(self._pipeline, pictures, qualities_256, self._prepared, features)
        search = _Search(objective, self._start(objective), effort)
        search.first_level()
        yield 1, search.best
        for number in range(2, effort.level + 1):
            if search.ended:
                return
            level, before = LEVELS[number], LEVELS[number - 1]
            if number == 2:
                search.measure_plain(torch.ones_like(objective.slope_B, dtype=torch.bool))
            for iterations in level.annealing[len(before.annealing) :]:
                annealed = anneal(
                    objective, self._twin(), self._latents(objective),
                    iterations=iterations, seed=number, step=search.stepped,
                )  # fmt: skip
                search.start_from(rounded(objective, annealed))
                search.descend(SETTLING)
            search.descend(level.descents - before.descents)
            yield number, search.best

    def _start(self, objective: Objective) -> _Start:
        """Latents are not kept: few levels want them again, and a large picture's are large."""
        latents = self._latents(objective)
        known_BMhw, symbols_BMhw = roughly_rounded(objective, latents)
        around = objective.expand(known_BMhw)
        curvature_BMhw = local_curvature(self._curvature(objective, around), around, latents.y_BMhw)
        return _Start(self._pipeline.whole_hyper(latents.z_BCuv), symbols_BMhw, around, curvature_BMhw)

    def _latents(self, objective: Objective) -> Latents:
        y_BMhw, z_BCuv = self._pipeline.latents(
            objective.pictures, objective.qualities_256, encoder=self._prepared.encoder
        )
        return Latents(y_BMhw=y_BMhw, z_BCuv=z_BCuv)

    def _curvature(self, objective: Objective, around: Expansion) -> Tensor:
        """s [B, M, 1, 1]: as the weights have it; measured where they do not, or where D is another."""
        known = self._pipeline.weights.curvature_AM
        if known is None or objective.is_tuned:
            return secant(objective, around)[:, :, None, None]
        return curvature_at(known, objective.anchor_weights_BA)

    def _feature_network(self, effort: Effort) -> FeatureNetwork | None:
        if effort.features is None:
            return None
        if self._features is None or self._features[0] != effort.features:
            self._features = (effort.features, load_features(effort.features, self._pipeline.device))
        return self._features[1]

    def _twin(self) -> IndexNetwork:
        weights = self._pipeline.weights
        if self._index is None:
            self._index = float_twin(weights.config, weights.prior.index).requires_grad_(False)
        return self._index


class _Start(NamedTuple):
    """Plain rounding, guessed at."""

    symbols_z_BCuv: Tensor
    """int16"""
    symbols_BMhw: Tensor
    """int16; what is silent may have any."""
    around: Expansion
    curvature_BMhw: Tensor
    """s"""


class _Search:
    """The best so far of each picture."""

    def __init__(self, objective: Objective, start: _Start, effort: Effort) -> None:
        self.objective, self._effort = objective, effort
        self._curvature = start.curvature_BMhw
        self._of = LEVELS[effort.level].steps
        self._done = 0
        self.ended = False
        self._best_cost = torch.full_like(objective.slope_B, torch.inf)
        self._cost = self._best_cost
        self._plain: tuple[Chain, Tensor] | None = None
        """Plain rounding and its cost."""
        self.best = self._chain = self._first_descent(start)
        """The latter: from which it goes on."""

    def stepped(self) -> bool:
        """Count an iteration; returns whether to go on."""
        self._done += 1
        self.ended = self.ended or not self._effort.step(self._done, self._of)
        return not self.ended

    def _first_descent(self, start: _Start) -> Chain:
        """One descent from plain rounding, guessed at; keeps who is unsure of it.

        Both costs are estimated, from what is computed anyway and one more, rough picture.
        """
        objective = self.objective
        chain = descend(objective, start.symbols_z_BCuv, start.around, self._curvature)
        bits_saved = torch.zeros_like(objective.slope_B)
        for step, (tables, symbols) in enumerate(chain.steps):
            rounded_symbols = objective.pipeline.allowed(packed(start.symbols_BMhw, step), tables)
            before = objective.latent_costs(tables, rounded_symbols)
            bits_saved += (before - objective.latent_costs(tables, symbols)).flatten(1).sum(1)
        change = objective.rough_distortion(chain.state.known_BMhw) - start.around.distortion_B
        gain = bits_saved - objective.slope_B * change
        self._unsure = gain < SURE * objective.bits(chain)
        return chain

    def first_level(self) -> None:
        """Where the gain of the first descent is not beyond doubt, see what plain rounding really gives."""
        if bool(self._unsure.any()):
            self.measure_plain(self._unsure)
        self.stepped()

    def measure_plain(self, among_B: Tensor) -> None:
        """Take plain rounding into account for some of the pictures, and measure what there is so far."""
        if self._plain is None:
            self.start_from(self._chain)
            chain = plainly_rounded(self.objective)
            self._plain = (chain, self.objective.cost(chain))
        chain, cost = self._plain
        self._keep(chain, cost, among_B)

    def measure(self, chain: Chain) -> Tensor:
        """J [B] of a chain, which is kept where it is the best one."""
        cost = self.objective.cost(chain)
        self._keep(chain, cost, torch.ones_like(cost, dtype=torch.bool))
        return cost

    def _keep(self, chain: Chain, cost: Tensor, among_B: Tensor) -> None:
        better = among_B & (cost < self._best_cost)
        self.best = merged(self.best, chain, better)
        self._best_cost = torch.where(better, cost, self._best_cost)

    def start_from(self, chain: Chain) -> None:
        """Go on from here."""
        self._chain, self._cost = chain, self.measure(chain)

    def descend(self, descents: int) -> None:
        """So many more, each from the best one since ``start_from``."""
        for _ in range(descents):
            if self.ended:
                return
            state = self._chain.state
            around = self.objective.expand(state.known_BMhw)
            found = descend(self.objective, state.symbols_z_BCuv, around, self._curvature)
            cost = self.measure(found)
            self._chain = merged(self._chain, found, cost < self._cost)
            self._cost = torch.minimum(self._cost, cost)
            self.stepped()


def merged(a: Chain, b: Chain, take_b_B: Tensor) -> Chain:
    """Of each picture one of the two."""
    take = take_b_B[:, None, None, None]
    state = replace(
        a.state,
        symbols_z_BCuv=torch.where(take, b.state.symbols_z_BCuv, a.state.symbols_z_BCuv),
        symbols_BMhw=torch.where(take, b.state.symbols_BMhw, a.state.symbols_BMhw),
        known_BMhw=torch.where(take, b.state.known_BMhw, a.state.known_BMhw),
        squashed_BMhw=torch.where(take, b.state.squashed_BMhw, a.state.squashed_BMhw),
        features={},
    )
    steps = [
        (torch.where(take, tables_b, tables_a), torch.where(take, symbols_b, symbols_a))
        for (tables_a, symbols_a), (tables_b, symbols_b) in zip(a.steps, b.steps, strict=True)
    ]
    return Chain(state, steps)
